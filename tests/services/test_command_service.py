from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from event_loops import EventLoop
from proxies import open_descriptors, started
from running_mesh import read_all, row

from receptor.config.service_actions import CommandService
from receptor.errors import ConfigurationError, OperatingError
from receptor.node.byte_stream import ByteStream
from receptor.node.mesh_node import MeshNode
from receptor.services import command_service, login_session, terminal
from receptor.services.command_service import CommandServicePart
from receptor.workceptor.orphans import Orphans

WARNED = ("receptor.services", logging.WARNING)

HAS_PROC = Path("/proc/self/stat").exists()
pytestmark = pytest.mark.skipif(not HAS_PROC, reason="looks at processes as Linux shows them")


@pytest.fixture(autouse=True)
def no_children_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before, "those of other tests apart"


def children() -> set[int]:
    """The processes that this one has to wait for, ended or not."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # It has ended meanwhile.
            _, _, after_name = stat.read_text().rpartition(") ")
            if int(after_name.split()[1]) == os.getpid():
                found.add(int(stat.parent.name))
    return found


@pytest.fixture
def short_graces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_session, "HANG_UP_GRACE", 0.1)
    monkeypatch.setattr(login_session, "TERM_GRACE", 0.1)


@asynccontextmanager
async def offered(command: str) -> AsyncIterator[tuple[MeshNode, CommandServicePart]]:
    """A node that may dial ``shell`` on ``bar``."""
    action = CommandService(service="shell", command=command)
    async with row("foo", "bar") as (foo, bar), started(action, bar) as part:
        assert isinstance(part, CommandServicePart)
        yield foo, part


@asynccontextmanager
async def running(command: str) -> AsyncIterator[ByteStream]:
    """A stream to a command."""
    async with offered(command) as (foo, _):
        stream = await foo.dial("bar", "shell")
        try:
            yield stream
        finally:
            stream.close()


def shell(script: str) -> str:
    return shlex.join(["sh", "-c", script])


async def until(stream: ByteStream, wanted: bytes) -> bytes:
    """Read up to a text, and what comes with it."""
    output = b""
    while wanted not in output:
        data = await stream.read()
        assert data, output
        output += data
    return output


def lives(pid: int) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def has_gone(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(process, gone.set)
        await gone.wait()
        asyncio.get_running_loop().remove_reader(process)
        os.close(process)


def test_a_command_has_a_terminal_of_its_own(run: EventLoop) -> None:
    script = 'tty; stty size; echo "$TERM"; ps -o sid= -p $$ | tr -d " "; echo $$; echo $(ls /proc/self/fd | wc -w)'

    async def main() -> None:
        async with running(shell(script)) as stream:
            tty, size, term, session, pid, descriptors = (await read_all(stream)).decode().split("\r\n")[:-1]
            assert tty.startswith("/dev/pts/")
            assert size == "24 80"
            assert term == os.environ.get("TERM", "xterm")
            assert session == pid
            assert descriptors == "4", "standard ones, and the folder that ls reads"

    run(main())


def test_one_may_converse_with_it(run: EventLoop) -> None:
    async def main() -> None:
        async with running("sh -i") as stream:
            await stream.write(b"stty -echo; PS1=; echo re''ady\n")
            await until(stream, b"ready\r\n")
            await stream.write(b"echo $((6*7))\n")
            assert await until(stream, b"42") == b"42\r\n"
            await stream.write(b"exit\n")
            assert await read_all(stream) == b""

    run(main())


def test_its_output_arrives_to_the_last_byte(run: EventLoop) -> None:
    expected = b"".join(b"%d\r\n" % number for number in range(1, 200_001))

    async def main() -> None:
        async with running("seq 1 200000") as stream:
            assert await read_all(stream) == expected

    run(main())


def test_its_output_arrives_after_its_end(run: EventLoop) -> None:
    expected = b"".join(b"%d\r\n" % number for number in range(1, 501))

    async def main() -> None:
        async with running(shell("echo $$; exec seq 1 500")) as stream:
            output = await until(stream, b"\r\n")
            await has_gone(int(output.split()[0]))
            assert (output + await read_all(stream)).partition(b"\r\n")[2] == expected

    run(main())


@pytest.mark.parametrize("typed", [b"", b"hello\n", b"hello"])
def test_who_only_ends_its_input_gets_all_output(run: EventLoop, typed: bytes) -> None:
    async def main() -> None:
        async with running(shell("stty -echo; echo ready; cat; sleep 0.1; echo done")) as stream:
            await until(stream, b"ready\r\n")
            await stream.write(typed)
            await stream.end()
            assert await read_all(stream) == typed.replace(b"\n", b"\r\n") + b"done\r\n"

    run(main())


def test_a_shell_ends_with_its_input_however_early_that_comes(run: EventLoop) -> None:
    async def main() -> None:
        async with offered("bash --norc -i") as (foo, _):
            for _ in range(3):
                stream = await foo.dial("bar", "shell")
                await stream.write(b"echo $((6*7))\n")
                await stream.end()
                assert b"\r42\r\n" in await read_all(stream)

    run(main())


def test_control_keys_work(run: EventLoop) -> None:
    async def main() -> None:
        async with running(
            shell("trap 'echo interrupted; exit' INT; echo ready; while :; do sleep 0.1; done")
        ) as stream:
            await until(stream, b"ready\r\n")
            await stream.write(b"\x03")
            assert (await read_all(stream)).endswith(b"interrupted\r\n")

    run(main())


def test_a_command_hears_that_its_client_has_left(run: EventLoop, tmp_path: Path) -> None:
    note = tmp_path / "note"

    async def main() -> None:
        script = f"trap 'echo hung up > {note}; exit' HUP; echo $$; while :; do sleep 1000; done"
        async with running(shell(script)) as stream:
            pid = int(await until(stream, b"\n"))
            stream.close()
            await has_gone(pid)
        assert note.read_text() == "hung up\n"

    run(main())


def test_who_left_after_ending_its_input_has_left_too(run: EventLoop) -> None:
    async def main() -> None:
        async with running(shell("stty -icanon -echo; echo $$; sleep 1000")) as stream:
            pid = int(await until(stream, b"\n"))
            await stream.end()
            stream.close()
            await has_gone(pid)

    run(main())


@pytest.mark.usefixtures("short_graces")
def test_what_does_not_care_is_killed_jobs_in_the_background_too(run: EventLoop) -> None:
    async def main() -> None:
        script = "trap '' HUP TERM; set -m; sleep 1000 & echo $! $$; sleep 1000"
        async with running(shell(script)) as stream:
            job, pid = (int(word) for word in (await until(stream, b"\n")).split())
            stream.close()
            await asyncio.gather(has_gone(job), has_gone(pid))

    run(main())


@pytest.mark.usefixtures("short_graces")
def test_many_that_do_not_care_are_all_killed_whatever_they_start_meanwhile(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[None] = []
    look_at_all = login_session._by_session

    def counted() -> dict[int, list[login_session._Process]]:
        looks.append(None)
        return look_at_all()

    monkeypatch.setattr(login_session, "_by_session", counted)

    async def main() -> None:
        async with offered(shell("trap '' HUP TERM; echo $$; while :; do sleep 1000; done")) as (foo, part):
            streams = [await foo.dial("bar", "shell") for _ in range(30)]
            leaders = {int(await until(stream, b"\n")) for stream in streams}
            await part.stop()
            found = look_at_all()
            assert not [one for leader in leaders for one in found.get(leader, []) if not one.is_dead]

    run(main())
    assert WARNED not in [(name, level) for name, level, _ in caplog.record_tuples]
    assert len(looks) < 60, "each alone would take ten"


@pytest.mark.usefixtures("short_graces")
def test_what_a_command_leaves_behind_neither_holds_the_stream_nor_lives_on(run: EventLoop) -> None:
    async def main() -> None:
        async with running(shell("trap '' HUP; sleep 1000 & echo $!")) as stream:
            job = int(await read_all(stream))
            await has_gone(job)

    run(main())


def written(pid: int) -> int:
    """How many bytes a process has written."""
    return int(Path(f"/proc/{pid}/io").read_text().split("wchar: ")[1].split()[0])


async def is_held_up(pid: int) -> None:
    """Wait until a process that writes without end writes nothing for a tenth of a second."""
    before = -1
    for _ in range(80):
        now = written(pid)
        if now == before:
            return
        before = now
        await asyncio.sleep(0.1)
    raise AssertionError(f"it goes on, {before} bytes by now")


def test_a_client_that_does_not_read_holds_its_command_up_and_no_other(run: EventLoop) -> None:
    async def main() -> None:
        async with offered(shell("echo $$; read line; exec yes $line")) as (foo, _):
            stream = await foo.dial("bar", "shell")
            pid = int(await until(stream, b"\n"))
            await stream.write(b"again\n")
            await is_held_up(pid)
            other = await foo.dial("bar", "shell")
            await until(other, b"\n")
            other.close()
            before = written(pid)
            while written(pid) == before:
                assert await stream.read()
            stream.close()
            await has_gone(pid)

    run(main())


def test_a_command_that_does_not_read_holds_its_client_up_and_loses_nothing(run: EventLoop) -> None:
    data = b"x" * 99 + b"\n"

    async def main() -> None:
        async with running(shell("stty raw -echo; echo ready; sleep 0.3; head -c 3000000 | md5sum")) as stream:
            await until(stream, b"ready")
            for _ in range(30):
                await stream.write(data * 1_000)
            digest = hashlib.md5(data * 30_000).hexdigest().encode()
            assert digest in await read_all(stream)

    run(main())


def test_a_program_that_is_not_there_breaks_the_stream_and_is_named_in_the_log(
    run: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receptor.services")

    async def main() -> None:
        async with running("/no/such/program") as stream:
            with pytest.raises(ConnectionError):
                await read_all(stream)

    run(main())
    assert [message for name, level, message in caplog.record_tuples if (name, level) == WARNED] == [
        "command-service shell: /no/such/program can't be started: No such file or directory; check the command"
    ]
    assert "command-service shell offers /no/such/program to the mesh" in caplog.messages


def test_a_command_whose_session_can_t_be_told_is_not_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_descriptors(leader: int) -> login_session.LoginSession:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(terminal, "LoginSession", without_descriptors)
    before = open_descriptors()
    with pytest.raises(OSError, match="Too many open files"):
        terminal.start(["sleep", "1000"])
    assert open_descriptors() == before  # And no_children_left looks for the command.


def test_one_command_too_many_is_refused(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_service, "MOST_COMMANDS", 2)

    async def main() -> None:
        async with offered(shell("echo ready; cat")) as (foo, _):
            streams = [await foo.dial("bar", "shell") for _ in range(2)]
            for stream in streams:
                await until(stream, b"ready")
            with pytest.raises(ConnectionError):
                await read_all(await foo.dial("bar", "shell"))
            for stream in streams:
                stream.close()

    run(main())


@pytest.mark.usefixtures("short_graces")
def test_stopping_the_service_ends_its_commands(run: EventLoop) -> None:
    async def main() -> None:
        async with offered(shell("trap '' HUP; echo $$; sleep 1000")) as (foo, part):
            stream = await foo.dial("bar", "shell")
            pid = int(await until(stream, b"\n"))
            await part.stop()
            assert not lives(pid)
            with pytest.raises(ConnectionError):
                await read_all(stream)

    run(main())


def test_many_commands_leave_nothing_behind(run: EventLoop) -> None:
    async def main() -> None:
        async with offered(shell("cat; echo $$")) as (foo, _):

            async def talk() -> None:
                stream = await foo.dial("bar", "shell")
                await stream.end()
                await read_all(stream)
                await stream.finish()

            descriptors = []
            for count in (1, 40):
                tasks = asyncio.all_tasks()
                await asyncio.gather(*(talk() for _ in range(count)))
                while left := asyncio.all_tasks() - tasks:
                    await asyncio.wait(left)
                descriptors.append(open_descriptors())
            assert descriptors[1] <= descriptors[0]

    run(main())


def test_who_reaps_for_the_whole_node_is_no_hindrance(run: EventLoop) -> None:
    async def main() -> None:
        orphans = Orphans(lambda unit_id, record: None, lambda: True)
        async with offered(shell("echo ready; cat; echo done")) as (foo, _):
            keeper = await foo.dial("bar", "shell")
            await until(keeper, b"ready\r\n")
            # With a child there is something to wait for; the thread takes whatever ends first.
            await asyncio.to_thread(orphans.watch, {})
            for _ in range(20):
                stream = await foo.dial("bar", "shell")
                await stream.end()
                assert await read_all(stream) == b"ready\r\ndone\r\n"
            await keeper.end()
            assert await read_all(keeper) == b"done\r\n"
        orphans.close()

    run(main())


@pytest.mark.parametrize("command", ["'unbalanced", " ", "''\0"])
def test_a_command_that_can_t_be_split_is_refused_at_once(command: str) -> None:
    async def main() -> None:
        async with row("foo") as (foo,):
            with pytest.raises(ConfigurationError, match="command-service shell: the command "):
                CommandServicePart(CommandService(service="shell", command=command), foo)

    asyncio.run(main())


def test_a_service_that_is_taken_is_named() -> None:
    async def main() -> None:
        async with offered("cat") as (_, part):
            with pytest.raises(OperatingError, match="has a service shell already; give one of them another name"):
                await part.start()

    asyncio.run(main())
