from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import msgspec
import pytest
from scripted_stream import FAR_CLIENT, Script, ScriptedStream
from two_way_stream import TwoWayStream

from receptor.config.protection import Limits
from receptor.control.answers import NodeStatus
from receptor.control.commands import Command, Connect, Ping, ShowStatus, WorkCancel
from receptor.control.service import Answer, ControlService
from receptor.errors import CommandError, UnreachableError
from receptor.node.byte_stream import LOCAL_CLIENT, ByteStream, Carrier, Origin
from receptor.workceptor.numbered import Message

GREETING = "Receptor Control, node foo"
STATUS = '{"NodeID":"foo"}'
DEFAULT_LIMITS = Limits()
LONGEST = DEFAULT_LIMITS.control_line
TCP_CLIENT = Origin(Carrier.TCP, "192.0.2.7", "192.0.2.7:4711")


async def dispatch(command: Command, stream: ByteStream) -> Answer | None:
    """Commands of a node that knows a few."""
    match command:
        case ShowStatus():
            return NodeStatus(node_id="foo")
        case WorkCancel(unit_id):
            return {"cancelled": unit_id}
        case Connect():
            while data := await stream.read():
                await stream.write(data.upper())
            return None
        case Ping("slow"):
            await asyncio.get_running_loop().create_future()
        case Ping("defect"):
            raise RuntimeError("nobody has thought of this")
        case Ping(target):
            raise UnreachableError(f"no route\r\nto {target}")
    raise CommandError("this node does not know that")


def session(stream: ScriptedStream, limits: Limits = DEFAULT_LIMITS) -> ScriptedStream:
    """Play a session to its end."""
    asyncio.run(ControlService("foo", dispatch, limits).serve(stream))
    return stream


def test_a_client_that_says_nothing_is_greeted() -> None:
    stream = session(ScriptedStream())
    assert stream.lines == [GREETING]
    assert stream.is_finished


def test_many_commands_in_one_session() -> None:
    stream = session(ScriptedStream(b"status\n", b'{"command":"status"}\nSTAT', b"US\n", b"work cancel abcd1234\n"))
    assert stream.lines == [GREETING, STATUS, STATUS, STATUS, '{"cancelled":"abcd1234"}']
    assert stream.is_finished


def test_carriage_returns_and_empty_lines_are_passed_over() -> None:
    assert session(ScriptedStream(b"\r\n\n\nstatus\r\n\r\n")).lines == [GREETING, STATUS]


def test_a_last_line_without_its_end_is_a_command_too() -> None:
    assert session(ScriptedStream(b"status")).lines == [GREETING, STATUS]


@pytest.mark.parametrize("bad", [b"nonsense", b"{", b"\xff", b"ping nowhere", b"reload", b"work status ../x"])
def test_an_error_is_one_line_and_the_session_goes_on(bad: bytes) -> None:
    _, error, status = session(ScriptedStream(bad + b"\nstatus\n")).lines
    assert error.startswith("ERROR: ")
    assert status == STATUS


def test_an_error_of_several_lines_is_made_one() -> None:
    assert session(ScriptedStream(b'{"command":"ping","target":"a\\nb"}')).lines == [
        GREETING,
        "ERROR: no route to a b",
    ]


def test_a_command_that_uses_up_the_stream_ends_the_session() -> None:
    stream = session(ScriptedStream(b"connect bar control\nstatus\n", b"more"))
    assert stream.written.decode() == f"{GREETING}\nSTATUS\nMORE"
    assert stream.is_finished


@pytest.mark.parametrize("pieces", [[b"x" * 65536] * 17, [b"x" * (LONGEST + 1) + b"\nstatus\n"]])
def test_a_line_too_long_is_refused_and_ends_the_session(pieces: list[bytes]) -> None:
    stream = session(ScriptedStream(*pieces, Script.SILENCE))
    assert stream.lines == [GREETING, "ERROR: a line is longer than 1048576 bytes"]
    assert stream.is_finished


def test_the_longest_line_is_taken() -> None:
    target = "x" * (LONGEST - len('{"command":"status","x":""}\n'))
    line = json.dumps({"command": "status", "x": target}, separators=(",", ":")).encode() + b"\n"
    assert len(line) == LONGEST
    assert session(ScriptedStream(line)).lines == [GREETING, STATUS]


def test_how_long_a_line_may_be_can_be_set() -> None:
    limits = Limits(control_line=len(b"status\n"))
    assert session(ScriptedStream(b"status\n"), limits).lines == [GREETING, STATUS]
    assert session(ScriptedStream(b"status \n"), limits).lines == [GREETING, "ERROR: a line is longer than 7 bytes"]


def test_when_there_are_too_many_sessions_the_next_is_turned_away_and_nobody_else() -> None:
    async def main() -> None:
        service = ControlService("foo", dispatch, Limits(clients=2))

        async def newcomer(origin: Origin) -> list[str]:
            stream = ScriptedStream(b"status\n", origin=origin)
            await service.serve(stream)
            assert stream.is_finished
            return stream.lines

        holders = [ScriptedStream(Script.SILENCE, origin=FAR_CLIENT) for _ in range(2)]
        sessions = [asyncio.create_task(service.serve(holder)) for holder in holders]
        for holder in holders:
            await holder.silent.wait()
        (refusal,) = await newcomer(FAR_CLIENT)
        assert refusal.startswith("ERROR: this node has as many control sessions as its limits allow")
        assert (await newcomer(TCP_CLIENT))[0].startswith("ERROR: ")
        # Strangers can't lock out the operator.
        assert await newcomer(LOCAL_CLIENT) == [GREETING, STATUS]
        sessions[0].cancel()
        await asyncio.wait(sessions[:1])
        assert await newcomer(FAR_CLIENT) == [GREETING, STATUS]
        assert [holder.lines for holder in holders] == [[GREETING]] * 2
        await service.stop()

    asyncio.run(main())


def test_a_newcomer_is_no_dearer_the_more_sessions_there_are() -> None:
    looks = 0

    class WatchedOrigin(Origin, frozen=True):
        @property
        def is_local(self) -> bool:
            nonlocal looks
            looks += 1
            return False

    origin = WatchedOrigin(Carrier.TCP, "192.0.2.7", "192.0.2.7:4711")

    async def main() -> None:
        service = ControlService("foo", dispatch)
        holders = [ScriptedStream(Script.SILENCE, origin=origin) for _ in range(100)]
        sessions = [asyncio.create_task(service.serve(holder)) for holder in holders]
        for holder in holders:
            await holder.silent.wait()
        await service.stop()
        assert all(session.done() for session in sessions)

    asyncio.run(main())
    assert looks < 300


@pytest.mark.parametrize(
    "stream",
    [
        ScriptedStream(Script.BREAK),
        ScriptedStream(b"status\n", Script.BREAK),
        ScriptedStream(b"status\n" * 100, breaks_after=0),
        ScriptedStream(b"status\n" * 100, breaks_after=40),
        ScriptedStream(b"nonsense\n" * 100, breaks_after=40),
        ScriptedStream(b"connect bar control\n", b"more", breaks_after=30),
        ScriptedStream(b"x" * 2_000_000, breaks_after=40),
    ],
    ids=["at once", "later", "greeting", "answer", "error answer", "bridge", "too long a line"],
)
def test_a_client_that_vanishes_ends_its_session_quietly(stream: ScriptedStream) -> None:
    session(stream)
    assert stream.is_closed
    assert not stream.is_finished


def test_empty_lines_without_end_do_not_hold_up_others() -> None:
    async def main() -> int:
        serving = asyncio.create_task(ControlService("foo", dispatch).serve(ScriptedStream(b"\n" * 1000)))
        turns_of_others = 0
        while not serving.done():
            await asyncio.sleep(0)
            turns_of_others += 1
        return turns_of_others

    assert asyncio.run(main()) > 1000


def test_a_large_answer_does_not_hold_up_others_and_is_like_any_other() -> None:
    large = {f"unit{number}": 'Ünit "quoted"' for number in range(20_500)}

    async def listing(command: Command, stream: ByteStream) -> Answer | None:
        return large

    async def main() -> tuple[int, str]:
        stream = ScriptedStream(b"work list\n")
        serving = asyncio.create_task(ControlService("foo", listing).serve(stream))
        turns_of_others = 0
        while not serving.done():
            await asyncio.sleep(0)
            turns_of_others += 1
        return turns_of_others, stream.lines[1]

    turns_of_others, answer = asyncio.run(main())
    assert turns_of_others > 20
    assert answer == msgspec.json.encode(large).decode()


def test_stop_drops_all_sessions() -> None:
    async def main() -> None:
        service = ControlService("foo", dispatch)
        idle = ScriptedStream(Script.SILENCE)
        bridged = ScriptedStream(b"connect bar control\n", Script.SILENCE)
        pinging = ScriptedStream(b"ping slow\n")
        sessions = [asyncio.create_task(service.serve(stream)) for stream in (idle, bridged, pinging)]
        await idle.silent.wait()
        await bridged.silent.wait()
        await service.stop()
        assert all(session.done() for session in sessions)
        assert all(stream.is_closed for stream in (idle, bridged, pinging))

    asyncio.run(main())


def test_stop_from_within_a_session_drops_the_others() -> None:
    async def main() -> None:
        async def stopping(command: Command, stream: ByteStream) -> Answer | None:
            await service.stop()
            return {"stopped": "yes"}

        service = ControlService("foo", stopping)
        other, own = ScriptedStream(Script.SILENCE), ScriptedStream(b"reload\n")
        session = asyncio.create_task(service.serve(other))
        await other.silent.wait()
        await service.serve(own)
        with suppress(asyncio.CancelledError):
            await session
        assert other.is_closed
        assert own.lines == [GREETING, '{"stopped":"yes"}']

    asyncio.run(main())


def test_a_defect_of_ours_ends_one_session_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        service = ControlService("foo", dispatch, DEFAULT_LIMITS)
        hit, other = ScriptedStream(b"ping defect\nstatus\n"), ScriptedStream(b"status\n")
        await asyncio.gather(service.serve(hit), service.serve(other))
        assert hit.lines == [GREETING]
        assert hit.is_closed
        assert other.lines == [GREETING, STATUS]

    asyncio.run(main())
    assert "a defect of this program, please report it; a local client is cut off" in caplog.text
    assert "nobody has thought of this" in caplog.text


# Numbered commands


@pytest.mark.parametrize("command", [b"multiplex", b'{"command":"multiplex"}', b"MULTIPLEX \r"])
def test_multiplex_numbers_what_comes_after_it(command: bytes) -> None:
    stream = session(
        ScriptedStream(b"status\n" + command + b"\n7 0 status\n8 0 work cancel abcd1234\n", b"9 0 ping nowhere\n")
    )
    greeting, status, multiplexed, *answers = stream.lines
    assert [greeting, status, multiplexed] == [GREETING, STATUS, '{"Multiplexed":true}']
    assert sorted(answers) == [
        "7 0 " + STATUS,
        '8 0 {"cancelled":"abcd1234"}',
        "9 0 ERROR: no route to nowhere",
    ]
    assert stream.is_finished


def test_after_nonsense_nothing_counts_as_a_command_any_more() -> None:
    """It may be a part of somebody's payload."""
    stream = session(ScriptedStream(b"multiplex\n1 0 status\n", b"nonsense\nstatus\n2 0 status\n"))
    assert stream.lines == [GREETING, '{"Multiplexed":true}', "1 0 " + STATUS]
    assert stream.is_closed


def test_a_numbered_line_too_long_ends_the_session_too() -> None:
    limits = Limits(control_line=20)
    stream = session(ScriptedStream(b"multiplex\n", b"1 0 " + b"x" * 20 + b"\nstatus\n"), limits)
    assert stream.lines[2:] == ["ERROR: a line is longer than 20 bytes"]
    assert stream.is_finished


def test_a_large_answer_with_a_number_is_like_any_other() -> None:
    large = {f"unit{number}": "x" for number in range(2500)}

    async def listing(command: Command, stream: ByteStream) -> Answer | None:
        return large

    async def main() -> None:
        stream = TwoWayStream()
        serving = asyncio.create_task(ControlService("foo", listing).serve(stream))
        stream.say(b"multiplex\n5 0 work list\n")
        assert [await stream.line(), await stream.line()] == [GREETING, '{"Multiplexed":true}']
        assert await stream.answer() == Message(5, msgspec.json.encode(large))
        stream.leave()
        await serving
        assert stream.is_finished

    asyncio.run(main())


def test_stop_drops_numbered_commands_too() -> None:
    async def main() -> None:
        service = ControlService("foo", dispatch)
        stream = TwoWayStream()
        serving = asyncio.create_task(service.serve(stream))
        stream.say(b"multiplex\n1 0 ping slow\n2 0 status\n")
        assert [await stream.line() for _ in range(3)] == [GREETING, '{"Multiplexed":true}', "2 0 " + STATUS]
        await service.stop()
        assert serving.done()
        assert stream.is_closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_client_that_vanishes_after_multiplex_ends_its_session_quietly() -> None:
    async def main() -> None:
        stream = TwoWayStream()
        serving = asyncio.create_task(ControlService("foo", dispatch).serve(stream))
        stream.say(b"multiplex\n1 0 ping slow\n")
        await stream.until_all_is_read()
        stream.break_off()
        await serving
        assert stream.is_closed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
