from __future__ import annotations

import pytest
from mesh_bench import Bench, Neighbour, join

from receptor.errors import UnreachableError
from receptor.netceptor.messages import Unreachable, encode_unreachable
from receptor.netceptor.packets import MESH_MTU, Address, Datagram, encode_datagram

US = Address("us", "svc")
NEAR = Address("near", "x")
FAR = Address("far", "y")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def near(bench: Bench) -> Neighbour:
    """On session 1; far is behind it."""
    neighbour = join(bench, 1)
    neighbour.update({"us": 1.0, "far": 1.0})
    neighbour.update({"near": 1.0}, of="far")
    bench.wait(0.1)
    bench.did()
    return neighbour


@pytest.fixture
def other(bench: Bench, near: Neighbour) -> Neighbour:
    """On session 2."""
    neighbour = join(bench, 2, "other")
    near.update({"us": 1.0, "far": 1.0})
    bench.did()
    return neighbour


def report(problem: str, source: Address, destination: Address) -> str:
    """How a report that a datagram went no further looks on the bench."""
    message = Unreachable(
        from_node=source.node,
        to_node=destination.node,
        from_service=source.service,
        to_service=destination.service,
        problem=problem,
    )
    return f"data from us:unreach to {source.node}:unreach with 29 hops: {encode_unreachable(message).decode()!r}"


# Sending


def test_a_datagram_goes_to_the_next_hop_with_one_hop_less_than_30(bench: Bench, near: Neighbour) -> None:
    bench.node.send_datagram("svc", FAR, b"hello", bench.now)
    bench.poll()
    assert bench.did() == ["1: data from us:svc to far:y with 29 hops: 'hello'"]


def test_only_data_may_be_dropped_when_a_link_is_full(bench: Bench, near: Neighbour) -> None:
    bench.node.mesh.advertise("svc", 0, {}, None, bench.now)
    bench.node.send_datagram("svc", FAR, b"", bench.now)
    assert [send.may_drop for send in bench.sends()] == [False, True]


def test_a_datagram_may_have_the_mesh_mtu_and_no_byte_more(bench: Bench, near: Neighbour) -> None:
    bench.node.send_datagram("svc", FAR, bytes(MESH_MTU), bench.now)
    assert len(bench.sends()) == 1
    with pytest.raises(ValueError, match="16385 bytes is larger than the mesh takes"):
        bench.node.send_datagram("svc", FAR, bytes(MESH_MTU + 1), bench.now)


def test_a_node_without_a_route_is_unreachable(bench: Bench, near: Neighbour) -> None:
    with pytest.raises(UnreachableError, match="no route to node elsewhere"):
        bench.node.send_datagram("svc", Address("elsewhere", "x"), b"", bench.now)


@pytest.mark.parametrize("name", ["us", "localhost", "LocalHost"])
def test_a_datagram_to_ourselves_stays_here(bench: Bench, name: str) -> None:
    bench.node.open_datagrams("svc")
    bench.node.send_datagram("x", Address(name, "svc"), b"hello", bench.now)
    bench.poll()
    assert bench.did() == ["datagram from us:x to us:svc: 'hello'"]
    with pytest.raises(UnreachableError, match="service unknown: nosuch on this node"):
        bench.node.send_datagram("x", Address(name, "nosuch"), b"", bench.now)


# Receiving


def test_a_datagram_for_a_service_of_ours_is_delivered(bench: Bench, near: Neighbour) -> None:
    bench.node.open_datagrams("svc")
    near.data(FAR, US, b"hello", hops=0)
    assert bench.did() == ["datagram from far:y to us:svc: 'hello'"]


def test_a_datagram_for_an_unknown_service_is_answered_so(bench: Bench, near: Neighbour) -> None:
    near.data(NEAR, US)
    assert bench.did() == [f"1: {report('service unknown', NEAR, US)}"]


def test_a_service_that_was_closed_is_unknown(bench: Bench, near: Neighbour) -> None:
    bench.node.open_datagrams("svc")
    bench.node.switch.close("svc")
    near.data(NEAR, US)
    assert bench.did() == [f"1: {report('service unknown', NEAR, US)}"]


def test_a_service_has_one_user_and_a_name_that_fits(bench: Bench) -> None:
    bench.node.open_datagrams("svc")
    for taken in ("svc", "ping", "unreach"):
        with pytest.raises(ValueError, match="is open already"):
            bench.node.open_datagrams(taken)
    for misfit in ("", "ninebytes", "nüñbyte", "a\0b"):
        with pytest.raises(ValueError, match="must have 1 to 8 bytes"):
            bench.node.open_datagrams(misfit)


def test_a_datagram_of_or_for_a_node_that_we_don_t_know_is_dropped(bench: Bench, near: Neighbour) -> None:
    bench.node.open_datagrams("svc")
    near.data(Address("stranger", "x"), US)
    near.data(NEAR, Address("stranger", "x"))
    assert bench.did() == []


# Forwarding


def test_a_datagram_for_another_node_is_passed_on_with_one_hop_less(
    bench: Bench, near: Neighbour, other: Neighbour
) -> None:
    other.data(Address("other", "x"), FAR, b"hello", hops=9)
    assert bench.did() == ["1: data from other:x to far:y with 8 hops: 'hello'"]
    other.data(Address("other", "x"), FAR, b"hello", hops=1)
    assert bench.did() == ["1: data from other:x to far:y with 0 hops: 'hello'"]


def test_a_datagram_that_would_be_passed_on_with_no_hops_left_is_reported(
    bench: Bench, near: Neighbour, other: Neighbour
) -> None:
    source = Address("other", "x")
    other.data(source, FAR, b"hello", hops=0)
    assert bench.did() == [f"2: {report('message expired', source, FAR)}"]


def test_a_datagram_for_a_node_that_has_become_unreachable_is_dropped(
    bench: Bench, near: Neighbour, other: Neighbour
) -> None:
    bench.close(1)
    bench.did()
    other.data(Address("other", "x"), FAR)
    assert bench.did() == []
    assert bench.notices[-1] == "a data packet for far was dropped: no route to it"


def test_a_service_name_that_is_no_utf_8_concerns_only_its_receiver(
    bench: Bench, near: Neighbour, other: Neighbour
) -> None:
    source = Address("other", "x")
    misnamed = [encode_datagram(Datagram(source, to, b""), 5)[:28] + b"\xff" * 8 for to in (FAR, US)]
    other.say(*misnamed)
    unnamed = "\ufffd" * 8
    assert bench.did() == [
        f"1: data from other:x to far:{unnamed} with 4 hops: ''",
        f"2: {report('service unknown', source, Address('us', unnamed))}",
    ]


# Reports


def test_a_report_is_never_answered(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    reporter = Address("other", "unreach")
    other.data(reporter, Address("us", "nosuch"))
    other.data(reporter, FAR, hops=0)
    assert bench.did() == []


def test_a_report_that_can_t_be_read_is_only_noticed(bench: Bench, near: Neighbour) -> None:
    near.data(Address("far", "unreach"), Address("us", "unreach"), b"garbage")
    assert bench.did() == []
    assert "a message to the service unreach can't be read" in bench.notices[-1]


# Ping


def test_a_ping_is_answered_with_nothing(bench: Bench, near: Neighbour) -> None:
    near.data(FAR, Address("us", "ping"), b"whatever")
    assert bench.did() == ["1: data from us:ping to far:y with 29 hops: ''"]


@pytest.mark.parametrize("service", ["ping", "unreach"])
def test_a_ping_from_a_reserved_service_is_not_answered(bench: Bench, near: Neighbour, service: str) -> None:
    near.data(Address("far", service), Address("us", "ping"))
    assert bench.did() == [], "two nodes would answer each other without end"


# Tracing


def test_each_datagram_leaves_a_trace_if_that_is_wanted() -> None:
    bench = Bench(trace=True)
    near = join(bench, 1)
    join(bench, 2, "other")
    near.update({"us": 1.0})
    bench.wait(0.1)
    bench.notices.clear()
    near.data(NEAR, Address("other", "z"), b"hello")
    near.data(NEAR, Address("us", "nosuch"), b"hi")
    assert bench.notices == [
        "receives 5 bytes from near:x to other:z",
        "passes it on to other",
        "receives 2 bytes from near:x to us:nosuch",
        "sends 100 bytes from us:unreach to near:unreach by way of near",
    ]
