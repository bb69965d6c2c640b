from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from event_loops import EventLoop
from scripted_stream import FAR_CLIENT
from two_way_stream import TwoWayStream

from receptor.control import multiplexed
from receptor.control.commands import Command, Ping, ShowStatus, WorkCancel, WorkList, WorkStatus, WorkSubmit
from receptor.control.multiplexed import MultiplexedSession, NumberedCommand
from receptor.errors import PeerError, UnreachableError
from receptor.node.byte_stream import LOCAL_CLIENT, ByteStream
from receptor.workceptor.numbered import MOST_ATTACHED, Message

LONGEST_LINE = 1000


class Handlers:
    """Carries out commands when the test wants it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.dropped: list[str] = []
        self.long_answers = 0
        self._may_end: dict[str, asyncio.Event] = {}

    def let_end(self, name: str) -> None:
        """Let the command that is about that node or unit come to its end."""
        self._event(name).set()

    async def carry_out(self, command: Command, stream: ByteStream) -> bytes:
        match command:
            case Ping("defect"):
                raise RuntimeError("nobody has thought of this")
            case Ping("nowhere"):
                raise UnreachableError("no route\r\nto nowhere")
            case Ping(target):
                return f"pong of {target}".encode()
            case WorkSubmit():
                return await self._submit(command, stream)
            case WorkStatus(unit_id) | WorkCancel(unit_id):
                await self._until_it_may_end(unit_id)
                return b"done with " + unit_id.encode()
            case ShowStatus() | WorkList():
                self.long_answers += 1
                return b"x" * 10
        raise AssertionError(command)

    async def _submit(self, command: WorkSubmit, stream: ByteStream) -> bytes:
        assert isinstance(stream, NumberedCommand)
        await stream.write(b"a line that nobody waits for\n")
        payload = b""
        while data := await stream.read():
            payload += data
        stream.attach(payload.upper())
        await self._until_it_may_end(command.work_type)
        return b"%d bytes" % len(payload)

    async def _until_it_may_end(self, name: str) -> None:
        self.begun.append(name)
        try:
            if not name.startswith("quick"):
                await self._event(name).wait()
        except asyncio.CancelledError:
            self.dropped.append(name)
            raise
        self.done.append(name)

    def _event(self, name: str) -> asyncio.Event:
        return self._may_end.setdefault(name, asyncio.Event())


class Session:
    """A session that is being served."""

    def __init__(self) -> None:
        self.handlers = Handlers()
        self.stream = TwoWayStream()
        served = MultiplexedSession(self.stream, self.handlers.carry_out, LONGEST_LINE)
        self.serving = asyncio.create_task(served.serve())

    async def begun(self, *names: str) -> None:
        """Wait until just these commands have begun."""
        await turns_until(lambda: sorted(self.handlers.begun) == sorted(names))


async def turns_until(condition: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not come to that")


async def turns(count: int = 200) -> None:
    """Give everybody many turns, to do what they must not."""
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def session() -> AsyncIterator[Session]:
    """Ended with the test, if the test has not ended it."""
    session = Session()
    try:
        yield session
    finally:
        session.serving.cancel()
        await asyncio.wait([session.serving])


def submit(work_type: str) -> bytes:
    return f"work submit foo {work_type}".encode()


def test_each_is_answered_when_it_is_ready(run: EventLoop) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream, handlers = open_session.stream, open_session.handlers
            for number, unit in enumerate(["one", "two", "three"], 7):
                stream.ask(number, b"work status %b" % unit.encode())
            await open_session.begun("one", "two", "three")
            stream.ask(4, b'{"command":"ping","target":"bar"}')
            assert await stream.answer() == Message(4, b"pong of bar")
            for number, unit in [(9, "three"), (7, "one"), (8, "two")]:
                handlers.let_end(unit)
                assert await stream.answer() == Message(number, b"done with " + unit.encode())
            stream.leave()
            await open_session.serving

    run(main())


def test_thousands_at_once(run: EventLoop) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream = open_session.stream
            for number in range(3000):
                stream.ask(number, b"work status u%d" % number)
            await turns_until(lambda: len(open_session.handlers.begun) == 3000)
            for number in reversed(range(3000)):
                open_session.handlers.let_end(f"u{number}")
            answers = [await stream.answer() for _ in range(3000)]
            assert {answer.number: answer.text for answer in answers} == {
                number: b"done with u%d" % number for number in range(3000)
            }

    run(main())


@pytest.mark.parametrize(
    ("command", "error"),
    {
        b"nonsense": "Unknown command 'nonsense'",
        b"": "Unknown command ''",
        b"{": "the command is no JSON object: Input data was truncated",
        b"\xff": "Unknown command: the line is not UTF-8 text",
        b"work status ../x": "unknown work unit '../x': that can't be a unit id",
        b"ping nowhere": "no route to nowhere",
        b"connect bar control": "this command needs a session of its own",
        b"work results abcd1234": "this command needs a session of its own",
        b'{"command":"multiplex"}': "this command needs a session of its own",
        b"events": "this command needs a session of its own",
        b"multiplex": "this command needs a session of its own",
    }.items(),
)
def test_an_error_has_the_number_of_its_command_and_the_session_goes_on(
    run: EventLoop, command: bytes, error: str
) -> None:
    async def main() -> None:
        async with session() as open_session:
            open_session.stream.ask(41, command)
            assert await open_session.stream.answer() == Message(41, f"ERROR: {error}".encode())
            open_session.stream.ask(42, b"ping bar")
            assert await open_session.stream.answer() == Message(42, b"pong of bar")

    run(main())


def test_payloads_go_to_their_command_and_output_comes_with_its_answer(run: EventLoop) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream = open_session.stream
            longest = b"\n7 0 " * (MOST_ATTACHED // 5) + b"xyzz"[: MOST_ATTACHED % 5]
            stream.ask(1, submit("slow"), b"a\0\nb")
            stream.ask(2, submit("quick1"), longest)
            stream.ask(3, submit("quick2"))
            assert await stream.answer() == Message(2, b"%d bytes" % MOST_ATTACHED, longest.upper())
            assert await stream.answer() == Message(3, b"0 bytes")
            open_session.handlers.let_end("slow")
            assert await stream.answer() == Message(1, b"4 bytes", b"A\0\nB")

    run(main())


def test_messages_may_come_in_any_pieces(run: EventLoop) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream = open_session.stream
            for byte in b"1 3 work submit foo quick\nabc2 0 ping bar\n":
                stream.say(bytes([byte]))
            stream.say(b"3 0 ping baz\n4 0 ping qux\n")
            answers = sorted([await stream.answer() for _ in range(4)], key=lambda answer: answer.number)
            assert answers == [
                Message(1, b"3 bytes", b"ABC"),
                Message(2, b"pong of bar"),
                Message(3, b"pong of baz"),
                Message(4, b"pong of qux"),
            ]

    run(main())


def test_answers_of_many_do_not_run_into_one_another(run: EventLoop) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream = open_session.stream
            payloads = {number: b"%d\n" % number * number for number in range(200)}
            for number, payload in payloads.items():
                stream.ask(number, submit("together"), payload)
            await turns_until(lambda: len(open_session.handlers.begun) == 200)
            open_session.handlers.let_end("together")
            answers = [await stream.answer() for _ in payloads]
            assert {answer.number: answer.attached for answer in answers} == payloads
            assert stream.written == b""

    run(main())


# What one client may take


def test_too_many_at_once_end_the_session(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiplexed, "MOST_AT_ONCE", 2)

    async def main() -> None:
        async with session() as open_session:
            stream = open_session.stream
            stream.ask(1, b"work status one")
            stream.ask(2, b"work cancel two")
            stream.ask(3, b"ping bar")
            await open_session.begun("one", "two")
            open_session.handlers.let_end("two")
            with pytest.raises(PeerError, match="more than 2 commands"):
                await open_session.serving

    run(main())


def test_payloads_beyond_what_may_be_held_wait(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiplexed, "MOST_HELD", 100)

    async def main() -> None:
        async with session() as open_session:
            stream, handlers = open_session.stream, open_session.handlers
            for number in range(1, 5):
                stream.ask(number, submit(f"work{number}"), b"x" * 60)
            await open_session.begun("work1", "work2")
            await turns()
            assert handlers.begun == ["work1", "work2"]
            handlers.let_end("work2")
            assert (await stream.answer()).number == 2
            await open_session.begun("work1", "work2", "work3")
            await turns()
            assert handlers.begun[2:] == ["work3"]
            for name in ("work1", "work3", "work4"):
                handlers.let_end(name)
            assert {(await stream.answer()).number for _ in range(3)} == {1, 3, 4}

    run(main())


def test_a_payload_is_held_until_its_answer_is_read(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiplexed, "MOST_HELD", 100)

    async def main() -> None:
        async with session() as open_session:
            stream = open_session.stream
            stream.reads.clear()
            for number in range(10):
                stream.ask(number, submit(f"quick{number}"), b"x" * 60)
            await open_session.begun("quick0", "quick1")
            await turns()
            assert len(open_session.handlers.begun) == 2
            stream.reads.set()
            assert {(await stream.answer()).number for _ in range(10)} == set(range(10))

    run(main())


@pytest.mark.parametrize("command", [b"nonsense", b"multiplex", b"work status ../x"])
def test_who_does_not_read_what_is_refused_is_not_listened_to(run: EventLoop, command: bytes) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream = open_session.stream
            await stream.until_all_is_read()
            stream.reads.clear()
            tasks = len(asyncio.all_tasks())
            for number in range(1000):
                stream.ask(number, command)
            await turns(2000)
            assert not stream.all_is_read
            assert len(asyncio.all_tasks()) == tasks
            stream.reads.set()
            assert [(await stream.answer()).number for _ in range(1000)] == list(range(1000))

    run(main())


@pytest.mark.parametrize("command", [b"status", b"work list"])
def test_few_long_answers_are_made_for_one_who_reads_none(run: EventLoop, command: bytes) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream, handlers = open_session.stream, open_session.handlers
            stream.reads.clear()
            for number in range(100):
                stream.ask(number, command)
            await stream.until_all_is_read()
            await turns()
            assert handlers.long_answers == multiplexed.LONG_ANSWERS
            stream.reads.set()
            assert {(await stream.answer()).number for _ in range(100)} == set(range(100))

    run(main())


def test_a_handler_waits_for_its_turn_to_make_a_long_answer() -> None:
    async def main() -> None:
        one_at_a_time = asyncio.Semaphore(1)
        first, second = (NumberedCommand(FAR_CLIENT, b"", one_at_a_time) for _ in range(2))
        await first.turn()
        await first.turn()
        waiting = asyncio.create_task(second.turn())
        await turns()
        assert not waiting.done()
        first.answered()
        await waiting
        second.answered()
        second.answered()
        assert not one_at_a_time.locked()
        await first.turn()
        assert one_at_a_time.locked()

    asyncio.run(main())


@pytest.mark.parametrize("line", [b"1 0 nonsense\n", b"1 0 \n", b"1 0 ping bar\n", b"1 5 ping bar\nabcde"])
def test_many_commands_in_one_read_do_not_hold_up_others(run: EventLoop, line: bytes) -> None:
    async def main() -> None:
        async with session() as open_session:
            open_session.stream.say(line * 2000)
            open_session.stream.leave()
            turns_of_others = 0
            while not open_session.serving.done():
                await asyncio.sleep(0)
                turns_of_others += 1
            assert turns_of_others > 2000

    run(main())


# The end


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\n",
        b"\n" * 10_000,
        b"status\n",
        b"1 status\n",
        b"-1 0 status\n",
        b"1 -1 status\n",
        b"1 1e3 status\n",
        b" 1 0 status\n",
        b"\xd9\xa1 0 status\n",
        b"1 0x10 status\n",
        b"1 %d status\n" % (MOST_ATTACHED + 1),
        b"1 99999999999999999999 status\n",
        b"9" * 500 + b" 0 status\n",
        b"1 0 " + b"x" * LONGEST_LINE + b"\n",
        b"x" * (LONGEST_LINE + 1),
        b"{}\n",
        b"\0\xff\n",
    ],
)
def test_nonsense_ends_the_session_and_nothing_that_acts(run: EventLoop, nonsense: bytes) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream, handlers = open_session.stream, open_session.handlers
            stream.ask(1, b"work status looking")
            stream.ask(2, b"work cancel acting")
            await open_session.begun("looking", "acting")
            stream.say(nonsense)
            await turns_until(lambda: handlers.dropped == ["looking"])
            stream.ask(3, b"work cancel later")
            handlers.let_end("acting")
            with pytest.raises(PeerError):
                await open_session.serving
            assert await stream.answer() == Message(2, b"done with acting")
            assert handlers.begun == ["looking", "acting"]

    run(main())


@pytest.mark.parametrize("begun", [b"1", b"1 5 work submit foo quick", b"1 5 work submit foo quick\nabcd"])
def test_a_command_that_has_not_come_whole_is_not_carried_out(run: EventLoop, begun: bytes) -> None:
    async def main() -> None:
        async with session() as open_session:
            open_session.stream.say(begun)
            open_session.stream.leave()
            with pytest.raises(ConnectionError):
                await open_session.serving
            assert open_session.handlers.begun == []

    run(main())


@pytest.mark.parametrize("end", ["leave", "break_off"])
def test_when_the_other_end_is_gone_what_looks_is_dropped_and_what_acts_is_done(run: EventLoop, end: str) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream, handlers = open_session.stream, open_session.handlers
            for number, command in enumerate([b"work status looking", submit("work"), b"work cancel unit"]):
                stream.ask(number, command, b"payload" if number == 1 else b"")
            await open_session.begun("looking", "work", "unit")
            getattr(stream, end)()
            await turns_until(lambda: handlers.dropped == ["looking"])
            assert not open_session.serving.done()
            handlers.let_end("work")
            handlers.let_end("unit")
            with suppress(ConnectionError):
                await open_session.serving
            assert sorted(handlers.done) == ["unit", "work"]
            assert handlers.dropped == ["looking"]

    run(main())


def test_a_submission_that_arrives_with_the_last_breath_is_carried_out(run: EventLoop) -> None:
    async def main() -> None:
        async with session() as open_session:
            open_session.stream.ask(1, submit("quick"), b"payload")
            open_session.stream.break_off()
            with pytest.raises(ConnectionError):
                await open_session.serving
            assert open_session.handlers.done == ["quick"]

    run(main())


@pytest.mark.parametrize("when", ["while it listens", "while it waits for room", "while it comes to its end"])
def test_when_the_node_ends_all_is_dropped(run: EventLoop, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    if when == "while it waits for room":
        monkeypatch.setattr(multiplexed, "MOST_HELD", 1)

    async def main() -> None:
        async with session() as open_session:
            open_session.stream.ask(1, submit("acting"), b"payload")
            if when != "while it waits for room":
                open_session.stream.ask(2, b"work status looking")
                await turns_until(lambda: len(open_session.handlers.begun) == 2)
            await turns_until(lambda: "acting" in open_session.handlers.begun)
            if when == "while it comes to its end":
                open_session.stream.leave()
                await turns_until(lambda: open_session.handlers.dropped == ["looking"])
            others = asyncio.all_tasks() - {open_session.serving, asyncio.current_task()}
            open_session.serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await open_session.serving
            assert all(task.done() for task in others)
            assert sorted(open_session.handlers.dropped) == sorted(open_session.handlers.begun)

    run(main())


def test_a_defect_costs_only_that_command_its_answer(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with session() as open_session:
            stream = open_session.stream
            stream.ask(1, b"work status one")
            stream.ask(2, b"ping defect")
            assert await stream.answer() == Message(2, b"ERROR: a defect of this node, see its log")
            open_session.handlers.let_end("one")
            assert await stream.answer() == Message(1, b"done with one")

    run(main())
    assert "a defect of this program, please report it; far:abcdefgh is told so" in caplog.text
    assert "nobody has thought of this" in caplog.text


def test_a_numbered_command_is_a_stream_that_has_ended() -> None:
    async def main() -> None:
        command = NumberedCommand(LOCAL_CLIENT, b"payload", asyncio.Semaphore())
        assert command.origin is LOCAL_CLIENT
        assert [await command.read(), await command.read()] == [b"payload", b""]
        assert not command.has_left
        await command.end()
        await command.finish()
        command.close()
        leaving = asyncio.create_task(command.left())
        await turns()
        assert not leaving.done(), "the session watches for that"
        leaving.cancel()

    asyncio.run(main())
