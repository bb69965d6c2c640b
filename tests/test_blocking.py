"""Nothing holds up the event loop: not large files, many units or a slow disk.

Other processes may compute meanwhile, so no wall clock is read: what each callback computes itself is measured, and
work on files is shown to be in other threads, while the loop goes on.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

import pytest
from commands import eventually, pids_with, subreaper
from running_mesh import running

from receptor.config.actions import WorkCommand
from receptor.control.access import AccessPolicy
from receptor.control.answers import ReloadAnswer
from receptor.control.dispatch import Dispatcher
from receptor.control.listeners import UnixListener
from receptor.control.mesh_commands import MeshCommands
from receptor.control.service import ControlService
from receptor.control.work_commands import WorkCommands
from receptor.workceptor import receiving, results
from receptor.workceptor.files import write_through
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.status import State, Status, encode_status
from receptor.workceptor.workceptor import Workceptor

P = ParamSpec("P")
T = TypeVar("T")

LONGEST = 0.05
"""Seconds that one callback may compute."""

SLOW = 0.2
"""Seconds that the slow disk takes for each piece of work."""

MEBIBYTE = 1024 * 1024
ENDED = Status(state=State.SUCCEEDED, detail="exit status 0", stdout_size=0, work_type="cat")

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@pytest.fixture
def data_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    with subreaper():
        yield folder
        eventually(lambda: not pids_with(str(folder)))


class Client:
    """Blocking clients of a node's control socket, each in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._threads = ThreadPoolExecutor(8)

    async def copy(self, payload: bytes) -> bool:
        """Have ``cat`` copy a payload; whether the results are the same."""
        return await self._in_thread(self._copy, payload)

    async def list(self) -> int:
        """How many units there are."""
        return await self._in_thread(self._list)

    def close(self) -> None:
        self._threads.shutdown()

    async def _in_thread(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        assert not named
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _copy(self, payload: bytes) -> bool:
        with self._session() as (connection, answers):
            connection.sendall(b"work submit localhost cat\n")
            unit_id = answers.readline().split()[5].rstrip(b".")
            connection.sendall(payload)
            connection.shutdown(socket.SHUT_WR)
            answers.readline()
        with self._session() as (connection, answers):
            connection.sendall(b"work results " + unit_id + b"\n")
            answers.readline()
            return answers.read() == payload

    def _list(self) -> int:
        with self._session() as (connection, answers):
            connection.sendall(b"work list\n")
            return len(json.loads(answers.readline()))

    @contextmanager
    def _session(self) -> Iterator[tuple[socket.socket, BinaryIO]]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            with connection.makefile("rb") as answers:
                answers.readline()
                yield connection, answers


@asynccontextmanager
async def node(data_folder: Path) -> AsyncIterator[Client]:
    """A node foo, and its clients."""
    async with running("foo") as mesh:
        workceptor = Workceptor(mesh, data_folder, (WorkCommand("cat", "cat"),), None)
        await workceptor.start()
        access = AccessPolicy("foo", (), workceptor.units)
        control = ControlService(
            "foo", Dispatcher(access, MeshCommands(mesh), WorkCommands("foo", workceptor, None), reload)
        )
        listener = UnixListener(data_folder.parent / "sock", 0o600, control.serve)
        await listener.start()
        client = Client(data_folder.parent / "sock")
        try:
            yield client
        finally:
            client.close()
            await listener.stop()
            await control.stop()
            await workceptor.close()


async def reload() -> ReloadAnswer:
    raise NotImplementedError


class Computing:
    """The longest that a callback of the event loop has computed."""

    seconds = 0.0


@pytest.fixture
def computing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Computing]:
    longest, run = Computing(), asyncio.Handle._run

    def measured(handle: asyncio.Handle) -> None:
        begin = time.thread_time()
        run(handle)
        seconds = time.thread_time() - begin
        if seconds > longest.seconds:
            longest.seconds = seconds

    monkeypatch.setattr(asyncio.Handle, "_run", measured)
    # What other tests have left in memory costs a collection, at any point, longer than that.
    gc.collect()
    gc.freeze()
    yield longest
    gc.unfreeze()


def run(main: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(bounded())


def test_large_payloads_and_results_and_many_units_hold_up_nobody(data_folder: Path, computing: Computing) -> None:
    for number in range(1000):
        UnitFolder(data_folder / f"unit{number:04}").create(encode_status(ENDED))
    payload = os.urandom(16 * MEBIBYTE)

    async def main() -> None:
        async with node(data_folder) as client:
            computing.seconds = 0.0  # Before, nobody was there to wait.
            copies = asyncio.gather(*(client.copy(payload) for _ in range(3)))
            while not copies.done():
                assert await client.list() >= 1000
            assert await copies == [True] * 3

    run(main())
    assert computing.seconds < LONGEST


def test_a_slow_disk_holds_up_only_who_waits_for_it(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop_thread = threading.current_thread()
    loops: list[asyncio.AbstractEventLoop] = []
    works: set[str] = set()

    def slow(work: Callable[P, T]) -> Callable[P, T]:
        def slowly(*arguments: P.args, **named: P.kwargs) -> T:
            assert threading.current_thread() is not loop_thread, f"{work} in the event loop"
            works.add(work.__name__)
            time.sleep(SLOW)
            went_round = threading.Event()
            loops[0].call_soon_threadsafe(went_round.set)
            assert went_round.wait(10), f"the event loop waits for {work}"
            return work(*arguments, **named)

        return slowly

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        async with node(data_folder) as client:
            assert await client.copy(os.urandom(MEBIBYTE))

    monkeypatch.setattr(receiving, "write_through", slow(write_through))
    monkeypatch.setattr(results, "_read", slow(results._read))
    monkeypatch.setattr(results, "_open", slow(results._open))
    for name in ("create", "write_status", "open_stdin_for_writing", "stdout_size"):
        monkeypatch.setattr(UnitFolder, name, slow(getattr(UnitFolder, name)))
    run(main())
    assert works >= {"write_through", "_read", "_open", "create", "write_status", "open_stdin_for_writing"}
