from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor.errors import PeerError
from receptor.netceptor.advertisements import RENEWAL, Advertisements
from receptor.netceptor.digests import digest_of_service
from receptor.netceptor.limits import MeshLimits
from receptor.netceptor.messages import Advertisement, format_time


def service_of(node: str, service: str = "svc", made_at: float = 1.0, cancel: bool = False) -> Advertisement:
    return Advertisement(
        node_id=node, service=service, time=format_time(int(made_at * 1e9)), connection_type=1, cancel=cancel
    )


def test_only_a_newer_one_is_news() -> None:
    table = Advertisements("us")
    assert table.receive(service_of("far", made_at=5.0), 0.0)
    assert not table.receive(service_of("far", made_at=5.0), 1.0)
    assert not table.receive(service_of("far", made_at=4.0), 1.0)
    assert table.receive(service_of("far", made_at=6.0), 1.0)
    assert table.everything() == (service_of("far", made_at=6.0),)


def test_times_of_different_zones_are_compared_as_moments() -> None:
    table = Advertisements("us")
    noon = msgspec.structs.replace(service_of("far"), time="2026-01-01T12:00:00Z")
    assert table.receive(noon, 0.0)
    assert not table.receive(msgspec.structs.replace(noon, time="2026-01-01T13:59:59+02:00"), 0.0)
    assert table.receive(msgspec.structs.replace(noon, time="2026-01-01T11:00:01-01:00"), 0.0)


def test_services_are_kept_by_node_and_name() -> None:
    table = Advertisements("us")
    advertised = (service_of("x", "one"), service_of("x", "two"), service_of("y", "one"))
    assert all(table.receive(advertisement, 0.0) for advertisement in advertised)
    assert table.everything() == advertised


def test_the_end_of_a_service_is_news_once_even_if_the_service_was_unknown() -> None:
    table = Advertisements("us")
    end = service_of("far", made_at=2.0, cancel=True)
    assert table.receive(end, 0.0)
    assert not table.receive(end, 0.0)
    assert not table.receive(service_of("far", made_at=1.0), 0.0), "what was on its way when the service ended"
    assert table.everything() == ()
    assert table.receive(service_of("far", made_at=3.0), 0.0), "the service may begin anew"


def test_nobody_else_speaks_for_our_services() -> None:
    table = Advertisements("us")
    ours = service_of("us", "control")
    table.offer(ours)
    assert not table.receive(service_of("us", "control", made_at=9.0, cancel=True), 0.0)
    assert not table.receive(service_of("us", "forged", made_at=9.0), 0.0)
    assert table.everything() == table.own == (ours,)


def test_a_service_of_ours_that_is_withdrawn_is_gone() -> None:
    table = Advertisements("us")
    table.offer(service_of("us", made_at=1.0))
    newer = service_of("us", made_at=2.0)
    table.offer(newer)
    assert table.withdraw("svc") == newer
    assert table.withdraw("svc") is None
    assert table.own == ()


# Limits: what isn't kept must not be passed on either, and so is refused


def test_a_node_has_no_more_services_than_we_care_to_keep() -> None:
    table = Advertisements("us", MeshLimits(services_of_a_node=3))
    for number in range(3):
        assert table.receive(service_of("far", str(number)), 0.0)
    with pytest.raises(PeerError, match="far offers more than 3 services"):
        table.receive(service_of("far", "one more"), 0.0)
    assert table.receive(service_of("far", "0", made_at=2.0), 0.0)
    assert table.receive(service_of("other"), 0.0)


def test_there_are_no_more_nodes_with_services_than_we_care_to_keep() -> None:
    table = Advertisements("us", MeshLimits(nodes=3))
    for name in "xyz":
        assert table.receive(service_of(name), 0.0)
    with pytest.raises(PeerError, match="more services in the mesh than"):
        table.receive(service_of("one more"), 0.0)
    for name in "xy":
        assert table.receive(service_of(name, made_at=2.0), RENEWAL / 2), "who is known stays known"
    assert table.receive(service_of("one more", made_at=2.0), RENEWAL), "the place of z, which was not renewed"
    assert {advertisement.node_id for advertisement in table.everything()} == {"x", "y", "one more"}


def test_all_services_together_take_no_more_memory_than_we_care_to_give() -> None:
    limit = 1_000_000
    table = Advertisements("us", MeshLimits(advertised_bytes=limit, services_of_a_node=10**6, nodes=10**6))
    taken = 0
    with suppress(PeerError):
        while table.receive(service_of(f"n{taken}"), 0.0):
            taken += 1
    assert 100 < taken < 2000
    assert table.bytes <= limit
    with pytest.raises(PeerError):
        table.receive(with_tags("n1", 5000), 1.0)
    assert table.receive(service_of("n1", made_at=2.0), 1.0), "it takes no more than before"
    table.forget_stale(heard_before=1.0)
    assert table.bytes == 0


def with_tags(node: str, count: int) -> Advertisement:
    """A small packet that takes much memory when it is read."""
    return msgspec.structs.replace(service_of(node, made_at=2.0), tags={str(number): "" for number in range(count)})


def test_many_small_tags_count_for_the_memory_that_they_take() -> None:
    table = Advertisements("us")
    table.receive(with_tags("far", 5000), 0.0)
    assert table.bytes > 1_000_000


def test_what_is_not_advertised_again_is_forgotten() -> None:
    table = Advertisements("us")
    table.offer(service_of("us"))
    table.receive(service_of("far", "old"), 10.0)
    table.receive(service_of("far", "renewed"), 10.0)
    table.receive(service_of("far", "renewed", made_at=2.0), 70.0)
    table.receive(service_of("far", "ended", made_at=2.0, cancel=True), 10.0)
    table.forget_stale(heard_before=10.0)
    assert table.everything() == (service_of("us"), service_of("far", "renewed", made_at=2.0))
    assert table.receive(service_of("far", "ended", made_at=1.0), 80.0)


# Digests


steps_of_a_table = st.lists(
    st.tuples(st.sampled_from(["receive", "cancel", "forget", "stale", "offer", "withdraw", "reach"]),
              st.sampled_from("xyz"), st.sampled_from(["one", "two"])),
    max_size=40,
)  # fmt: skip


@given(steps_of_a_table)
def test_the_digest_that_is_kept_up_to_date_is_that_of_the_services_in_reach(steps: list[tuple[str, str, str]]) -> None:
    table = Advertisements("us")
    reach = frozenset("x")
    for number, (step, node, service) in enumerate(steps, 1):
        match step:
            case "receive" | "cancel":
                table.receive(service_of(node, service, made_at=float(number), cancel=step == "cancel"), float(number))
            case "forget":
                table.forget(node)
            case "stale":
                table.forget_stale(number - 5.0, but={node})
            case "offer":
                table.offer(service_of("us", service, made_at=float(number)))
            case "withdraw":
                table.withdraw(service)
            case _:
                reach = frozenset("xyz") - {node}
        expected = 0
        for advertisement in table.everything():
            if advertisement.node_id in {"us", *reach}:
                expected ^= digest_of_service(advertisement)
        assert table.digest(reach) == expected


def test_services_of_some_nodes_outlast_those_of_others() -> None:
    table = Advertisements("us")
    for node in "xy":
        table.receive(service_of(node), 0.0)
    table.forget_stale(heard_before=10.0, but={"x"})
    assert table.everything() == (service_of("x"),)


def test_what_is_known_of_some_nodes_is_with_what_has_ended_and_with_our_own() -> None:
    table = Advertisements("us")
    table.offer(service_of("us"))
    for node in "xy":
        table.receive(service_of(node, cancel=True), 0.0)
    assert table.known_of({"x"}) == [service_of("us"), service_of("x", cancel=True)]


def test_what_comes_and_goes_is_told_once() -> None:
    told: list[tuple[str, str, bool]] = []
    table = Advertisements("us", on_change=lambda *change: told.append(change))

    def told_now() -> list[tuple[str, str, bool]]:
        now, told[:] = list(told), []
        return now

    table.receive(service_of("far", made_at=1.0), 0.0)
    table.receive(service_of("far", made_at=2.0), 0.0)
    assert told_now() == [("far", "svc", True)]
    table.receive(service_of("far", made_at=3.0, cancel=True), 0.0)
    table.receive(service_of("far", made_at=4.0, cancel=True), 0.0)
    assert told_now() == [("far", "svc", False)]
    table.receive(service_of("far", made_at=5.0), 0.0)
    table.receive(service_of("other", made_at=5.0, cancel=True), 0.0)
    assert told_now() == [("far", "svc", True)]
    table.forget("far")
    table.forget("other")
    assert told_now() == [("far", "svc", False)]
    table.receive(service_of("far", made_at=1.0), 0.0)
    table.forget_stale(heard_before=1.0)
    assert told_now() == [("far", "svc", True), ("far", "svc", False)]
    table.offer(service_of("us", made_at=1.0))
    table.offer(service_of("us", made_at=2.0))
    table.withdraw("svc")
    table.withdraw("svc")
    assert told_now() == [("us", "svc", True), ("us", "svc", False)]
