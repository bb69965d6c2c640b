from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from event_loops import EventLoop
from running_mesh import running
from scripted_stream import FAR_CLIENT, Script, ScriptedStream

from receptor.config.actions import WorkCommand
from receptor.control import work_commands
from receptor.control.commands import WorkCancel, WorkList, WorkRelease, WorkResults, WorkStatus, WorkSubmit
from receptor.control.multiplexed import NumberedCommand
from receptor.control.work_commands import WorkCommands
from receptor.errors import CommandError, NotAllowed, UnknownUnit
from receptor.netceptor.messages import parse_time
from receptor.node.byte_stream import LOCAL_CLIENT, Origin
from receptor.workceptor.limits import DEFAULT_LIMITS, WorkLimits
from receptor.workceptor.status import State
from receptor.workceptor.tokens import Deed, Signer, Verifier, submit_deed
from receptor.workceptor.used_tokens import UsedTokens
from receptor.workceptor.workceptor import Workceptor

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

WORK = (
    WorkCommand("cat", "cat"),
    WorkCommand("free", "echo", "always", allow_runtime_params=True),
    WorkCommand("sealed open", "bash", "-c 'echo $TOKEN'", verify_signature=True, allow_runtime_environment=True),
    WorkCommand("fail", "bash", "-c 'echo before; exit 7'"),
    WorkCommand("nap", "bash", "-c 'echo on; exec sleep 600'"),
    WorkCommand("nosuch", "/nosuch/program"),
    WorkCommand("sealed", "cat", verify_signature=True),
)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def run() -> EventLoop:
    return EventLoop("uvloop")


def everything(unit_id: str) -> bool:
    """All may be seen."""
    return True


def unheard(unit_id: str) -> None:
    """Nobody listens."""


class Node:
    """The work commands of a node foo that nobody is linked with."""

    def __init__(self, workceptor: Workceptor, used: UsedTokens) -> None:
        self.commands = WorkCommands("foo", workceptor, Verifier(KEY.public_key(), "foo", used))
        self.workceptor = workceptor

    async def submit(
        self,
        work_type: str,
        payload: bytes = b"",
        *,
        origin: Origin = LOCAL_CLIENT,
        signature: str = "",
        **parameters: str,
    ) -> str:
        """Submit, check what the client is told, and return the unit's id once it is told that the command runs."""
        stream = ScriptedStream(payload, origin=origin)
        command = WorkSubmit(node="localhost", work_type=work_type, signature=signature, parameters=parameters)
        answer = await self.commands.submit(command, stream, unheard)
        assert stream.lines == [f"Work unit created with ID {answer.unitid}. Send stdin data and EOF."]
        assert answer.result == "Job Started"
        unit = self.workceptor.get(answer.unitid)
        while unit.shown.state is State.PENDING:
            await unit.changed_since(unit.version)
        return answer.unitid

    async def results(self, unit_id: str, start: int = 0) -> bytes:
        stream = ScriptedStream()
        await self.commands.results(WorkResults(unit_id, start), stream)
        header, _, output = stream.written.partition(b"\n")
        assert header.decode() == f"Streaming results for work unit {unit_id}"
        assert stream.is_finished
        return output

    async def state(self, unit_id: str) -> tuple[State, str]:
        status = await self.commands.status(WorkStatus(unit_id), ScriptedStream())
        return status.state, status.detail


@asynccontextmanager
async def node(data_folder: Path, limits: WorkLimits = DEFAULT_LIMITS) -> AsyncIterator[Node]:
    async with running("foo") as mesh:
        workceptor = Workceptor(mesh, data_folder, WORK, None, limits)
        await workceptor.start()
        used = UsedTokens(data_folder / ".used-tokens")
        used.load(time.time())
        try:
            yield Node(workceptor, used)
        finally:
            await workceptor.close()


def test_a_unit_from_its_submission_to_its_release(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        began = time.time_ns()
        async with node(data_folder) as foo:
            unit_id = await foo.submit("cat", b"hello\0world")
            assert await foo.results(unit_id) == b"hello\0world"
            assert await foo.results(unit_id, 6) == b"world"
            assert await foo.results(unit_id, 1000) == b""
            status = await foo.commands.status(WorkStatus(unit_id), ScriptedStream())
            assert msgspec.to_builtins(status) == {
                "State": 2,
                "StateName": "Succeeded",
                "Detail": "exit status 0",
                "StdoutSize": 11,
                "WorkType": "cat",
                "ExtraData": None,
                "Process": msgspec.to_builtins(status.process),
                "Created": msgspec.to_builtins(status.created),
                "Ended": msgspec.to_builtins(status.ended),
            }
            assert status.process is not None
            assert status.process.exit_code == 0
            assert status.process.signal is None
            assert status.process.peak_memory > 0
            assert began <= parse_time(status.process.started) <= parse_time(status.process.ended) <= time.time_ns()
            told = msgspec.json.decode(msgspec.json.encode(status))
            assert began // 1000 * 1000 <= parse_time(told["Created"]) <= parse_time(told["Ended"])
            assert parse_time(told["Ended"]) == parse_time(status.process.ended)
            assert await foo.commands.list(WorkList(), LOCAL_CLIENT, everything) == {unit_id: status}
            assert await foo.commands.release(WorkRelease(unit_id), ScriptedStream()) == {"released": unit_id}
            assert await foo.commands.list(WorkList(), LOCAL_CLIENT, everything) == {}
            with pytest.raises(UnknownUnit, match=f"unknown work unit {unit_id}"):
                await foo.commands.status(WorkStatus(unit_id), ScriptedStream())
            assert not (data_folder / unit_id).exists()

    run(main())


def test_a_command_that_fails_says_how(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("fail")
            assert await foo.results(unit_id) == b"before\n"
            assert await foo.state(unit_id) == (State.FAILED, "exit status 7")

    run(main())


def test_who_knows_the_state_is_answered_when_it_changes(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("nap")
            stream = ScriptedStream()
            at_once = await foo.commands.status(WorkStatus(unit_id, State.PENDING), stream)
            assert at_once.state is State.RUNNING
            waiting = asyncio.create_task(foo.commands.status(WorkStatus(unit_id, State.RUNNING), stream))
            await foo.commands.cancel(WorkCancel(unit_id), ScriptedStream())
            assert (await waiting).state is State.CANCELED
            leaving = asyncio.create_task(foo.commands.status(WorkStatus(unit_id, State.CANCELED), stream))
            await asyncio.sleep(0)
            stream.leaves.set()
            with pytest.raises(ConnectionResetError):
                await leaving
            releasing = asyncio.create_task(foo.commands.status(WorkStatus(unit_id, State.CANCELED), ScriptedStream()))
            await asyncio.sleep(0)
            await foo.commands.release(WorkRelease(unit_id), ScriptedStream())
            with pytest.raises(UnknownUnit):
                await releasing

    run(main())


def test_who_knows_the_state_is_answered_after_a_while_in_any_case(
    run: EventLoop, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(work_commands, "LONGEST_WAIT", 0.05)
        async with node(data_folder) as foo:
            unit_id = await foo.submit("nap")
            status = await foo.commands.status(WorkStatus(unit_id, State.RUNNING), ScriptedStream())
            assert status.state is State.RUNNING
            await foo.commands.cancel(WorkCancel(unit_id), ScriptedStream())

    run(main())


def test_one_unit_of_the_list(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            one, other = await foo.submit("cat"), await foo.submit("cat")
            assert set(await foo.commands.list(WorkList(), LOCAL_CLIENT, everything)) == {one, other}
            assert set(await foo.commands.list(WorkList(one), LOCAL_CLIENT, everything)) == {one}
            with pytest.raises(UnknownUnit):
                await foo.commands.list(WorkList("nosuch12"), LOCAL_CLIENT, everything)
            await foo.results(one)
            await foo.results(other)

    run(main())


def test_a_long_list_does_not_hold_up_others(
    run: EventLoop, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_commands, "UNITS_AT_A_TIME", 2)

    async def main() -> None:
        async with node(data_folder) as foo:
            unit_ids = [await foo.submit("cat") for _ in range(6)]
            for unit_id in unit_ids:
                await foo.results(unit_id)
            may_see = set(unit_ids[1:])
            listing = asyncio.create_task(foo.commands.list(WorkList(), LOCAL_CLIENT, may_see.__contains__))
            for _ in range(3):
                await asyncio.sleep(0)
                assert not listing.done()
            # What may not be seen is not in it.
            assert set(await listing) == may_see

    run(main())


@pytest.mark.parametrize("end", [WorkCancel, WorkRelease], ids=["cancel", "release"])
def test_a_running_command_is_stopped_and_its_followers_end(
    run: EventLoop, data_folder: Path, end: type[WorkCancel] | type[WorkRelease]
) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("nap")
            following = asyncio.create_task(foo.results(unit_id))
            if end is WorkCancel:
                assert await foo.commands.cancel(WorkCancel(unit_id), ScriptedStream()) == {"cancelled": unit_id}
                assert (await foo.state(unit_id))[0] is State.CANCELED
            else:
                assert await foo.commands.release(WorkRelease(unit_id), ScriptedStream()) == {"released": unit_id}
            assert await following in (b"", b"on\n")

    run(main())


def test_runtime_parameters_only_where_allowed(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            assert await foo.results(await foo.submit("free", params="'b c' d")) == b"always b c d\n"
            assert await foo.results(await foo.submit("free")) == b"always\n"
            with pytest.raises(CommandError, match="not allowed: work type cat takes none"):
                await foo.submit("cat", params="x")
            assert len(foo.workceptor.units) == 2

    run(main())


def test_a_program_that_is_not_there_fails_the_unit_and_tells_the_client(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            with pytest.raises(CommandError, match=r"can't be started: .*/nosuch/program"):
                await foo.submit("nosuch")
            (unit_id,) = foo.workceptor.units
            state, detail = await foo.state(unit_id)
            assert state is State.FAILED
            assert "/nosuch/program" in detail

    run(main())


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (WorkSubmit(node="localhost", work_type="nonsense"), "unknown work type nonsense"),
        (WorkSubmit(node="LocalHost", work_type="nonsense"), "unknown work type nonsense"),
        (WorkSubmit(node="foo", work_type="nonsense"), "unknown work type nonsense"),
        (WorkSubmit(node="localhost", work_type="remote"), "unknown work type remote"),
        (WorkSubmit(node="localhost", work_type="cat", ttl="5m"), "ttl option is intended for remote work only"),
        (WorkSubmit(node="localhost", work_type="cat", signature="x"), "did not expect a signature"),
        (WorkSubmit(node="bar", work_type="cat", ttl="soon"), "ttl: 'soon' is not a duration"),
        (WorkSubmit(node="bar", work_type="cat", tls_client="x"), "tls-client"),
        (WorkSubmit(node="bar", work_type="cat", sign_work=True), "no work-signing key"),
        (
            WorkSubmit(node="bar", work_type="cat", parameters={"secret_a": "hush"}),
            "cannot send secrets over a non-TLS",
        ),
        (
            WorkSubmit(node="bar", work_type="cat", parameters={"Secret_A": "hush"}),
            "cannot send secrets over a non-TLS",
        ),
    ],
)
def test_what_is_refused_leaves_no_unit(run: EventLoop, data_folder: Path, command: WorkSubmit, reason: str) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            stream = ScriptedStream(b"payload")
            with pytest.raises(CommandError, match=reason) as refusal:
                await foo.commands.submit(command, stream, unheard)
            assert "hush" not in str(refusal.value)
            assert stream.written == b""
            assert foo.workceptor.units == {}

    run(main())


def test_a_payload_that_breaks_off_fails_the_unit_which_never_runs(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            for stream in (ScriptedStream(b"half", Script.BREAK), ScriptedStream(b"all", breaks_after=0)):
                with pytest.raises(ConnectionError):
                    await foo.commands.submit(WorkSubmit(node="localhost", work_type="cat"), stream, unheard)
            for unit_id in foo.workceptor.units:
                state, detail = await foo.state(unit_id)
                assert state is State.FAILED
                assert detail.startswith("Error reading input data: ")
                assert await foo.results(unit_id) == b""

    run(main())


def test_a_client_that_dies_within_its_payload_fails_the_unit_which_never_runs(
    run: EventLoop, data_folder: Path
) -> None:
    """On a Unix socket the death of a client looks like the end of its payload, but for its being gone altogether."""

    async def main() -> None:
        async with node(data_folder) as foo:
            stream = ScriptedStream(b"half")
            stream.leaves.set()
            with pytest.raises(ConnectionResetError):
                await foo.commands.submit(WorkSubmit(node="foo", work_type="cat"), stream, unheard)
            (unit_id,) = foo.workceptor.units
            state, detail = await foo.state(unit_id)
            assert state is State.FAILED
            assert "the client left without waiting for the answer" in detail
            assert await foo.results(unit_id) == b""

    run(main())


def test_a_unit_is_pending_while_its_payload_comes(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            stream = ScriptedStream(b"some", Script.SILENCE)
            submitting = asyncio.create_task(
                foo.commands.submit(WorkSubmit(node="localhost", work_type="cat"), stream, unheard)
            )
            await stream.silent.wait()
            (unit_id,) = foo.workceptor.units
            assert await foo.state(unit_id) == (State.PENDING, "Waiting for Input Data")
            submitting.cancel()
            await asyncio.wait([submitting])

    run(main())


def test_a_client_that_leaves_while_it_follows_does_not_harm_the_unit(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("cat", b"output")
            with pytest.raises(ConnectionError):
                await foo.commands.results(WorkResults(unit_id), ScriptedStream(breaks_after=45))
            assert await foo.results(unit_id) == b"output"

    run(main())


def test_a_client_that_leaves_while_nothing_comes_is_not_followed_on(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("nap")
            stream = ScriptedStream()
            following = asyncio.create_task(foo.commands.results(WorkResults(unit_id), stream))
            await stream.has_got(b"\non\n")
            stream.leaves.set()
            with pytest.raises(ConnectionResetError, match="the other end has left"):
                await following
            await foo.commands.cancel(WorkCancel(unit_id), ScriptedStream())

    run(main())


def test_work_for_a_node_out_of_reach_waits(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            stream = ScriptedStream(b"payload")
            submit = WorkSubmit(node="bar", work_type="cat", ttl="1h", parameters={"params": "x"})
            answer = await foo.commands.submit(submit, stream, unheard)
            assert answer.result == "Job Submitted"
            status = msgspec.to_builtins(await foo.commands.status(WorkStatus(answer.unitid), ScriptedStream()))
            assert status["StateName"] == "Pending"
            assert status["WorkType"] == "remote"
            extra = status["ExtraData"]
            assert (extra["RemoteNode"], extra["RemoteWorkType"], extra["RemoteParams"]) == (
                "bar",
                "cat",
                {"params": "x"},
            )
            assert not extra["RemoteStarted"]
            released = await foo.commands.release(WorkRelease(answer.unitid, force=True), ScriptedStream())
            assert released == {"released": answer.unitid}

    run(main())


# The same submission again


def keyed(work_type: str = "cat", key: str = "k1", **parameters: str) -> WorkSubmit:
    return WorkSubmit(node="localhost", work_type=work_type, idempotency_key=key, parameters=parameters)


def test_the_same_key_again_is_the_same_unit(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            first = await foo.commands.submit(keyed(), ScriptedStream(b"payload"), unheard)
            again = ScriptedStream(b"what comes now ", b"does not count")
            assert await foo.commands.submit(keyed(), again, unheard) == first
            assert again.lines == [f"Work unit created with ID {first.unitid}. Send stdin data and EOF."]
            assert await foo.results(first.unitid) == b"payload"
            status = await foo.commands.status(WorkStatus(first.unitid), ScriptedStream())
            assert status.idempotency_key == "k1"
            assert len(foo.workceptor.units) == 1

    run(main())


def test_a_key_is_each_submitters_own_and_stands_for_one_work(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            ours = await foo.commands.submit(keyed(), ScriptedStream(), unheard)
            theirs = await foo.commands.submit(keyed(), ScriptedStream(origin=FAR_CLIENT), unheard)
            assert ours.unitid != theirs.unitid
            with pytest.raises(
                CommandError, match=f"the idempotency key was used for other work, in unit {ours.unitid}"
            ):
                await foo.commands.submit(keyed("fail"), ScriptedStream(), unheard)
            assert len(foo.workceptor.units) == 2

    run(main())


def test_a_payload_that_broke_off_is_sent_again_under_the_same_key(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            for origin in (LOCAL_CLIENT, FAR_CLIENT):
                with pytest.raises(ConnectionError):
                    await foo.commands.submit(keyed(), ScriptedStream(b"half", Script.BREAK, origin=origin), unheard)
                answer = await foo.commands.submit(keyed(), ScriptedStream(b"whole", origin=origin), unheard)
                assert await foo.results(answer.unitid) == b"whole"
            assert len(foo.workceptor.units) == 2, "nothing is left of what broke off"

    run(main())


def test_a_submission_whose_client_is_silent_is_taken_over_by_the_next(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            silent = ScriptedStream(b"much longer than what counts", Script.SILENCE, origin=FAR_CLIENT)
            first = asyncio.create_task(foo.commands.submit(keyed(), silent, unheard))
            await silent.silent.wait()
            answer = await foo.commands.submit(keyed(), ScriptedStream(b"whole", origin=FAR_CLIENT), unheard)
            with pytest.raises(asyncio.CancelledError):
                await first
            assert silent.lines == [f"Work unit created with ID {answer.unitid}. Send stdin data and EOF."]
            assert await foo.results(answer.unitid) == b"whole"
            assert await foo.state(answer.unitid) == (State.SUCCEEDED, "exit status 0")

    run(main())


def test_a_submission_is_found_by_its_key_and_by_who_made_it_only(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            ours = await foo.commands.submit(keyed(), ScriptedStream(), unheard)
            theirs = await foo.commands.submit(keyed(), ScriptedStream(origin=FAR_CLIENT), unheard)
            await foo.submit("cat")
            by_key = WorkList(idempotency_key="k1")
            assert set(await foo.commands.list(by_key, LOCAL_CLIENT, everything)) == {ours.unitid}
            assert set(await foo.commands.list(by_key, FAR_CLIENT, everything)) == {theirs.unitid}
            assert await foo.commands.list(by_key, FAR_CLIENT, lambda _: False) == {}
            assert await foo.commands.list(WorkList(idempotency_key="k2"), LOCAL_CLIENT, everything) == {}
            await foo.commands.release(WorkRelease(ours.unitid), ScriptedStream())
            assert await foo.commands.list(by_key, LOCAL_CLIENT, everything) == {}

    run(main())


def test_a_submission_is_found_before_its_payload_is_whole(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            silent = ScriptedStream(b"half", Script.SILENCE)
            submitting = asyncio.create_task(foo.commands.submit(keyed(), silent, unheard))
            await silent.silent.wait()
            [status] = (await foo.commands.list(WorkList(idempotency_key="k1"), LOCAL_CLIENT, everything)).values()
            assert (status.state, status.detail) == (State.PENDING, "Waiting for Input Data")
            submitting.cancel()
            await asyncio.wait([submitting])

    run(main())


# Numbered commands


def numbered(payload: bytes = b"", origin: Origin = FAR_CLIENT) -> NumberedCommand:
    return NumberedCommand(origin, payload, asyncio.Semaphore())


async def with_output(foo: Node, command: WorkStatus, origin: Origin = FAR_CLIENT) -> tuple[State, int, bytes]:
    """The state and the size of the output that are answered, and what of it is attached."""
    stream = numbered(origin=origin)
    status = await foo.commands.status(command, stream)
    return status.state, status.stdout_size, stream.attached


def test_a_payload_that_is_attached_is_the_units(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            answer = await foo.commands.submit(keyed(), numbered(b"a\0\nb"), unheard)
            assert answer.result == "Job Started"
            assert await foo.results(answer.unitid) == b"a\0\nb"
            again = await foo.commands.submit(keyed(), numbered(b"does not count"), unheard)
            assert again == answer
            assert await foo.results(answer.unitid) == b"a\0\nb"

    run(main())


def test_a_status_brings_the_output_from_a_byte_on(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("cat", b"0123456789")
            await foo.results(unit_id)
            for start, output in [(0, b"0123456789"), (4, b"456789"), (10, b""), (1000, b""), (2**63 - 1, b"")]:
                answered = await with_output(foo, WorkStatus(unit_id, start=start))
                assert answered == (State.SUCCEEDED, 10, output)
            assert await with_output(foo, WorkStatus(unit_id)) == (State.SUCCEEDED, 10, b"")

    run(main())


def test_who_knows_the_state_is_answered_when_there_is_output(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("nap")
            assert await with_output(foo, WorkStatus(unit_id, State.RUNNING, 0)) == (State.RUNNING, 3, b"on\n")
            waiting = asyncio.create_task(with_output(foo, WorkStatus(unit_id, State.RUNNING, 3)))
            await foo.commands.cancel(WorkCancel(unit_id), ScriptedStream())
            assert await waiting == (State.CANCELED, 3, b"")
            releasing = asyncio.create_task(with_output(foo, WorkStatus(unit_id, State.CANCELED, 3)))
            await asyncio.sleep(0)
            await foo.commands.release(WorkRelease(unit_id), ScriptedStream())
            with pytest.raises(UnknownUnit):
                await releasing

    run(main())


def test_who_knows_the_size_is_answered_when_there_is_more_and_gets_none_of_it(
    run: EventLoop, data_folder: Path
) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("nap")
            told = await with_output(foo, WorkStatus(unit_id, State.RUNNING, known_size=0))
            assert told == (State.RUNNING, 3, b"")
            answer = await foo.commands.status(WorkStatus(unit_id, State.RUNNING, known_size=2), ScriptedStream())
            assert answer.stdout_size == 3
            waiting = asyncio.create_task(with_output(foo, WorkStatus(unit_id, State.RUNNING, known_size=3)))
            await asyncio.sleep(0)
            await foo.commands.cancel(WorkCancel(unit_id), ScriptedStream())
            assert await waiting == (State.CANCELED, 3, b"")

    run(main())


def test_who_waits_for_output_is_answered_after_a_while_in_any_case(
    run: EventLoop, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(work_commands, "LONGEST_WAIT", 0.05)
        async with node(data_folder) as foo:
            unit_id = await foo.submit("nap")
            answered = await with_output(foo, WorkStatus(unit_id, State.RUNNING, 1000))
            assert (answered[0], answered[2]) == (State.RUNNING, b"")
            await foo.commands.cancel(WorkCancel(unit_id), ScriptedStream())

    run(main())


def test_when_many_wait_for_news_of_a_unit_others_are_answered_at_once(
    run: EventLoop, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_commands, "MOST_WAITING", 2)

    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id, other_id = await foo.submit("nap"), await foo.submit("nap")
            for each in (unit_id, other_id):
                while (await with_output(foo, WorkStatus(each, State.RUNNING, 0)))[1] < 3:
                    pass
            for command in (WorkStatus(unit_id, State.RUNNING, 3), WorkStatus(unit_id, State.RUNNING)):
                waiting = [asyncio.create_task(with_output(foo, command)) for _ in range(2)]
                await asyncio.sleep(0)
                assert await with_output(foo, command) == (State.RUNNING, 3, b"")
                waiting.append(asyncio.create_task(with_output(foo, WorkStatus(other_id, State.RUNNING, 3))))
                await asyncio.sleep(0)
                assert not any(task.done() for task in waiting)
                for task in waiting:
                    task.cancel()
                await asyncio.wait(waiting)
            for each in (unit_id, other_id):
                await foo.commands.cancel(WorkCancel(each), ScriptedStream())

    run(main())


def test_output_is_attached_in_numbered_commands_only(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("cat", b"x")
            with pytest.raises(CommandError, match="startpos of work status is for numbered commands; use work res"):
                await foo.commands.status(WorkStatus(unit_id, start=0), ScriptedStream())
            await foo.results(unit_id)

    run(main())


def test_a_status_waits_for_its_turn_before_it_holds_any_output(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("cat", b"x")
            await foo.results(unit_id)
            turns = asyncio.Semaphore(1)
            first, second = (NumberedCommand(FAR_CLIENT, b"", turns) for _ in range(2))
            await foo.commands.status(WorkStatus(unit_id, start=0), first)
            waiting = asyncio.create_task(foo.commands.status(WorkStatus(unit_id, start=0), second))
            for _ in range(100):
                await asyncio.sleep(0)
            assert (first.attached, second.attached) == (b"x", b"")
            first.answered()
            await waiting
            assert second.attached == b"x"

    run(main())


# Limits


def test_a_payload_beyond_the_limit_is_refused_and_never_run(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder, WorkLimits(payload=10)) as foo:
            assert await foo.results(await foo.submit("cat", b"0123456789")) == b"0123456789"
            stream = ScriptedStream(b"01234", b"56789", b"x")
            with pytest.raises(CommandError, match="the payload has 11 bytes, more than the 10"):
                await foo.commands.submit(WorkSubmit(node="foo", work_type="cat"), stream, unheard)
            unit = list(foo.workceptor.units)[-1]
            state, detail = await foo.state(unit)
            assert (state, detail[:24]) == (State.FAILED, "Error reading input data")
            assert await foo.results(unit) == b""

    run(main())


def test_units_beyond_the_limits_are_refused(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder, WorkLimits(units=3, running=1)) as foo:
            nap = await foo.submit("nap")
            with pytest.raises(CommandError, match="1 units of local have not ended on this node"):
                await foo.submit("cat")
            other = await foo.submit("cat", origin=FAR_CLIENT)
            await foo.results(other)
            await foo.results(await foo.submit("cat", origin=FAR_CLIENT))
            with pytest.raises(CommandError, match="this node has 3 units, as many as its limits allow; release"):
                await foo.submit("cat", origin=FAR_CLIENT)
            await foo.commands.cancel(WorkCancel(nap), ScriptedStream())
            await foo.commands.release(WorkRelease(other), ScriptedStream())
            await foo.submit("cat")

    run(main())


# Signatures


def token(expiration: float = 60.0, audience: str = "foo") -> str:
    """One as existing nodes make them."""
    return jwt.encode({"aud": [audience], "exp": int(time.time() + expiration)}, KEY, algorithm="RS512")


def test_a_local_client_needs_no_signature(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            assert await foo.results(await foo.submit("sealed", b"x")) == b"x"

    run(main())


def test_others_need_one_for_all_that_reads_or_ends_the_unit(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("sealed", b"x", origin=FAR_CLIENT, signature=token())
            away = ScriptedStream(origin=FAR_CLIENT)
            for signature in ("", "x.y.z", token(-1), token(audience="bar")):
                with pytest.raises(CommandError, match="signature"):
                    await foo.submit("sealed", origin=FAR_CLIENT, signature=signature)
                with pytest.raises(CommandError, match="signature"):
                    await foo.commands.results(WorkResults(unit_id, 0, signature), away)
                with pytest.raises(CommandError, match="signature"):
                    await foo.commands.cancel(WorkCancel(unit_id, signature), away)
                for force in (False, True):
                    with pytest.raises(CommandError, match="signature"):
                        await foo.commands.release(WorkRelease(unit_id, signature, force), away)
            assert away.written == b""
            assert len(foo.workceptor.units) == 1
            await foo.commands.results(WorkResults(unit_id, 0, token()), away)
            assert away.written.endswith(b"\nx")
            assert await foo.commands.cancel(WorkCancel(unit_id, token()), away) == {"cancelled": unit_id}
            assert await foo.commands.release(WorkRelease(unit_id, token()), away) == {"released": unit_id}

    run(main())


def bound(deed: Deed, payload: bytes | None = None) -> str:
    """A signature as our nodes make them."""
    digest = None if payload is None else hashlib.sha256(payload).hexdigest()
    return Signer(KEY, 60.0).token("foo", time.time(), deed, digest)


def test_a_bound_signature_is_good_for_its_command_only(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            for_x = bound(submit_deed("sealed", {}, ""), b"x")
            with pytest.raises(CommandError, match="signature is for another payload"):
                await foo.submit("sealed", b"y", origin=FAR_CLIENT, signature=for_x)
            [unit] = foo.workceptor.units
            state, detail = await foo.state(unit)
            assert state is State.FAILED
            assert "another payload" in detail
            away = ScriptedStream(origin=FAR_CLIENT)
            unit = await foo.submit(
                "sealed", b"x", origin=FAR_CLIENT, signature=bound(submit_deed("sealed", {}, ""), b"x")
            )
            for wrong in (Deed("release", unit), Deed("cancel", "other123"), submit_deed("sealed", {}, "")):
                with pytest.raises(CommandError, match="signature is for another command"):
                    await foo.commands.cancel(WorkCancel(unit, bound(wrong, b"")), away)
            await foo.commands.results(WorkResults(unit, 0, bound(Deed("results", unit))), away)
            assert away.written.endswith(b"\nx")
            await foo.commands.release(WorkRelease(unit, bound(Deed("force-release", unit)), force=True), away)

    run(main())


def test_a_bound_signature_is_good_for_this_name_and_environment_only(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        environment = '{"TOKEN":"hush"}'
        right = WorkSubmit(node="foo", work_type="sealed open", name="nightly", parameters={"secret_env": environment})
        deed = submit_deed("sealed open", {"secret_env": environment}, "", "nightly")
        async with node(data_folder) as foo:
            for wrong in (
                msgspec.structs.replace(right, name="weekly"),
                msgspec.structs.replace(right, name=""),
                msgspec.structs.replace(right, parameters={"secret_env": '{"TOKEN":"other"}'}),
                msgspec.structs.replace(right, parameters={}),
            ):
                signed = msgspec.structs.replace(wrong, signature=bound(deed, b""))
                with pytest.raises(NotAllowed, match="signature is for another command"):
                    await foo.commands.submit(signed, ScriptedStream(origin=FAR_CLIENT), unheard)
            signed = msgspec.structs.replace(right, signature=bound(deed, b""))
            answer = await foo.commands.submit(signed, ScriptedStream(origin=FAR_CLIENT), unheard)
            assert await foo.results(answer.unitid) == b"hush\n"
            listed = await foo.commands.list(WorkList(), FAR_CLIENT, everything)
            assert b"hush" not in msgspec.json.encode(listed)
            assert listed[answer.unitid].name == "nightly"

    run(main())


def test_output_that_needs_a_signature_comes_with_no_status(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("sealed", b"x")
            await foo.results(unit_id)
            for known in (None, State.SUCCEEDED, State.RUNNING):
                with pytest.raises(NotAllowed, match="signature"):
                    await with_output(foo, WorkStatus(unit_id, known, 0))
            assert await with_output(foo, WorkStatus(unit_id, start=0), LOCAL_CLIENT) == (State.SUCCEEDED, 1, b"x")
            assert await with_output(foo, WorkStatus(unit_id)) == (State.SUCCEEDED, 1, b"")

    run(main())


def test_a_payload_that_is_attached_must_be_the_one_that_was_signed(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            for payload in (b"y", b"", b"xx"):
                for_x = bound(submit_deed("sealed", {}, ""), b"x")
                submit = WorkSubmit(node="foo", work_type="sealed", signature=for_x)
                with pytest.raises(NotAllowed, match="signature is for another payload"):
                    await foo.commands.submit(submit, numbered(payload), unheard)
            for unit_id in foo.workceptor.units:
                assert (await foo.state(unit_id))[0] is State.FAILED
            submit = WorkSubmit(node="foo", work_type="sealed", signature=bound(submit_deed("sealed", {}, ""), b"x"))
            answer = await foo.commands.submit(submit, numbered(b"x"), unheard)
            assert await foo.results(answer.unitid) == b"x"

    run(main())


def test_a_bound_signature_is_good_once_also_over_a_restart(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        used_once = bound(submit_deed("sealed", {}, ""), b"x")
        async with node(data_folder) as foo:
            await foo.submit("sealed", b"x", origin=FAR_CLIENT, signature=used_once)
        for _ in range(2):
            async with node(data_folder) as foo:
                with pytest.raises(CommandError, match="signature was used before"):
                    await foo.submit("sealed", b"x", origin=FAR_CLIENT, signature=used_once)
                assert len(foo.workceptor.units) == 1

    run(main())


def test_a_signature_where_none_is_expected_is_refused(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("cat", origin=FAR_CLIENT)
            for origin in (LOCAL_CLIENT, FAR_CLIENT):
                with pytest.raises(CommandError, match="did not expect a signature"):
                    await foo.commands.cancel(WorkCancel(unit_id, token()), ScriptedStream(origin=origin))
            await foo.results(unit_id)

    run(main())


def test_units_of_a_type_that_is_no_longer_configured_need_one_too(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            unit_id = await foo.submit("cat", b"x", origin=FAR_CLIENT)
            del foo.workceptor.work_commands["cat"]
            away = ScriptedStream(origin=FAR_CLIENT)
            with pytest.raises(CommandError, match="signature"):
                await foo.commands.results(WorkResults(unit_id), away)
            await foo.commands.results(WorkResults(unit_id, 0, token()), away)
            assert away.written.endswith(b"\nx")

    run(main())


def test_this_node_signs_for_nobody_who_is_not_local(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with running("foo") as mesh:
            workceptor = Workceptor(mesh, data_folder, WORK, Signer(KEY, 60.0))
            await workceptor.start()
            commands = WorkCommands("foo", workceptor, None)
            submit = WorkSubmit(node="bar", work_type="cat", sign_work=True)
            with pytest.raises(CommandError, match="signs work for clients of its Unix socket only"):
                await commands.submit(submit, ScriptedStream(origin=FAR_CLIENT), unheard)
            assert workceptor.units == {}
            await workceptor.close()

    run(main())


def test_without_a_key_to_verify_with_nobody_else_gets_in(run: EventLoop, data_folder: Path) -> None:
    async def main() -> None:
        async with node(data_folder) as foo:
            foo.commands = WorkCommands("foo", foo.workceptor, None)
            with pytest.raises(CommandError, match="no work-verification key"):
                await foo.submit("sealed", origin=FAR_CLIENT, signature=token())
            assert foo.workceptor.units == {}

    run(main())
