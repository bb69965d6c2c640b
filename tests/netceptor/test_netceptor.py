from __future__ import annotations

import random

import pytest
from mesh_bench import Bench, Neighbour, join

from receptor.netceptor.effects import Disconnect, Send, StreamData, StreamEnded, StreamOpened
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.messages import RoutingUpdate, encode_routing_update
from receptor.netceptor.packets import Address, Datagram, encode_datagram


def update_of_near(sequence: int, forwarder: str = "near") -> bytes:
    return encode_routing_update(
        RoutingUpdate(
            node_id="near",
            update_id=f"u{sequence}",
            epoch=7,
            sequence=sequence,
            connections={"us": 1.0},
            forwarding_node=forwarder,
        )
    )


def test_effects_are_handed_over_once_and_in_order() -> None:
    bench = Bench()
    bench.node.session_opened(1, LinkTerms(), 0.0)
    bench.node.packets_received(1, [update_of_near(1), update_of_near(2, forwarder="other")], 0.0)
    effects = [effect for effect in bench.node.poll(0.0) if isinstance(effect, Send | Disconnect)]
    assert [type(effect) for effect in effects] == [Send, Send, Send, Disconnect], "set-up, update, reject, end"
    assert bench.node.poll(0.0) == []


def test_after_a_bad_packet_the_rest_of_what_came_with_it_is_dropped() -> None:
    bench = Bench()
    near = join(bench, 1)
    bench.node.open_datagrams("svc")
    good = encode_datagram(Datagram(Address("near", "x"), Address("us", "svc"), b"hello"), 1)
    near.say(good, b"", good)
    assert bench.did() == ["datagram from near:x to us:svc: 'hello'", "1: disconnect", "routes none"]


def test_packets_and_ends_of_unknown_sessions_are_ignored() -> None:
    bench = Bench()
    bench.receive(99, update_of_near(1), b"", b"\0" * 40, b"\x03[]")
    bench.close(99)
    assert bench.did() == []


def test_the_deadline_is_the_next_thing_to_do() -> None:
    bench = Bench()
    assert bench.node.deadline() == 60.0, "the sweep of what has gone"
    bench.open(1)
    assert bench.node.deadline() == 1.0, "the set-up is repeated"
    Neighbour(bench, 1).update({})
    assert bench.node.deadline() == 10.0, "our next update"
    bench.wait(5.0)
    bench.node.pings.start("near", bench.now)
    bench.wait(5.0)
    assert bench.node.deadline() == 15.0, "the end of the ping"


def test_a_call_too_early_or_too_late_does_no_harm() -> None:
    bench = Bench()
    join(bench, 1)
    bench.now = 9.9
    bench.poll()
    assert bench.did() == []
    bench.now = 20.9
    bench.poll()
    assert bench.did() == ["1: update of us (near at 1)"], "one, though two were due"


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_stream_within_the_node_takes_turns_with_the_shell(size: int) -> None:
    """However much two ends on this node say to each other, poll comes back and asks to be called again."""
    bench = Bench()
    node = bench.node
    node.streams.listen("svc")
    dialer = node.streams.dial("us", "svc", 0.0)
    told = node.poll(0.0)
    assert {type(effect) for effect in told} == {StreamOpened}
    node.streams.write(dialer, random.Random(1).randbytes(size))
    node.streams.end(dialer)
    received = 0
    for _ in range(100_000):
        deadline = node.deadline()
        assert deadline is not None
        bench.now = max(bench.now, deadline)
        told = node.poll(bench.now)
        received += sum(len(effect.data) for effect in told if isinstance(effect, StreamData))
        if any(isinstance(effect, StreamEnded) for effect in told):
            break
    assert received == size
