from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from event_loops import EventLoop
from running_mesh import read_all, running
from scripted_stream import ScriptedStream

from receptor.control.answers import NodeStatus, PingAnswer, ReloadAnswer
from receptor.control.commands import (
    Command,
    Connect,
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
from receptor.control.work_commands import WorkCommands
from receptor.errors import UnknownUnit, UnknownWorkType
from receptor.node.byte_stream import ByteStream
from receptor.workceptor.workceptor import Workceptor

REFUSED: dict[type[Command], tuple[Command, type[Exception]]] = {
    WorkSubmit: (WorkSubmit(node="localhost", work_type="nosuch"), UnknownWorkType),
    WorkStatus: (WorkStatus("nosuch12"), UnknownUnit),
    WorkResults: (WorkResults("nosuch12"), UnknownUnit),
    WorkCancel: (WorkCancel("nosuch12"), UnknownUnit),
    WorkRelease: (WorkRelease("nosuch12"), UnknownUnit),
}
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


async def echo(stream: ByteStream) -> None:
    await stream.write(await read_all(stream))
    await stream.finish()


@asynccontextmanager
async def dispatcher(data_folder: Path) -> AsyncIterator[Dispatcher]:
    async with running("foo") as mesh:
        mesh.listen("echo", echo)
        workceptor = Workceptor(mesh, data_folder, (), None)
        await workceptor.start()
        yield Dispatcher(MeshCommands(mesh), WorkCommands("foo", workceptor, None))
        await workceptor.close()


def test_every_command_is_in_the_table() -> None:
    assert REFUSED.keys() | ANSWERED.keys() == set(Command.__args__)


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


def test_reload_says_that_it_is_not_there_and_what_to_do(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with dispatcher(tmp_path) as dispatch:
            answer = await dispatch(Reload(), ScriptedStream())
            assert isinstance(answer, ReloadAnswer)
            assert not answer.success
            assert "restart the node" in answer.error

    run(main())
