"""What every backend must do; ``backend_kinds.KINDS`` says which there are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from backend_kinds import KINDS, Address, BackendKind, FakeOwner, Kept
from event_loops import EventLoop
from websocket_kind import WebSocket

from receptor.backends import udp

ALL_KINDS = KINDS | {"ws": WebSocket(secure=False), "wss": WebSocket(secure=True)}


@pytest.fixture(params=ALL_KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> BackendKind:
    kind = ALL_KINDS[request.param]
    kind.hasten_redial(monkeypatch)
    return kind


@pytest.fixture(params=[name for name, kind in ALL_KINDS.items() if not kind.loses_packets])
def reliable_kind(request: pytest.FixtureRequest) -> BackendKind:
    return ALL_KINDS[request.param]


@asynccontextmanager
async def listening(kind: BackendKind, address: Address | None = None) -> AsyncIterator[tuple[FakeOwner, Address]]:
    owner = kind.owner()
    async with kind.listening(owner, address) as where:
        try:
            yield owner, where
        finally:
            owner.drop_all()
    assert owner.complaints == []


@asynccontextmanager
async def dialling(
    kind: BackendKind, address: Address, *, redial: bool = False, makes_links: bool = True
) -> AsyncIterator[FakeOwner]:
    owner = kind.owner(makes_links=makes_links)
    dialer = kind.dialer(owner, address, redial)
    await dialer.start()
    try:
        yield owner
    finally:
        await dialer.stop()
        owner.drop_all()
    assert owner.complaints == []


@asynccontextmanager
async def joined(kind: BackendKind) -> AsyncIterator[tuple[FakeOwner, Kept, FakeOwner, Kept]]:
    """A listener and a dialer, each with its session."""
    async with listening(kind) as (hub, address), dialling(kind, address) as spoke:
        yield hub, await hub.next_session(), spoke, await spoke.next_session()


def test_both_ends_learn_of_a_session(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        async with listening(kind) as (hub, (host, port)), dialling(kind, (host, port)) as spoke:
            accepted, dialled = await hub.next_session(), await spoke.next_session()
            assert dialled.peer == f"{host}:{port}"
            assert accepted.peer.startswith(f"{host}:")

    run(main())


def test_packets_of_all_sizes_arrive_whole_and_in_order(run: EventLoop, kind: BackendKind) -> None:
    rng = random.Random(1)
    sizes = [1, 2, 3, 127, 128, 255, 256, 257, 1200, 16_420, kind.largest_packet - 1, kind.largest_packet]
    packets = [rng.randbytes(size) for size in sizes + [rng.randrange(1, 3000) for _ in range(500)] + sizes]

    async def main() -> None:
        async with joined(kind) as (_, accepted, _, dialled):
            for batch in [[packet] for packet in packets] if kind.loses_packets else [packets]:
                accepted.session.send(batch)
                for packet in batch:
                    dialled.session.send([packet])
                assert await accepted.receive(len(batch)) == batch
                assert await dialled.receive(len(batch)) == batch

    run(main())


def test_an_empty_packet_hurts_no_other(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        async with joined(kind) as (_, accepted, _, dialled):
            dialled.session.send([b"", b"one", b"", b"", b"two"])
            received: list[bytes] = []
            while b"two" not in received:
                received += await accepted.receive(1)
            assert [packet for packet in received if packet] == [b"one", b"two"]

    run(main())


def test_a_session_that_its_owner_closes_delivers_what_was_queued(run: EventLoop, kind: BackendKind) -> None:
    packets = [bytes([number]) * 60_000 for number in range(2 if kind.loses_packets else 100)]

    async def main() -> None:
        async with joined(kind) as (hub, accepted, _, dialled):
            accepted.session.send(packets)
            hub.drop(accepted)
            assert await dialled.receive(len(packets)) == packets
            await dialled.over.wait()

    run(main())


def test_a_session_may_be_closed_while_it_is_opened(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        owner = kind.owner(refuses=True)
        async with kind.listening(owner) as address, dialling(kind, address) as spoke:
            dialled = await spoke.next_session()
            dialled.session.send([b"one"] * 100)
            await dialled.over.wait()
        assert len(owner.sessions) == 1
        assert owner.complaints == []
        assert owner.sessions[0].packets.empty()

    run(main())


def test_a_session_may_be_closed_while_it_is_heard(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        async with joined(kind) as (hub, accepted, _, dialled):
            hub.closes_on = b"one"
            dialled.session.send([b"one"] * 100)
            dialled.session.send([b"two"] * 100)
            await dialled.over.wait()
            assert accepted.was_dropped
            assert len(hub.sessions) == 1

    run(main())


@pytest.mark.parametrize("way", ["leave", "vanish"])
def test_the_end_of_a_session_is_told_once_and_only_for_it(run: EventLoop, kind: BackendKind, way: str) -> None:
    async def main() -> None:
        async with listening(kind) as (hub, address), dialling(kind, address) as spoke:
            other = await spoke.next_session()
            await hub.next_session()
            outsider = await kind.outsider(address)
            await outsider.send(b"hello")
            gone = await hub.next_session()
            assert await gone.receive(1) == [b"hello"]
            gone.session.send([b"never read"])
            outsider.leave() if way == "leave" else outsider.vanish()
            gone.session.send([b"for nobody"])
            await gone.over.wait()
            other.session.send([b"still here"])
            assert await hub.sessions[0].receive(1) == [b"still here"]

    run(main())


def test_sending_on_a_broken_session_does_not_fail(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        async with listening(kind) as (hub, address):
            outsider = await kind.outsider(address)
            await outsider.send(b"hello")
            kept = await hub.next_session()
            outsider.vanish()
            for _ in range(100):
                kept.session.send([b"x" * 1000] * 100)
            await kept.over.wait()
            kept.session.send([b"x"])
            kept.session.close()

    run(main())


def test_a_slow_reader_holds_up_only_itself(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        async with listening(kind) as (hub, address), dialling(kind, address) as spoke:
            quick = await spoke.next_session()
            quick_end = await hub.next_session()
            outsider = await kind.outsider(address)
            slow = await hub.next_session()
            slow.session.send([b"x" * 20_000] * 1000)
            quick_end.session.send([b"at once"])
            assert await quick.receive(1) == [b"at once"]
            assert len(await outsider.receive()) == 20_000
            await outsider.send(b"I heard you")
            assert await slow.receive(1) == [b"I heard you"]
            outsider.vanish()

    run(main())


def test_what_a_slow_reader_leaves_is_queued_and_counted(run: EventLoop, reliable_kind: BackendKind) -> None:
    packets = [number.to_bytes(2, "big") * 10_000 for number in range(1000)]

    async def main() -> None:
        async with listening(reliable_kind) as (hub, address):
            outsider = await reliable_kind.outsider(address)
            slow = await hub.next_session()
            slow.session.send(packets)
            assert slow.session.queued > 1_000_000
            assert [await outsider.receive() for _ in packets] == packets
            assert slow.session.queued == 0
            outsider.leave()

    run(main())


def test_a_reader_that_never_reads_does_not_keep_a_closed_session_open(
    run: EventLoop, reliable_kind: BackendKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    reliable_kind.hasten_close(monkeypatch)

    async def main() -> None:
        async with listening(reliable_kind) as (hub, address):
            outsider = await reliable_kind.outsider(address)
            await outsider.send(b"hello")
            stuck = await hub.next_session()
            stuck.session.send([b"x" * 60_000] * 200)
            hub.drop(stuck)
            await outsider.is_cut()
            outsider.leave()

    run(main())


def test_many_sessions(run: EventLoop, monkeypatch: pytest.MonkeyPatch, kind: BackendKind) -> None:
    monkeypatch.setattr(udp, "SESSIONS_AT_ONCE", kind.many_sessions)

    async def main() -> None:
        async with listening(kind) as (hub, address):
            outsiders = [await kind.outsider(address) for _ in range(kind.many_sessions)]
            for number, outsider in enumerate(outsiders):
                await outsider.send(b"I am %d" % number)
            for _ in outsiders:
                kept = await hub.next_session()
                (packet,) = await kept.receive(1)
                kept.session.send([b"you say: " + packet])
            for number, outsider in enumerate(outsiders):
                assert await outsider.receive() == b"you say: I am %d" % number
                outsider.leave()
            assert len({kept.peer for kept in hub.sessions}) == kind.many_sessions

    run(main())


@pytest.mark.parametrize("ended_by", ["the far end", "its owner"])
def test_a_dialer_dials_again_when_its_session_has_ended(run: EventLoop, kind: BackendKind, ended_by: str) -> None:
    async def main() -> None:
        async with listening(kind) as (hub, address), dialling(kind, address, redial=True) as spoke:
            for turn in range(3):
                dialled, accepted = await spoke.next_session(), await hub.next_session()
                dialled.session.send([b"turn %d" % turn])
                assert await accepted.receive(1) == [b"turn %d" % turn]
                owner, kept = (hub, accepted) if ended_by == "the far end" else (spoke, dialled)
                owner.drop(kept)
                await dialled.over.wait()

    run(main())


def test_a_dialer_waits_for_a_listener_that_comes_later_and_again(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        address = kind.free_address()
        async with dialling(kind, address, redial=True) as spoke:
            for _ in range(2):
                async with listening(kind, address) as (hub, _):
                    await hub.next_session()
                    dialled = await spoke.next_session()
                await dialled.over.wait()

    run(main())


def test_without_redial_one_session_is_all(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        async with listening(kind) as (hub, address), dialling(kind, address, redial=False) as spoke:
            hub.drop(await hub.next_session())
            await (await spoke.next_session()).over.wait()
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("dial ")))
            assert len(hub.sessions) == 1

    run(main())


def test_stopped_listeners_and_dialers_leave_their_sessions_alone(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        hub, spoke = kind.owner(), kind.owner()
        async with kind.listening(hub) as address:
            dialer = kind.dialer(spoke, address, True)
            await dialer.start()
            accepted, dialled = await hub.next_session(), await spoke.next_session()
            accepted.session.send([b"hello"])
            assert await dialled.receive(1) == [b"hello"]
            await dialer.stop()
        dialled.session.send([b"still here"])
        assert await accepted.receive(1) == [b"still here"]
        hub.drop_all()
        await dialled.over.wait()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_another_listener_can_have_the_port_at_once_and_leaves_the_sessions_of_the_first_alone(
    run: EventLoop, kind: BackendKind
) -> None:
    async def main() -> None:
        first, second, spoke = kind.owner(), kind.owner(), kind.owner()
        async with kind.listening(first) as address:
            dialer = kind.dialer(spoke, address, True)
            await dialer.start()
            accepted, dialled = await first.next_session(), await spoke.next_session()
        async with kind.listening(second, address), dialling(kind, address) as other:
            (await other.next_session()).session.send([b"to the second"])
            assert await (await second.next_session()).receive(1) == [b"to the second"]
            dialled.session.send([b"to the first"])
            accepted.session.send([b"and back"])
            assert await accepted.receive(1) == [b"to the first"]
            assert await dialled.receive(1) == [b"and back"]
            second.drop_all()
            await other.sessions[0].over.wait()
        await dialer.stop()
        first.drop_all()
        await dialled.over.wait()
        assert len(first.sessions) == len(second.sessions) == len(spoke.sessions) == 1

    run(main())


def test_a_listener_that_was_stopped_accepts_nobody(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        async with listening(kind) as (_, address):
            pass
        with pytest.raises(OSError):
            await kind.outsider(address)

    run(main())


def test_stopping_a_dialer_that_never_got_through(run: EventLoop, kind: BackendKind) -> None:
    async def main() -> None:
        async with dialling(kind, kind.free_address(), redial=True):
            pass

    run(main())
