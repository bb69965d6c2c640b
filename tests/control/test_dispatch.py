from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from event_loops import EventLoop
from running_mesh import read_all, running
from scripted_stream import FAR_CLIENT, Script, ScriptedStream

from receptor.config.actions import WorkCommand
from receptor.config.kinds import Right
from receptor.config.protection import AccessRule
from receptor.control.access import AccessPolicy
from receptor.control.answers import NodeStatus, PingAnswer, ReloadAnswer, SubmitAnswer
from receptor.control.commands import (
    Command,
    Connect,
    FollowEvents,
    Ping,
    Reload,
    ShowStatus,
    Traceroute,
    WorkCancel,
    WorkList,
    WorkRelease,
    WorkResults,
    WorkStatus,
    WorkSubmit,
)
from receptor.control.dispatch import Dispatcher
from receptor.control.mesh_commands import MeshCommands
from receptor.control.multiplexed import NumberedCommand
from receptor.control.work_commands import WorkCommands
from receptor.errors import NotAllowed, UnknownUnit, UnknownWorkType
from receptor.identifiers import is_unit_id
from receptor.node.byte_stream import LOCAL_CLIENT, ByteStream
from receptor.workceptor.workceptor import Workceptor

REFUSED: dict[type[Command], tuple[Command, type[Exception]]] = {
    WorkSubmit: (WorkSubmit(node="localhost", work_type="nosuch"), UnknownWorkType),
    WorkStatus: (WorkStatus("nosuch12"), UnknownUnit),
    WorkResults: (WorkResults("nosuch12"), UnknownUnit),
    WorkCancel: (WorkCancel("nosuch12"), UnknownUnit),
    WorkRelease: (WorkRelease("nosuch12"), UnknownUnit),
}
ANSWERED_SUBMIT = WorkSubmit(node="far", work_type="cat")
SEALED = WorkCommand("sealed", "cat", verify_signature=True)
NOBODY = AccessRule(frozenset(), frozenset({"*"}))
OWN_UNITS = AccessRule(frozenset({Right.ALL}), frozenset({"*"}), work_types=frozenset({"remote"}))
ANSWERED: dict[type[Command], Command] = {
    ShowStatus: ShowStatus(),
    Ping: Ping("localhost"),
    Traceroute: Traceroute("localhost"),
    Connect: Connect("localhost", "echo"),
    Reload: Reload(),
    WorkList: WorkList(),
}


@pytest.fixture
def run() -> EventLoop:
    return EventLoop("asyncio")


async def reload() -> ReloadAnswer:
    return ReloadAnswer(success=False, error="nothing was read ERRORCODE 4")


async def echo(stream: ByteStream) -> None:
    await stream.write(await read_all(stream))
    await stream.finish()


@asynccontextmanager
async def dispatcher(data_folder: Path, *rules: AccessRule) -> AsyncIterator[Dispatcher]:
    """That of a node foo that hands on work to others only, who are far away."""
    async with running("foo") as mesh:
        mesh.listen("echo", echo)
        workceptor = Workceptor(mesh, data_folder, (SEALED,), None, events=mesh.events)
        await workceptor.start()
        access = AccessPolicy("foo", rules, workceptor.units)
        yield Dispatcher(access, MeshCommands(mesh), WorkCommands("foo", workceptor, None), reload)
        await workceptor.close()


def audit_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Verdict and unit of each line of the audit."""
    lines = [record for record in caplog.records if record.name == "receptor.audit"]
    return [(record.getMessage().split()[0], getattr(record, "unit", "")) for record in lines]


def test_every_command_is_in_the_table() -> None:
    assert REFUSED.keys() | ANSWERED.keys() | {FollowEvents} == set(Command.__args__)


def test_commands_go_to_their_handlers(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path) as dispatch:
            answers = {kind: await dispatch(command, ScriptedStream(b"x")) for kind, command in ANSWERED.items()}
        assert isinstance(answers[ShowStatus], NodeStatus)
        assert isinstance(answers[Ping], PingAnswer)
        hops = answers[Traceroute]
        assert isinstance(hops, dict)
        assert list(hops) == ["0"]
        assert answers[WorkList] == {}

    run(main())


def test_events_are_followed_until_the_client_leaves(
    run: EventLoop, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path) as dispatch:
            client = ScriptedStream()
            following = asyncio.create_task(dispatch(FollowEvents(), client))
            await client.has_got(b"\n")
            await dispatch(ANSWERED_SUBMIT, ScriptedStream(b""))
            await client.has_got(b"}\n")
            client.leaves.set()
            with pytest.raises(ConnectionResetError):
                await following
            greeting, *events = client.lines
            assert greeting == "Streaming events of node foo"
            assert {"unit.created"} <= {json.loads(event)["Event"] for event in events}
        assert [verdict for verdict, _ in audit_of(caplog)] == ["allowed"], "that of the submission"

    caplog.set_level(logging.INFO, "receptor.audit")
    run(main())


def test_who_may_see_nothing_follows_nothing(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path, NOBODY) as dispatch:
            with pytest.raises(NotAllowed, match="node far may not follow events on node foo"):
                await dispatch(FollowEvents(), ScriptedStream(origin=FAR_CLIENT))

    run(main())


@pytest.mark.parametrize(("command", "error"), REFUSED.values(), ids=[kind.__name__ for kind in REFUSED])
def test_what_a_handler_refuses_is_passed_on(
    run: EventLoop, tmp_path: Path, command: Command, error: type[Exception]
) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path) as dispatch:
            with pytest.raises(error):
                await dispatch(command, ScriptedStream())

    run(main())


def test_connect_has_no_answer_since_the_stream_is_used_up(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path) as dispatch:
            client = ScriptedStream(b"to and fro")
            assert await dispatch(Connect("localhost", "echo"), client) is None
            assert client.written == b"Connecting\nto and fro"

    run(main())


def test_a_reload_that_failed_is_no_error_of_the_command(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path) as dispatch:
            answer = await dispatch(Reload(), ScriptedStream())
            assert isinstance(answer, ReloadAnswer)
            assert not answer.success
            assert answer.error == "nothing was read ERRORCODE 4"

    run(main())


@pytest.mark.parametrize("command", [*ANSWERED.values(), *(command for command, _ in REFUSED.values())], ids=repr)
def test_no_handler_is_reached_without_the_right_to_it(
    run: EventLoop, tmp_path: Path, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path, NOBODY) as dispatch:
            stream = ScriptedStream(b"x", origin=FAR_CLIENT)
            with pytest.raises(NotAllowed):
                await dispatch(command, stream)
            assert stream.written == b""

    run(main())
    assert [verdict for verdict, _ in audit_of(caplog)] == ["refused"]


def test_a_list_of_all_units_has_those_of_the_client(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path, OWN_UNITS) as dispatch:
            elsewhere = WorkSubmit(node="elsewhere", work_type="cat")
            answers = {
                origin: await dispatch(elsewhere, ScriptedStream(b"x", origin=origin))
                for origin in (LOCAL_CLIENT, FAR_CLIENT)
            }
            units = {origin: answer.unitid for origin, answer in answers.items() if isinstance(answer, SubmitAnswer)}
            for origin, expected in ((LOCAL_CLIENT, set(units.values())), (FAR_CLIENT, {units[FAR_CLIENT]})):
                seen = await dispatch(WorkList(), ScriptedStream(origin=origin))
                assert isinstance(seen, dict)
                assert set(seen) == expected
            with pytest.raises(NotAllowed, match=r"^unknown work unit "):
                await dispatch(WorkStatus(units[LOCAL_CLIENT]), ScriptedStream(origin=FAR_CLIENT))

    run(main())


def test_a_submission_is_found_by_its_key_by_whom_made_it(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path, OWN_UNITS) as dispatch:
            submit = WorkSubmit(node="elsewhere", work_type="cat", idempotency_key="k1")
            for origin in (LOCAL_CLIENT, FAR_CLIENT):
                answer = await dispatch(submit, NumberedCommand(origin, b"x", asyncio.Semaphore()))
                assert isinstance(answer, SubmitAnswer)
                found = await dispatch(WorkList(idempotency_key="k1"), ScriptedStream(origin=origin))
                assert isinstance(found, dict)
                assert set(found) == {answer.unitid}

    run(main())


def test_a_status_with_output_needs_the_right_to_the_output(
    run: EventLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    may_list = AccessRule(frozenset({Right.LIST, Right.SUBMIT}), frozenset({"*"}), work_types=frozenset({"remote"}))

    async def main() -> str:
        async with dispatcher(tmp_path, may_list) as dispatch:
            stream = NumberedCommand(FAR_CLIENT, b"x", asyncio.Semaphore())
            answer = await dispatch(WorkSubmit(node="elsewhere", work_type="cat"), stream)
            assert isinstance(answer, SubmitAnswer)
            await dispatch(WorkStatus(answer.unitid), stream)
            with pytest.raises(NotAllowed, match="may not read the output of units"):
                await dispatch(WorkStatus(answer.unitid, None, 0), stream)
            return answer.unitid

    unit_id = run(main())
    assert audit_of(caplog) == [("refused", unit_id)]


def test_the_audit_tells_of_what_was_done(run: EventLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "receptor.audit")

    async def main() -> str:
        async with dispatcher(tmp_path) as dispatch:
            client = ScriptedStream(b"x", origin=FAR_CLIENT)
            answer = await dispatch(WorkSubmit(node="elsewhere", work_type="cat"), client)
            assert isinstance(answer, SubmitAnswer)
            await dispatch(WorkStatus(answer.unitid), client)
            await dispatch(WorkCancel(answer.unitid), client)
            with pytest.raises(ConnectionResetError):
                await dispatch(WorkSubmit(node="elsewhere", work_type="cat"), ScriptedStream(Script.BREAK))
            await dispatch(Reload(), client)
            with pytest.raises(UnknownUnit):
                await dispatch(WorkRelease("nosuch12"), client)
            return answer.unitid

    unit_id = run(main())
    submitted, cancelled, broken, reloaded, released = audit_of(caplog)
    assert submitted == cancelled == ("allowed", unit_id)
    assert broken[0] == "failed"
    assert is_unit_id(broken[1])
    assert broken[1] != unit_id
    assert (reloaded, released) == (("failed", ""), ("failed", "nosuch12"))


def test_the_audit_calls_it_a_refusal_if_the_signature_is_missing(
    run: EventLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path) as dispatch:
            with pytest.raises(NotAllowed, match="signature"):
                await dispatch(WorkSubmit(node="foo", work_type="sealed"), ScriptedStream(origin=FAR_CLIENT))

    run(main())
    assert audit_of(caplog) == [("refused", "")]


def test_the_audit_tells_of_a_connection_when_it_begins(
    run: EventLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receptor.audit")

    async def main() -> None:
        async with dispatcher(tmp_path) as dispatch:
            client = ScriptedStream(Script.SILENCE)
            session = asyncio.create_task(dispatch(Connect("localhost", "echo"), client))
            await client.silent.wait()
            assert audit_of(caplog) == [("allowed", "")]
            session.cancel()
            await asyncio.wait([session])

    run(main())
    assert audit_of(caplog) == [("allowed", "")]
