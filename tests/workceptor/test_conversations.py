from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine

import msgspec
import pytest
from scripted_stream import Script, ScriptedSession, ScriptedStream

from receptor.control.commands import WorkSubmit, parse
from receptor.errors import PeerError, UnreachableError
from receptor.workceptor import conversations
from receptor.workceptor.conversations import LONGEST_TEXT, Refused, never_got_its_payload
from receptor.workceptor.status import ProcessAnswer, RemoteExtra, Report, State, Status
from receptor.workceptor.tokens import submit_deed

MADE = b"Work unit created with ID unit0001. Send stdin data and EOF.\n"
STARTED = b'{"result":"Job Started","unitid":"unit0001"}\n'
STREAMING = b"Streaming results for work unit unit0001\n"
STATUS = (
    b'{"State":1,"StateName":"Running","Detail":"Running: PID 7","StdoutSize":5,"WorkType":"echo","ExtraData":null}\n'
)

DEEP = b"[" * 10_000 + b"]" * 10_000

WORK = RemoteExtra(remote_node="bar", remote_work_type="echo", remote_params={"params": "-n", "secret_key": "s3"})


def piecewise(*answers: bytes) -> ScriptedStream:
    return ScriptedStream(*(bytes([byte]) for answer in answers for byte in answer))


def sent(stream: ScriptedStream) -> dict[str, object]:
    """The only line that was sent."""
    (line,) = stream.lines
    fields: dict[str, object] = json.loads(line)
    return fields


def request(remote: RemoteExtra = WORK, signature: str = "", name: str = "") -> conversations.Request:
    return conversations.Request(remote=remote, idempotency_key="key-1", name=name, signature=signature)


class Submission:
    """One submission of WORK and what it told."""

    def __init__(self, stream: ScriptedStream, *payload: bytes, signature: str = "", name: str = "") -> None:
        self.stream = stream
        self.units: list[tuple[str, bytes]] = []
        self.request = request(signature=signature, name=name)
        self._payload = payload

    async def hold(self) -> None:
        await conversations.submit(self.stream, self.request, self._parts(), self._unit_made)

    async def _parts(self) -> AsyncIterator[bytes]:
        for part in self._payload:
            yield part

    async def _unit_made(self, unit_id: str) -> None:
        self.units.append((unit_id, self.stream.written))


async def collect(stream: ScriptedStream, start: int = 0, signature: str = "") -> bytes:
    return b"".join([data async for data in conversations.results(stream, "unit0001", start, signature)])


async def submit(stream: ScriptedStream) -> None:
    await Submission(stream).hold()


async def ask_status(stream: ScriptedStream) -> None:
    await conversations.ask_status(ScriptedSession(stream), "unit0001")


async def submit_at_once(stream: ScriptedStream) -> None:
    await conversations.submit_at_once(ScriptedSession(stream), request(), b"payload")


async def find(stream: ScriptedStream) -> None:
    await conversations.find(ScriptedSession(stream), "key-1")


async def fetch(stream: ScriptedStream) -> None:
    await collect(stream)


async def cancel(stream: ScriptedStream) -> None:
    await conversations.cancel(ScriptedSession(stream), "unit0001", "")


async def release(stream: ScriptedStream) -> None:
    await conversations.release(ScriptedSession(stream), "unit0001", "")


async def multiplex(stream: ScriptedStream) -> None:
    await conversations.multiplex(stream)


async def greet(stream: ScriptedStream) -> None:
    await conversations.greet(stream, "bar")


Conversation = Callable[[ScriptedStream], Coroutine[None, None, None]]
SESSION_TALKS = [submit_at_once, find, ask_status, cancel, release]
EVERY_CONVERSATION = pytest.mark.parametrize("hold", [greet, multiplex, submit, fetch, *SESSION_TALKS])


class TestGreeting:
    def test_of_the_right_node(self) -> None:
        stream = piecewise(b"Receptor Control, node bar\n", b"rest\n")
        asyncio.run(greet(stream))
        assert asyncio.run(stream.readline(100)) == b"rest\n"

    @pytest.mark.parametrize(
        "greeting",
        [b"Receptor Control, node barbara\n", b"Receptor Control, node foo\n", b"SSH-2.0\n", b"\n", b"\xff\xfe\n"],
        ids=repr,
    )
    def test_of_somebody_else(self, greeting: bytes) -> None:
        with pytest.raises(PeerError, match="expected the control service of bar"):
            asyncio.run(greet(ScriptedStream(greeting)))

    def test_of_a_node_that_has_no_session_to_spare(self) -> None:
        with pytest.raises(UnreachableError, match="bar takes no commands now: try again later"):
            asyncio.run(greet(ScriptedStream(b"ERROR: try again later\n")))


class TestSubmit:
    def test_command_payload_end_and_answer(self) -> None:
        submission = Submission(piecewise(MADE, STARTED), b"first ", b"second", signature="t.o.k")
        asyncio.run(submission.hold())
        command, payload = submission.stream.written.split(b"\n")
        assert json.loads(command) == {
            "command": "work",
            "subcommand": "submit",
            "node": "bar",
            "worktype": "echo",
            "tlsclient": "",
            "idempotencykey": "key-1",
            "params": "-n",
            "secret_key": "s3",
            "signature": "t.o.k",
        }
        assert payload == b"first second"
        assert submission.stream.is_ended

    def test_the_other_node_takes_it_for_the_deed_that_was_signed(self) -> None:
        submission = Submission(ScriptedStream(MADE, STARTED), signature="t.o.k", name="nightly run")
        asyncio.run(submission.hold())
        command = parse(submission.stream.lines[0].encode())
        assert isinstance(command, WorkSubmit)
        assert (command.signature, command.idempotency_key, command.name) == ("t.o.k", "key-1", "nightly run")
        there = submit_deed(command.work_type, command.parameters, command.idempotency_key, command.name)
        here = submit_deed(WORK.remote_work_type, WORK.remote_params, "key-1", "nightly run")
        assert there.digest() == here.digest()
        assert there.digest() != submit_deed(WORK.remote_work_type, WORK.remote_params, "key-1").digest()

    def test_the_unit_is_told_before_the_payload_is_sent(self) -> None:
        submission = Submission(ScriptedStream(MADE, STARTED), b"payload")
        asyncio.run(submission.hold())
        ((unit_id, written_before),) = submission.units
        assert unit_id == "unit0001"
        assert written_before.endswith(b"}\n")

    def test_without_a_signature_the_command_has_no_such_key(self) -> None:
        submission = Submission(ScriptedStream(MADE, STARTED))
        asyncio.run(submission.hold())
        assert "signature" not in sent(submission.stream)

    def test_parameters_can_not_make_another_command_of_it(self) -> None:
        stream = ScriptedStream(MADE, STARTED)
        forged = RemoteExtra(
            remote_node="bar",
            remote_work_type="echo",
            remote_params={"command": "reload", "subcommand": "release", "node": "x", "worktype": "y"},
        )

        async def hold() -> None:
            submission = Submission(stream)
            await conversations.submit(stream, request(forged), submission._parts(), submission._unit_made)

        asyncio.run(hold())
        assert sent(stream) == {
            "command": "work",
            "subcommand": "submit",
            "node": "bar",
            "worktype": "echo",
            "tlsclient": "",
            "idempotencykey": "key-1",
        }

    @pytest.mark.parametrize(
        "answer",
        [
            b"Work unit created with ID ../../etc. Send stdin data and EOF.\n",
            b"Work unit created with ID . Send stdin data and EOF.\n",
            b"Work unit created with ID unit0001\n",
            b"unit0001\n",
            b"{}\n",
            b"Work unit created with ID un\x00it. Send stdin data and EOF.\n",
        ],
        ids=repr,
    )
    def test_no_payload_is_sent_to_what_can_not_be_understood(self, answer: bytes) -> None:
        submission = Submission(ScriptedStream(answer, STARTED), b"payload")
        with pytest.raises(PeerError, match="work submit can't be understood"):
            asyncio.run(submission.hold())
        assert submission.units == []
        assert not submission.stream.written.endswith(b"payload")

    def test_refused_at_once(self) -> None:
        submission = Submission(ScriptedStream(b"ERROR: unknown work type echo\n"), b"payload")
        with pytest.raises(Refused, match=r"^unknown work type echo$"):
            asyncio.run(submission.hold())
        assert submission.units == []

    def test_refused_after_the_payload(self) -> None:
        submission = Submission(ScriptedStream(MADE, b"ERROR: no such program\n"), b"payload")
        with pytest.raises(Refused, match="no such program"):
            asyncio.run(submission.hold())
        assert [unit_id for unit_id, _ in submission.units] == ["unit0001"]

    def test_broken_in_the_payload(self) -> None:
        stream = ScriptedStream(MADE, STARTED, breaks_after=400)
        with pytest.raises(ConnectionError):
            asyncio.run(Submission(stream, *[b"x" * 100] * 5).hold())
        assert not stream.is_ended, "half a payload must not look whole"

    @pytest.mark.parametrize("answer", [b"", STARTED[:-1], STARTED[:5]], ids=repr)
    def test_an_answer_that_is_not_whole_is_none(self, answer: bytes) -> None:
        with pytest.raises(ConnectionError):
            asyncio.run(submit(ScriptedStream(MADE, answer) if answer else ScriptedStream(MADE)))


class TestSubmitAtOnce:
    def test_command_and_payload_go_together(self) -> None:
        async def check() -> None:
            stream = ScriptedStream(STARTED)
            session = ScriptedSession(stream)
            made = await conversations.submit_at_once(session, request(signature="t.o.k"), b"payload")
            assert made == "unit0001"
            assert session.payloads == [b"payload"]
            assert sent(stream) == {
                "command": "work",
                "subcommand": "submit",
                "node": "bar",
                "worktype": "echo",
                "tlsclient": "",
                "idempotencykey": "key-1",
                "params": "-n",
                "secret_key": "s3",
                "signature": "t.o.k",
            }

        asyncio.run(check())

    @pytest.mark.parametrize(
        "answer",
        [b"{}\n", b"unit0001\n", b'{"unitid":"../../etc"}\n', b'{"unitid":7}\n', b'{"x":' + DEEP + b"}\n"],
        ids=lambda answer: repr(answer[:30]),
    )
    def test_an_answer_that_can_not_be_understood(self, answer: bytes) -> None:
        with pytest.raises(PeerError, match="work submit can't be understood"):
            asyncio.run(submit_at_once(ScriptedStream(answer)))


class TestFind:
    @pytest.mark.parametrize(("answer", "expected"), [(b"{}\n", None), (b'{"unit0001":{"State":1}}\n', "unit0001")])
    def test_the_unit_or_none(self, answer: bytes, expected: str | None) -> None:
        async def check() -> None:
            stream = ScriptedStream(answer)
            assert await conversations.find(ScriptedSession(stream), "key-1") == expected
            assert sent(stream) == {"command": "work", "subcommand": "list", "idempotencykey": "key-1"}

        asyncio.run(check())

    @pytest.mark.parametrize(
        "answer",
        [b"[]\n", b"no\n", b'{"../../etc":{}}\n', b'{"unit0001":{},"unit0002":{}}\n', b'{"x":' + DEEP + b"}\n"],
        ids=lambda answer: repr(answer[:30]),
    )
    def test_an_answer_that_can_not_be_understood(self, answer: bytes) -> None:
        """All units are the answer of a node that passes over the key: none of them may be taken for ours."""
        with pytest.raises(PeerError, match="work list can't be understood"):
            asyncio.run(find(ScriptedStream(answer)))


class TestMultiplex:
    @pytest.mark.parametrize(
        ("answer", "expected"), [(b'{"Multiplexed":true}\n', True), (b"ERROR: Unknown command multiplex\n", False)]
    )
    def test_taken_or_unknown(self, answer: bytes, expected: bool) -> None:
        stream = ScriptedStream(answer)
        assert asyncio.run(conversations.multiplex(stream)) is expected
        assert sent(stream) == {"command": "multiplex"}


class TestStatus:
    def test_again_and_again_on_one_stream(self) -> None:
        async def check() -> None:
            stream = piecewise(STATUS, STATUS.replace(b"5", b"6"))
            expected = Status(state=State.RUNNING, detail="Running: PID 7", stdout_size=5, work_type="echo")
            session = ScriptedSession(stream)
            assert await conversations.ask_status(session, "unit0001") == (Report(expected), b"")
            report, _ = await conversations.ask_status(session, "unit0001")
            assert report.status.stdout_size == 6
            assert [json.loads(line) for line in stream.lines] == [
                {"command": "work", "subcommand": "status", "unitid": "unit0001"}
            ] * 2

        asyncio.run(check())

    def test_with_what_nodes_of_ours_add(self) -> None:
        process = ProcessAnswer(
            exit_code=0, started="s", ended="e", user_seconds=1.5, system_seconds=0.25, peak_memory=4096
        )
        additions = b',"IdempotencyKey":"key-1","Process":' + msgspec.json.encode(process) + b"}\n"
        stream = piecewise(STATUS.replace(b"}\n", additions), STATUS)

        async def check() -> None:
            session = ScriptedSession(stream)
            report, _ = await conversations.ask_status(session, "unit0001")
            assert (report.process, report.idempotency_key) == (process, "key-1")
            report, _ = await conversations.ask_status(session, "unit0001")
            assert (report.process, report.idempotency_key) == (None, "")

        asyncio.run(check())

    @pytest.mark.parametrize(
        "answer",
        [
            b"{}\n",
            b"null\n",
            b"[]\n",
            b"\n",
            b"{\n",
            b"\xff\n",
            STATUS.replace(b"1", b"9", 1),
            STATUS.replace(b"}", b',"Process":{"Started":5}}'),
            STATUS.replace(b"}", b',"IdempotencyKey":5}'),
        ],
        ids=repr,
    )
    def test_one_that_can_not_be_understood(self, answer: bytes) -> None:
        with pytest.raises(PeerError, match="status of unit0001 can't be understood"):
            asyncio.run(ask_status(ScriptedStream(answer)))

    @pytest.mark.parametrize(
        ("known", "start", "known_size", "told"),
        [
            (None, None, None, {}),
            (State.PENDING, None, None, {"knownstate": 0}),
            (State.RUNNING, 2**40, None, {"knownstate": 1, "startpos": 2**40}),
            (State.RUNNING, None, 2**40, {"knownstate": 1, "knownsize": 2**40}),
        ],
    )
    def test_what_is_known_already_is_told(
        self, known: State | None, start: int | None, known_size: int | None, told: dict[str, object]
    ) -> None:
        stream = ScriptedStream(STATUS)
        asking = conversations.ask_status(
            ScriptedSession(stream), "unit0001", known, start=start, known_size=known_size
        )
        asyncio.run(asking)
        assert sent(stream) == {"command": "work", "subcommand": "status", "unitid": "unit0001", **told}

    def test_an_unknown_unit(self) -> None:
        with pytest.raises(Refused) as refused:
            asyncio.run(ask_status(ScriptedStream(b"ERROR: unknown work unit unit0001\n")))
        assert refused.value.unit_is_gone

    def test_of_a_longwinded_node_only_so_much_is_kept(self) -> None:
        """Or else our own status could grow too large to be saved."""
        answer = STATUS.replace(b"Running: PID 7", b"d" * 1_000_000)
        report, _ = asyncio.run(conversations.ask_status(ScriptedSession(ScriptedStream(answer)), "unit0001"))
        assert report.status.detail == "d" * LONGEST_TEXT


class TestResults:
    @pytest.mark.parametrize("output", [b"", b"x", bytes(range(256)) * 100, b"Streaming results\nERROR: no\n"], ids=len)
    def test_every_byte(self, output: bytes) -> None:
        assert (
            asyncio.run(collect(ScriptedStream(STREAMING, output) if output else ScriptedStream(STREAMING))) == output
        )
        assert asyncio.run(collect(ScriptedStream(STREAMING + output))) == output
        assert asyncio.run(collect(piecewise(STREAMING, output[:300]))) == output[:300]

    def test_from_an_offset(self) -> None:
        stream = ScriptedStream(STREAMING)
        asyncio.run(collect(stream, start=2**40, signature="t.o.k"))
        assert sent(stream) == {
            "command": "work",
            "subcommand": "results",
            "unitid": "unit0001",
            "startpos": 2**40,
            "signature": "t.o.k",
        }

    def test_what_came_before_a_break_is_given(self) -> None:
        async def check() -> None:
            results = conversations.results(ScriptedStream(STREAMING, b"half", Script.BREAK), "unit0001", 0, "")
            assert await anext(results) == b"half"
            with pytest.raises(ConnectionError):
                await anext(results)

        asyncio.run(check())

    def test_an_answer_that_can_not_be_understood(self) -> None:
        with pytest.raises(PeerError, match="work results can't be understood"):
            asyncio.run(collect(ScriptedStream(b"{}\n")))


class TestOrders:
    @pytest.mark.parametrize("hold", [cancel, release])
    @pytest.mark.parametrize("answer", [b"released", b"release pending", b"cancelled", b"cancel pending"])
    def test_done_or_taken(self, hold: Conversation, answer: bytes) -> None:
        stream = piecewise(b'{"' + answer + b'":"unit0001"}\n')
        asyncio.run(hold(stream))
        assert sent(stream) == {"command": "work", "subcommand": hold.__name__, "unitid": "unit0001"}

    @pytest.mark.parametrize("hold", [cancel, release])
    def test_a_unit_that_is_gone_is_done_with(self, hold: Conversation) -> None:
        asyncio.run(hold(ScriptedStream(b"ERROR: unknown work unit unit0001\n")))

    @pytest.mark.parametrize("hold", [cancel, release])
    def test_refused(self, hold: Conversation) -> None:
        with pytest.raises(Refused, match="signature"):
            asyncio.run(hold(ScriptedStream(b"ERROR: could not verify signature\n")))


class TestStreamsThatFail:
    @EVERY_CONVERSATION
    def test_broken_before_the_answer(self, hold: Conversation) -> None:
        with pytest.raises(ConnectionError):
            asyncio.run(hold(ScriptedStream(Script.BREAK)))

    @EVERY_CONVERSATION
    def test_closed_before_the_answer(self, hold: Conversation) -> None:
        with pytest.raises(ConnectionError, match="closed the connection before its answer"):
            asyncio.run(hold(ScriptedStream()))

    @EVERY_CONVERSATION
    def test_closed_in_the_middle_of_the_answer(self, hold: Conversation) -> None:
        with pytest.raises(ConnectionError, match="closed the connection before its answer"):
            asyncio.run(hold(ScriptedStream(b"ERROR: unknown work ty")))

    @EVERY_CONVERSATION
    def test_a_line_without_end(self, hold: Conversation) -> None:
        with pytest.raises(PeerError, match="a line is longer than"):
            asyncio.run(hold(ScriptedStream(*[b"x" * 1_000_000] * 20)))

    @pytest.mark.parametrize("hold", [submit, fetch, *SESSION_TALKS])
    def test_an_error_of_any_length(self, hold: Conversation) -> None:
        with pytest.raises(Refused) as refused:
            asyncio.run(hold(ScriptedStream(b"ERROR: " + b"no" * 1_000_000 + b"\n")))
        assert str(refused.value) == "no" * (LONGEST_TEXT // 2)

    @EVERY_CONVERSATION
    def test_secrets_are_in_no_error(self, hold: Conversation) -> None:
        with pytest.raises((PeerError, ConnectionError)) as error:
            asyncio.run(hold(ScriptedStream(Script.BREAK)))
        assert "s3" not in str(error.value)


@pytest.mark.parametrize(
    ("state", "detail", "expected"),
    [
        (State.PENDING, "Unit Created", True),
        (State.PENDING, "Waiting for Input Data", True),
        (State.FAILED, "Error reading input data: the stream was reset", True),
        (State.PENDING, "Starting Worker", False),
        (State.RUNNING, "Running: PID 7", False),
        (State.SUCCEEDED, "exit status 0", False),
        (State.FAILED, "exit status 1", False),
        (State.FAILED, "Pending at restart", False),
        (State.CANCELED, "Canceled", False),
        # What a command may well have written as its own detail is believed only where it can be true.
        (State.RUNNING, "Waiting for Input Data", False),
        (State.SUCCEEDED, "Error reading input data", False),
    ],
)
def test_which_units_can_not_have_run(state: State, detail: str, expected: bool) -> None:
    status = Status(state=state, detail=detail, stdout_size=0, work_type="echo")
    assert never_got_its_payload(status) is expected
