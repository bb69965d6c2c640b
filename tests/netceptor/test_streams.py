from __future__ import annotations

import gc
import random
from dataclasses import dataclass

import pytest
from simulation import Cable, Simulation, line_of_nodes

from receptor.errors import UnreachableError
from receptor.netceptor.effects import (
    DatagramArrived,
    Notice,
    StreamClosed,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamWritable,
)
from receptor.netceptor.firewall import OPEN, Firewall, FirewallRule, Verdict
from receptor.netceptor.limits import MeshLimits
from receptor.netceptor.messages import MESSAGE_EXPIRED, Unreachable, encode_unreachable
from receptor.netceptor.packets import Address, Datagram
from receptor.netceptor.qh3_connection import STREAM_WINDOW
from receptor.netceptor.quic import PROBE_PATIENCE, StreamConnection
from receptor.netceptor.streams import WRITE_LIMIT, Streams

BLOB = random.Random(7).randbytes(3 * 1024 * 1024)


@dataclass
class End:
    """One end of a stream."""

    simulation: Simulation
    node: str
    number: int

    @property
    def streams(self) -> Streams:
        return self.simulation.nodes[self.node].streams

    def write(self, data: bytes) -> bool:
        more = self.streams.write(self.number, data)
        self.simulation.settle(self.node)
        return more

    def end(self) -> None:
        self.streams.end(self.number)
        self.simulation.settle(self.node)

    def finish(self) -> None:
        self.streams.finish(self.number, self.simulation.now)
        self.simulation.settle(self.node)

    def close(self) -> None:
        self.streams.close(self.number)
        self.simulation.settle(self.node)

    def pause(self) -> None:
        self.streams.pause(self.number)

    def resume(self) -> None:
        self.streams.resume(self.number)
        self.simulation.settle(self.node)

    @property
    def received(self) -> bytes:
        told = self.simulation.told_of(self.node, StreamData)
        return b"".join(effect.data for effect in told if effect.stream == self.number)

    @property
    def ended(self) -> bool:
        return StreamEnded(self.number) in self.simulation.told[self.node]

    @property
    def writable(self) -> bool:
        return StreamWritable(self.number) in self.simulation.told[self.node]

    @property
    def closed(self) -> list[str | None]:
        """The problem of the end of the stream, if it has ended."""
        told = self.simulation.told_of(self.node, StreamClosed)
        return [effect.problem for effect in told if effect.stream == self.number]

    @property
    def opened(self) -> bool:
        return any(effect.stream == self.number for effect in self.simulation.told_of(self.node, StreamOpened))


def dial(simulation: Simulation, node: str, target: str, service: str = "svc") -> End:
    number = simulation.nodes[node].streams.dial(target, service, simulation.now)
    simulation.settle(node)
    return End(simulation, node, number)


def listen(simulation: Simulation, node: str) -> None:
    simulation.nodes[node].streams.listen("svc")


def the_cable(simulation: Simulation) -> Cable:
    """The only one that there is."""
    first, *others = simulation.cables.values()
    assert all(cable is first for cable in others)
    return first


def stream_between(simulation: Simulation, node: str, target: str) -> tuple[End, End]:
    """An open stream: the dialer's end and the listener's."""
    before = len(simulation.told_of(target, StreamOpened))
    dialer = dial(simulation, node, target)
    assert simulation.run_until(lambda: dialer.opened and len(simulation.told_of(target, StreamOpened)) > before)
    return dialer, End(simulation, target, simulation.told_of(target, StreamOpened)[-1].stream)


@pytest.fixture
def simulation() -> Simulation:
    """Nodes a and b; b listens."""
    simulation = line_of_nodes("a", "b")
    listen(simulation, "b")
    return simulation


# A stream and its two halves


def test_both_ends_learn_who_is_at_the_other(simulation: Simulation) -> None:
    stream_between(simulation, "a", "b")
    (dialled,), (accepted,) = simulation.told_of("a", StreamOpened), simulation.told_of("b", StreamOpened)
    assert dialled.remote == accepted.local == Address("b", "svc")
    assert accepted.remote == dialled.local
    assert dialled.local.node == "a"


def test_each_half_ends_by_itself(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    dialer.write(b"question")
    dialer.end()
    assert simulation.run_until(lambda: listener.ended)
    assert listener.received == b"question"
    assert not dialer.ended
    listener.write(b"answer")
    simulation.run(1.0)
    listener.end()
    assert simulation.run_until(lambda: dialer.ended)
    assert dialer.received == b"answer"
    assert dialer.closed == listener.closed == []


def test_many_streams_of_a_service_do_not_mix(simulation: Simulation) -> None:
    pairs = [stream_between(simulation, "a", "b") for _ in range(5)]
    for number, (dialer, listener) in enumerate(pairs):
        dialer.write(b"d%d" % number)
        listener.write(b"l%d" % number)
    simulation.run(1.0)
    assert [listener.received for _, listener in pairs] == [b"d%d" % number for number in range(5)]
    assert [dialer.received for dialer, _ in pairs] == [b"l%d" % number for number in range(5)]


def test_finish_delivers_everything_and_then_closes_in_order(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    dialer.write(b"x" * 500_000)
    dialer.finish()
    assert simulation.run_until(lambda: listener.ended)
    listener.write(BLOB)
    listener.finish()
    simulation.run(5.0)
    assert listener.received == b"x" * 500_000
    assert dialer.closed == listener.closed == [], "who finishes hears no more of a stream"
    assert all_forgotten(simulation)


def test_close_ends_both_halves_at_once(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    dialer.write(BLOB)
    dialer.close()
    assert simulation.run_until(lambda: listener.closed)
    assert listener.closed == [None]
    assert not listener.ended, "so the listener can tell that something is missing"
    assert dialer.closed == [], "who closes hears no more of a stream"
    simulation.run(5.0)
    assert all_forgotten(simulation)


def test_what_is_done_to_a_stream_that_is_over_has_no_effect(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    dialer.close()
    simulation.run(5.0)
    before = [list(told) for told in simulation.told.values()]
    for end in (dialer, listener):
        assert end.write(b"too late")
        end.pause()
        end.resume()
        end.end()
        end.finish()
        end.close()
    simulation.run(1.0)
    assert [list(told) for told in simulation.told.values()] == before


def all_forgotten(simulation: Simulation) -> bool:
    """Whether no node waits for anything of a stream."""
    return all(node.streams.timers.deadline() is None for node in simulation.nodes.values())


# Back-pressure


def test_a_reader_that_pauses_holds_the_writer_back(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    listener.pause()
    written = 0
    while dialer.write(bytes(64 * 1024)):
        written += 64 * 1024
        simulation.run(0.1)
        assert written <= STREAM_WINDOW + 2 * WRITE_LIMIT, "the writer is never told to wait"
    assert written >= STREAM_WINDOW
    simulation.run(60.0)
    assert listener.received == b""
    assert not dialer.writable
    listener.resume()
    assert simulation.run_until(lambda: dialer.writable)
    dialer.end()
    assert simulation.run_until(lambda: listener.ended)
    assert len(listener.received) == written + 64 * 1024


def test_a_stream_held_back_leaves_others_alone(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    listener.pause()
    dialer.write(bytes(2 * STREAM_WINDOW))
    other_dialer, other_listener = stream_between(simulation, "a", "b")
    other_dialer.write(BLOB)
    other_dialer.end()
    assert simulation.run_until(lambda: other_listener.ended)
    assert other_listener.received == BLOB


def test_a_writer_that_had_to_wait_is_told_once_when_there_is_room(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    assert dialer.write(b"small")
    simulation.run(1.0)
    assert not dialer.writable
    assert not dialer.streams.write(dialer.number, BLOB)
    simulation.settle("a")
    assert simulation.run_until(lambda: dialer.writable)
    simulation.run(5.0)
    assert len(simulation.told_of("a", StreamWritable)) == 1
    assert listener.received == b"small" + BLOB


def test_everything_arrives_although_its_writer_has_left_a_paused_reader(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    dialer.pause()
    listener.write(BLOB * 2)
    listener.finish()
    simulation.run(200.0)
    dialer.resume()
    assert simulation.run_until(lambda: dialer.ended)
    assert dialer.received == BLOB * 2


# A dial that fails


def test_without_a_route_a_dial_fails_at_once(simulation: Simulation) -> None:
    start = simulation.now
    dialer = dial(simulation, "a", "nowhere")
    assert dialer.closed == ["no route to node nowhere"]
    assert simulation.now == start
    simulation.run(5.0)
    assert all_forgotten(simulation)


def test_the_longest_name_without_a_route_is_no_more_trouble(simulation: Simulation) -> None:
    name = "x" * 1024
    assert dial(simulation, "a", name).closed == [f"no route to node {name}"]
    simulation.run(5.0)
    assert all_forgotten(simulation)


def test_a_dial_of_an_unknown_service_fails_as_soon_as_the_node_has_answered(simulation: Simulation) -> None:
    start = simulation.now
    dialer = dial(simulation, "a", "b", "nosuch")
    assert simulation.run_until(lambda: dialer.closed)
    assert dialer.closed == ["service unknown: nosuch on b"]
    assert simulation.now - start < 0.1
    assert all_forgotten(simulation)


@pytest.mark.parametrize("where", ["a", "b", "c"])
def test_a_dial_that_a_firewall_blocks_fails_as_soon_as_that_node_has_answered(where: str) -> None:
    simulation = Simulation()
    blocked = Firewall([FirewallRule(Verdict.REJECT, from_node="a", to_service="svc")])
    for name in "abc":
        simulation.add(name, firewall=blocked if name == where else OPEN)
    simulation.plug("a", "b")
    simulation.plug("b", "c")
    assert simulation.run_until(lambda: len(simulation.routes("a")) == 2)
    listen(simulation, "c")
    start = simulation.now
    dialer = dial(simulation, "a", "c")
    assert simulation.run_until(lambda: dialer.closed)
    assert dialer.closed == [f"blocked by firewall of {where}: svc on c"]
    assert simulation.now - start < 0.1
    assert simulation.run_until(lambda: all_forgotten(simulation))


def test_a_dial_of_a_silent_service_fails_after_15_seconds(simulation: Simulation) -> None:
    simulation.nodes["b"].open_datagrams("silent")
    start = simulation.now
    dialer = dial(simulation, "a", "b", "silent")
    assert simulation.run_until(lambda: dialer.closed)
    assert dialer.closed == ["no answer to the handshake in 15 s"]
    assert simulation.now - start == pytest.approx(15.0, abs=1.0)


def test_a_dial_that_is_given_up_leaves_nothing(simulation: Simulation) -> None:
    dialer = dial(simulation, "a", "b")
    dialer.close()
    simulation.run(20.0)
    assert dialer.closed == []
    assert simulation.told_of("b", StreamOpened) == []
    assert simulation.told_of("b", StreamClosed) == []
    assert all_forgotten(simulation)


def test_a_dial_whose_first_datagram_is_lost_succeeds_a_little_later(simulation: Simulation) -> None:
    cable = the_cable(simulation)
    cable.cut = True
    dialer = dial(simulation, "a", "b")
    simulation.run(0.1)
    cable.cut = False
    assert simulation.run_until(lambda: dialer.opened, 2.0)


# Time


def test_an_idle_stream_lives_for_minutes(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    simulation.run(600.0)
    dialer.write(b"still here")
    assert simulation.run_until(lambda: listener.received == b"still here", 1.0)


def test_both_ends_miss_each_other_within_a_minute(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    simulation.run(1.0)
    the_cable(simulation).cut = True
    simulation.run(20.0)
    assert dialer.closed == listener.closed == []
    simulation.run(40.0)
    for end in (dialer, listener):
        (problem,) = end.closed
        assert problem is not None
        assert "Idle timeout" in problem
    assert all_forgotten(simulation)


def test_the_listener_hears_at_once_that_the_dialer_knows_nothing_of_the_stream(simulation: Simulation) -> None:
    _, listener = stream_between(simulation, "a", "b")
    (opened,) = simulation.told_of("b", StreamOpened)
    simulation.nodes["a"].switch.close(opened.remote.service)
    listener.write(b"hello?")
    assert simulation.run_until(lambda: listener.closed, 1.0)
    assert str(listener.closed[0]).startswith("service unknown: ")


def test_a_stream_moves_to_another_way_when_its_own_is_cut() -> None:
    simulation = line_of_nodes("a", "c", "b")
    direct = simulation.plug("a", "b")
    listen(simulation, "b")
    simulation.run(1.0)
    assert simulation.routes("a")["b"] == "b"
    dialer, listener = stream_between(simulation, "a", "b")
    dialer.write(BLOB)
    simulation.unplug(direct)
    dialer.end()
    assert simulation.run_until(lambda: listener.ended)
    assert listener.received == BLOB


def test_a_stream_outlives_a_short_loss_of_the_link(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    simulation.unplug(the_cable(simulation))
    dialer.write(BLOB)
    simulation.run(10.0)
    simulation.plug("a", "b")
    dialer.end()
    assert simulation.run_until(lambda: listener.ended)
    assert listener.received == BLOB


# Ways


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_streams_over_three_hops_arrive_byte_for_byte_both_ways(loss: float) -> None:
    simulation = line_of_nodes("a", "b", "c", "d", latency=0.01)
    listen(simulation, "d")
    dialer, listener = stream_between(simulation, "a", "d")
    for cable in simulation.cables.values():
        cable.loss = loss
    for end in (dialer, listener):
        end.write(BLOB)
        end.end()
    assert simulation.run_until(lambda: dialer.ended and listener.ended, 300.0)
    assert dialer.received == BLOB
    assert listener.received == BLOB


@pytest.mark.parametrize("target", ["a", "localhost"])
def test_a_node_may_dial_itself(target: str) -> None:
    simulation = Simulation()
    simulation.add("a")
    listen(simulation, "a")
    dialer = dial(simulation, "a", target)
    assert simulation.run_until(lambda: len(simulation.told_of("a", StreamOpened)) == 2)
    (listener,) = [
        End(simulation, "a", opened.stream)
        for opened in simulation.told_of("a", StreamOpened)
        if opened.stream != dialer.number
    ]
    for end in (dialer, listener):
        end.write(BLOB)
        end.end()
    assert simulation.run_until(lambda: dialer.ended and listener.ended)
    assert dialer.received == listener.received == BLOB
    failed = dial(simulation, "a", target, "nosuch")
    assert failed.closed == ["service unknown: nosuch on this node"]


# Listening


def test_a_service_has_one_listener(simulation: Simulation) -> None:
    with pytest.raises(ValueError, match="is open already"):
        listen(simulation, "b")


def test_the_service_of_a_dialer_ends_with_its_stream(simulation: Simulation) -> None:
    dialer, _ = stream_between(simulation, "a", "b")
    (opened,) = simulation.told_of("a", StreamOpened)
    switch = simulation.nodes["a"].switch
    assert switch.is_open(opened.local.service)
    dialer.close()
    simulation.run(1.0)
    assert not switch.is_open(opened.local.service)


def test_streams_that_are_over_leave_nothing_behind(simulation: Simulation) -> None:
    before = connections_in_memory()
    for _ in range(20):
        dialer, listener = stream_between(simulation, "a", "b")
        dialer.write(b"question")
        listener.finish()
        dialer.close()
    dial(simulation, "a", "b", "nosuch")
    dial(simulation, "a", "nowhere")
    simulation.run(60.0)
    assert connections_in_memory() == before


def connections_in_memory() -> int:
    gc.collect()
    return sum(isinstance(each, StreamConnection) for each in gc.get_objects())


# Reports that a datagram was undeliverable


def test_a_report_about_no_stream_is_ignored(simulation: Simulation) -> None:
    simulation.nodes["a"].send_datagram("x", Address("b", "nosuch"), b"", simulation.now)
    simulation.settle("a")
    simulation.run(1.0)
    stream_between(simulation, "a", "b")


def test_a_stream_outlives_a_report_that_a_datagram_went_round_in_circles(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    (opened,) = simulation.told_of("a", StreamOpened)
    expired = Unreachable(
        from_node="a",
        to_node="b",
        from_service=opened.local.service,
        to_service="svc",
        problem=MESSAGE_EXPIRED,
    )
    report = encode_unreachable(expired)
    simulation.nodes["b"].send_datagram("unreach", Address("a", "unreach"), report, simulation.now)
    simulation.settle("b")
    dialer.write(b"still here")
    simulation.run(1.0)
    assert listener.received == b"still here"
    assert dialer.closed == []


# Hostile datagrams


def test_garbage_hurts_at_most_the_stream_that_it_is_for(simulation: Simulation) -> None:
    dialer, listener = stream_between(simulation, "a", "b")
    other_dialer, other_listener = stream_between(simulation, "a", "b")
    (local, *_) = [opened.local for opened in simulation.told_of("a", StreamOpened)]
    noise = random.Random(3)
    for size in [0, 1, 30, 1200, 1500, 16_384] * 5:
        simulation.nodes["a"].send_datagram(local.service, Address("b", "svc"), noise.randbytes(size), simulation.now)
        simulation.nodes["a"].send_datagram("stranger", Address("b", "svc"), noise.randbytes(size), simulation.now)
    simulation.settle("a")
    simulation.run(30.0)
    for one, other in ((dialer, listener), (other_dialer, other_listener)):
        one.write(b"unharmed")
        assert simulation.run_until(lambda other=other: other.received == b"unharmed", 1.0)  # type: ignore[misc]
    assert all(node.streams.timers.deadline() for node in simulation.nodes.values())


def first_datagram(simulation: Simulation) -> bytes:
    """What a dialer sends first."""
    simulation.nodes["b"].open_datagrams("mirror")
    dial(simulation, "a", "b", "mirror")
    assert simulation.run_until(lambda: simulation.told_of("b", DatagramArrived))
    return simulation.told_of("b", DatagramArrived)[0].datagram.payload


@pytest.fixture
def limited() -> Simulation:
    """The node b accepts 4 streams, 3 of them not yet opened, and dials 2."""
    simulation = Simulation()
    simulation.add("a")
    simulation.add("b", limits=MeshLimits(accepted_streams=4, unopened_streams=3, dialled_streams=2))
    simulation.plug("a", "b")
    simulation.run(1.0)
    simulation.nodes["a"].streams.listen("svc")
    simulation.nodes["b"].streams.listen("svc")
    return simulation


def refusals(simulation: Simulation) -> list[str]:
    return [notice.text for notice in simulation.told_of("b", Notice) if "stream was refused" in notice.text]


@pytest.mark.parametrize("damaged_byte", [-1, 4], ids=["can't be decrypted", "unknown version"])
def test_streams_that_never_begin_are_limited_and_forgotten(limited: Simulation, damaged_byte: int) -> None:
    damaged = bytearray(first_datagram(limited))
    damaged[damaged_byte] ^= 2
    node = limited.nodes["b"].streams

    def knock(count: int) -> None:
        for number in range(count):
            limited.nodes["a"].send_datagram(f"s{number}", Address("b", "svc"), bytes(damaged), limited.now)
        limited.settle("a")
        limited.run(1.0)

    knock(3)
    assert refusals(limited) == []
    knock(100)
    assert refusals(limited) == [
        "a stream was refused: 3 streams that others have begun to open wait for their handshake"
    ]
    limited.run(20.0)
    assert limited.told_of("b", StreamOpened) == []
    assert limited.told_of("b", StreamClosed) == []
    assert node.timers.deadline() is None
    stream_between(limited, "a", "b")


def test_streams_that_others_open_are_limited_and_those_that_we_dial_separately(limited: Simulation) -> None:
    accepted = [stream_between(limited, "a", "b")[0] for _ in range(4)]
    late = dial(limited, "a", "b", "svc")
    limited.run(16.0)
    assert late.closed == ["no answer to the handshake in 15 s"]
    assert refusals(limited) == ["a stream was refused: others have opened 4 streams to this node"]
    dialled = [stream_between(limited, "b", "a")[0] for _ in range(2)]
    with pytest.raises(UnreachableError, match="this node has opened 2 streams already"):
        limited.nodes["b"].streams.dial("a", "svc", limited.now)
    accepted[0].close()
    dialled[0].close()
    limited.run(1.0)
    stream_between(limited, "a", "b")
    stream_between(limited, "b", "a")


# Restarts


@pytest.mark.parametrize("names", ["ab", "acb"], ids=["neighbour", "farther node"])
def test_streams_with_a_node_that_was_restarted_break_at_once(names: str) -> None:
    """Until now each waited half a minute for an answer that nobody could give."""
    simulation = line_of_nodes(*names)
    for node in "ab":
        listen(simulation, node)
    ends = [*stream_between(simulation, "a", "b"), *stream_between(simulation, "b", "a")]
    ours = [end for end in ends if end.node == "a"]
    simulation.kill("b")
    simulation.run(1.0)
    assert not any(end.closed for end in ours), "it may come back as it was"
    simulation.add("b")
    simulation.plug(names[-2], "b")
    listen(simulation, "b")
    assert simulation.run_until(lambda: all(end.closed for end in ours), 2.0)
    assert [end.closed for end in ours] == [["b was restarted"]] * 2
    dialer, listener = stream_between(simulation, "a", "b")
    dialer.write(b"anew")
    simulation.run(1.0)
    assert listener.received == b"anew"
    assert not dialer.closed


@pytest.mark.parametrize(
    "noise", [b"", b"\x40 a stateless reset is meant to look like noise"], ids=["silence", "noise"]
)
def test_a_restarted_node_that_says_nothing_of_its_former_streams_is_not_waited_for_for_long(noise: bytes) -> None:
    """Existing nodes are silent or answer with what nobody can read (RFC 9000, section 10.3)."""

    def answer(datagram: Datagram, now: float) -> None:
        if len(datagram.payload) > len(noise) > 0:
            restarted.send_datagram("svc", datagram.source, noise, now)

    simulation = line_of_nodes("a", "b")
    listen(simulation, "b")
    dialer, _ = stream_between(simulation, "a", "b")
    simulation.kill("b")
    restarted = simulation.add("b")
    restarted.switch.open("svc", answer)
    simulation.plug("a", "b")
    for _ in range(3):
        dialer.write(b"anybody there?")
        simulation.run(1.0)
    assert simulation.run_until(lambda: dialer.closed, 2 * PROBE_PATIENCE)
    assert noise or dialer.closed == ["the far end was restarted and knows nothing of the stream"]


def test_a_stream_whose_reader_lags_survives_a_forged_restart() -> None:
    simulation = line_of_nodes("a", "b")
    listen(simulation, "b")
    dialer, listener = stream_between(simulation, "a", "b")
    listener.pause()
    simulation.nodes["b"].streams.node_restarted("a", simulation.now)
    simulation.settle("b")
    simulation.run(3 * PROBE_PATIENCE)
    dialer.write(b"still there")
    listener.resume()
    simulation.run(2 * PROBE_PATIENCE)
    assert listener.received == b"still there"
    assert not listener.closed


def test_streams_survive_a_forged_update_of_a_later_run() -> None:
    simulation = line_of_nodes("a", "b")
    listen(simulation, "b")
    dialer, listener = stream_between(simulation, "a", "b")
    simulation.add("impostor", node_id="b", clock_error=100.0)
    simulation.add("c")
    simulation.plug("a", "c")
    simulation.plug("impostor", "c")
    simulation.run(30.0)
    for number in range(5):
        dialer.write(b"still there")
        simulation.run(20.0)
        assert listener.received == b"still there" * (number + 1)
    assert not dialer.closed


def test_streams_survive_a_link_that_comes_back_with_the_same_run() -> None:
    simulation = line_of_nodes("a", "b")
    listen(simulation, "b")
    dialer, listener = stream_between(simulation, "a", "b")
    simulation.unplug(the_cable(simulation))
    simulation.plug("a", "b")
    simulation.run(15.0)
    dialer.write(b"still there")
    simulation.run(1.0)
    assert listener.received == b"still there"
    assert not dialer.closed
