from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from event_loops import EventLoop
from running_mesh import dialling, echo, joined_streams, listening, routes, row, running

from receptor.backends import dialling as backends_dialling
from receptor.errors import UnreachableError
from receptor.netceptor.effects import Effect, LinkUp
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.messages import MESSAGE_EXPIRED, RoutingUpdate, WorkCommand, encode_routing_update
from receptor.netceptor.packets import DATA, LARGEST_PACKET, REJECT, ROUTING_UPDATE, Address
from receptor.node.mesh_node import MeshNode

# Pings


def test_pings_of_nodes_near_and_far_and_of_oneself(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "hop", "bar") as (foo, _, _):
            for target, answers in (("hop", "hop"), ("bar", "bar"), ("foo", "foo"), ("localhost", "foo")):
                ended = await foo.ping(target)
                assert ended.problem is None
                assert ended.node == answers
                assert 0 <= ended.seconds < 5

    run(main())


def test_a_ping_expires_at_the_node_that_its_hops_lead_to(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "hop", "bar") as (foo, _, _):
            reached = [await foo.ping("bar", hops) for hops in range(3)]
            assert [ended.node for ended in reached] == ["foo", "hop", "bar"]
            assert [ended.problem for ended in reached] == [MESSAGE_EXPIRED, MESSAGE_EXPIRED, None]

    run(main())


def test_a_ping_to_nowhere_ends_at_once(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, _):
            ended = await foo.ping("nowhere")
            assert ended.problem
            assert "no route" in ended.problem

    run(main())


# Streams


def test_a_stream_outlives_a_link_that_is_lost_and_made_again(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends_dialling, "FIRST_REDIAL_DELAY", 0.01)

    async def main() -> None:
        async with (
            running("foo") as foo,
            running("bar") as bar,
            listening(bar) as port,
            relay(port) as (relay_port, cut),
            dialling(foo, relay_port),
        ):
            await routes(foo, {"bar"})
            async with joined_streams(foo, bar) as (near, far):
                await near.write(b"before")
                assert await far.read() == b"before"
                cut()
                await routes(foo, set())
                await near.write(b"between")
                await routes(foo, {"bar"})
                assert await far.read() == b"between"

    run(main())


@asynccontextmanager
async def relay(port: int) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """A port whose connections lead to another, until they are cut."""
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, far_writer))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def cut() -> None:
        for writer in writers:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], cut
    server.close()


# Services


def test_services_are_advertised_until_their_node_stops(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo, listening(foo) as port:
            async with running("bar") as bar, dialling(bar, port):
                await routes(foo, {"bar"})
                bar.advertise("control", {"type": "Control Service"}, [WorkCommand("cat", secure=True)])
                await bar.ping("foo")
                (advertisement,) = foo.core.mesh.advertisements.everything()
                assert (advertisement.node_id, advertisement.service) == ("bar", "control")
                assert advertisement.tags == {"type": "Control Service"}
                assert advertisement.work_commands == [WorkCommand("cat", secure=True)]
            await routes(foo, set())
            assert foo.core.mesh.advertisements.everything() == ()

    run(main())


# Links


def test_one_of_two_nodes_with_the_same_id_is_told_to_end(run: EventLoop) -> None:
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def main() -> None:
        # They are no neighbours and have none in common: such links are refused.
        async with (
            row("hop", "bar") as (hop, bar),
            running("foo", lambda reason: told.put_nowait(("one", reason))) as one,
            running("foo", lambda reason: told.put_nowait(("other", reason))) as other,
            listening(one) as port,
            listening(other) as others_port,
            dialling(hop, port),
            dialling(bar, others_port),
        ):
            loser, reason = await told.get()
            assert "has the id foo; give each node an id of its own" in reason
            await (other if loser == "one" else one).ping("hop")
        assert {name for name, _ in [told.get_nowait() for _ in range(told.qsize())]} <= {loser}

    run(main())


def test_link_ended_tells_whether_the_session_had_become_a_link(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            accepted, refused = FakeSession(), FakeSession()
            link = foo.session_opened(accepted, foo.backend(LinkTerms(), dialled=False), "a test")
            stranger = foo.session_opened(
                refused, foo.backend(LinkTerms(allowed_peers=frozenset({"bar"})), dialled=False), "a test"
            )
            waiting = [asyncio.create_task(foo.link_ended(number)) for number in (link, stranger)]
            foo.packets_received(link, [update("bar")])
            foo.packets_received(stranger, [update("baz")])
            assert await waiting[1] is False
            assert refused.is_closed
            assert refused.kinds[-1] == REJECT
            assert not waiting[0].done()
            foo.session_closed(link)
            assert await waiting[0] is True
            assert not accepted.is_closed
            assert await foo.link_ended(link) is False

    run(main())


class FakeSession:
    """A backend's session that keeps what is sent; ``queued`` is what the test says."""

    def __init__(self) -> None:
        self.queued = 0
        self.sent: list[bytes] = []
        self.is_closed = False

    def send(self, packets: Sequence[bytes]) -> None:
        assert not self.is_closed
        self.sent += packets

    def close(self) -> None:
        self.is_closed = True

    @property
    def kinds(self) -> list[int]:
        """The types of the packets that were sent."""
        return [packet[0] for packet in self.sent]


def update(origin: str, *, via: str = "", sequence: int = 1, connections: dict[str, float] | None = None) -> bytes:
    """The routing update of a node, which reached us by a neighbour."""
    return encode_routing_update(
        RoutingUpdate(
            node_id=origin,
            update_id=f"{origin}{sequence}",
            epoch=1,
            sequence=sequence,
            connections={"foo": 1.0} if connections is None else connections,
            forwarding_node=via or origin,
        )
    )


def join(node: MeshNode, neighbour: str) -> tuple[int, FakeSession]:
    """Make a link with a neighbour that only exists on the wire."""
    session = FakeSession()
    number = node.session_opened(session, node.backend(LinkTerms(), dialled=False), neighbour)
    node.packets_received(number, [update(neighbour), update(neighbour, sequence=2)])
    return number, session


def test_data_for_a_link_that_lags_is_dropped_and_routing_is_not(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            _, lagging = join(foo, "bar")
            lagging.sent.clear()
            lagging.queued = DEFAULT_LIMITS.link_backlog // 2 + 1
            foo.core.send_datagram("one", Address("bar", "service"), b"data", 0.0)
            foo.pump()
            foo.advertise("service", {}, None)
            foo.pump()
            assert DATA not in lagging.kinds
            assert len(lagging.kinds) == 1
            lagging.queued -= 1
            foo.core.send_datagram("one", Address("bar", "service"), b"data", 0.0)
            foo.pump()
            assert lagging.kinds[-1] == DATA

    run(main())


def test_a_neighbour_that_does_not_read_loses_its_link_and_no_other(
    run: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with running("foo", limits=MeshLimits(link_backlog=1000)) as foo:
            _, stuck = join(foo, "bar")
            _, other = join(foo, "baz")
            stuck.queued = 1001
            foo.advertise("service", {}, None)
            await routes(foo, {"baz"})
            assert stuck.is_closed
            assert not other.is_closed
            assert "link closed: the neighbour reads too slowly, 1001 bytes wait for it" in caplog.text

    run(main())


def test_a_stranger_s_session_too_many_is_closed_at_once_and_ours_are_opened_all_the_same(
    run: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with running("foo", limits=MeshLimits(unlinked_sessions=2)) as foo:
            sessions = [FakeSession() for _ in range(10)]
            numbers = [
                foo.session_opened(session, foo.backend(LinkTerms(), dialled=False), "a test") for session in sessions
            ]
            assert [session.is_closed for session in sessions] == [False] * 2 + [True] * 8
            assert sessions[-1].sent == []
            assert await foo.link_ended(numbers[-1]) is False
            ours = FakeSession()
            foo.session_opened(ours, foo.backend(LinkTerms(), dialled=True), "a test")
            assert not ours.is_closed
            refusal = "a session was refused: 2 sessions that others have opened wait for their link to be set up"
            assert caplog.text.count(refusal) == 1
            foo.packets_received(numbers[0], [update("bar")])
            join(foo, "baz")
            assert foo.core.mesh.neighbours.keys() == {"bar", "baz"}

    run(main())


def test_an_update_too_large_to_pass_on_hurts_nobody(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo-with-a-long-name") as foo:
            talker, talkers_session = join(foo, "bar")
            _, listener = join(foo, "baz")
            listener.sent.clear()
            many = {"x" * 1000 + str(number): 1.0 for number in range(64)}
            spare = LARGEST_PACKET - len(update("far", via="bar", connections=many | {"y": 1.0}))
            huge = update("far", via="bar", connections=many | {"y" * (spare + 1): 1.0})
            assert len(huge) == LARGEST_PACKET
            foo.packets_received(talker, [huge, update("farther", via="bar", connections={"bar": 1.0})])
            assert all(len(packet) <= LARGEST_PACKET for packet in listener.sent)
            assert any(b'"NodeID":"farther"' in packet for packet in listener.sent)
            assert not talkers_session.is_closed
            assert (await foo.ping("localhost")).problem is None

    run(main())


def test_an_empty_packet_ends_its_link_and_no_other(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            bad, bad_session = join(foo, "bar")
            _, other = join(foo, "baz")
            foo.packets_received(bad, [b"", update("far", via="bar")])
            assert bad_session.is_closed
            assert not other.is_closed
            assert set(foo.core.mesh.topology.routes) == {"baz"}

    run(main())


# The end


def test_stop_leaves_nothing_behind(run: EventLoop) -> None:
    async def main() -> None:
        async with running("bar") as bar, listening(bar) as port:
            bar.listen("echo", echo)
            foo = MeshNode("foo", 21.0, lambda reason: None)
            ended = weakref.ref(foo)
            foo.listen("echo", echo)
            foo.advertise("echo", {}, None)
            async with dialling(foo, port):
                await routes(foo, {"bar"})
                near, far = await foo.dial("bar", "echo"), await bar.dial("foo", "echo")
                reading = [asyncio.create_task(near.read()), asyncio.create_task(far.read())]
                await foo.ping("bar")
            await foo.stop()
            for task in reading:
                with pytest.raises(ConnectionError):
                    await task
            await routes(bar, set())
            del foo, near, far, reading, task
            await asyncio.sleep(0)
            gc.collect()
            assert ended() is None
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_stop_sends_what_is_queued_before_it_closes_the_links(run: EventLoop) -> None:
    async def main() -> None:
        foo = MeshNode("foo", 21.0, lambda reason: None)
        _, session = join(foo, "bar")
        foo.advertise("service", {}, None)
        await foo.stop()
        assert b'"Cancel":true' in session.sent[-1]
        assert session.is_closed
        assert ROUTING_UPDATE in session.kinds

    run(main())


def test_a_defect_of_the_core_is_logged_and_the_mesh_goes_on(
    run: EventLoop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, _):

            def fail_once(now: float) -> list[Effect]:
                monkeypatch.undo()
                raise RuntimeError("nobody has thought of this")

            monkeypatch.setattr(foo.core, "poll", fail_once)
            assert (await foo.ping("bar")).problem is None

    run(main())
    assert "a defect of this program, please report it; the mesh goes on" in caplog.text
    assert "nobody has thought of this" in caplog.text


def test_a_defect_in_carrying_out_one_thing_costs_no_other(
    run: EventLoop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            poll = foo.core.poll
            of_no_session = LinkUp(4711, "bar", 1.0)
            monkeypatch.setattr(foo.core, "poll", lambda now: [of_no_session, *poll(now)])
            with pytest.raises(UnreachableError):
                await foo.dial("nosuch", "service")

    run(main())
    assert "a defect of this program, please report it; the mesh goes on" in caplog.text


def test_a_session_that_fails_to_send_costs_no_other_its_packets(
    run: EventLoop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(packets: Sequence[bytes]) -> None:
        raise RuntimeError("nobody has thought of this")

    async def main() -> None:
        async with running("foo") as foo:
            _, bad = join(foo, "bar")
            _, good = join(foo, "baz")
            good.sent.clear()
            monkeypatch.setattr(bad, "send", fail)
            foo.advertise("service", {}, None)
            foo.pump()
            assert len(good.sent) == 1

    run(main())
    assert "nobody has thought of this" in caplog.text


# Backends and datagrams that come and go


def test_the_sessions_of_one_backend_can_be_ended(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            one, other = (foo.backend(LinkTerms(), dialled=False) for _ in range(2))
            sessions = [FakeSession() for _ in range(3)]
            for session, backend in zip(sessions, (one, other, one), strict=True):
                foo.session_opened(session, backend, "a test")
            one.end_all("not wanted any more")
            assert [session.is_closed for session in sessions] == [True, False, True]

    run(main())


def test_datagrams_go_to_their_service_and_back(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "hop", "bar") as (foo, _, bar):
            answers: asyncio.Queue[tuple[Address, bytes]] = asyncio.Queue()
            here = foo.open_datagrams(lambda source, payload: answers.put_nowait((source, payload)))
            there = bar.open_datagrams(lambda source, payload: there.send(source, payload.upper()), "shout")
            here.send(Address("bar", "shout"), b"hello")
            assert await answers.get() == (Address("bar", "shout"), b"HELLO")
            there.close()
            again = bar.open_datagrams(lambda source, payload: again.send(source, payload * 2), "shout")
            here.send(Address("bar", "shout"), b"ha")
            assert await answers.get() == (Address("bar", "shout"), b"haha")

    run(main())


def test_a_datagram_service_has_one_user(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            foo.open_datagrams(lambda *_: None, "svc")
            with pytest.raises(ValueError, match="svc is open already"):
                foo.open_datagrams(lambda *_: None, "svc")
            with pytest.raises(UnreachableError):
                foo.open_datagrams(lambda *_: None).send(Address("bar", "svc"), b"")

    run(main())
