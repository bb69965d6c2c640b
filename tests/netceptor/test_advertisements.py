from __future__ import annotations

import msgspec

from receptor.netceptor.advertisements import MOST_SERVICES_OF_A_NODE, Advertisements
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


def test_a_node_has_no_more_services_than_we_care_to_keep() -> None:
    table = Advertisements("us")
    for number in range(MOST_SERVICES_OF_A_NODE):
        assert table.receive(service_of("far", str(number)), 0.0)
    assert not table.receive(service_of("far", "one more"), 0.0), "what isn't kept must not be passed on either"
    assert table.receive(service_of("far", "0", made_at=2.0), 0.0)
    assert table.receive(service_of("other"), 0.0)


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
