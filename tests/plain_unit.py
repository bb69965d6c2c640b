"""A unit that is only a status and files, on a disk that a test holds up or fills."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from played_keeper import PlayedKeeper
from virtual_time import run_in_virtual_time

from receptor.errors import OperatingError
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.receiving import CREATED
from receptor.workceptor.records import LOCAL, ExitRecord, Submission
from receptor.workceptor.status import State, Status, decode_status
from receptor.workceptor.unit import Unit

T = TypeVar("T")
P = ParamSpec("P")

PENDING = Status(state=State.PENDING, detail=CREATED, stdout_size=0, work_type="echo")


class SlowDisk(Executor):
    """A disk that does its work at once, in turn, but from ``hold`` on only when it is told to."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()
        self._holds = False

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()

        def do() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(work(*args, **kwargs))
            except (OperatingError, OSError) as error:
                done.set_exception(error)

        self.waiting.append(do)
        if not self._holds:
            self.go_on()
        return done

    def hold(self) -> None:
        self._holds = True

    def go_on(self) -> None:
        """Do what waits, and then all at once again."""
        self._holds = False
        while self.waiting:
            self.waiting.popleft()()

    def one(self) -> None:
        """Do only the next work."""
        self.waiting.popleft()()


class PlainUnit(Unit):
    """A unit that is only a status and files."""

    async def current_status(self) -> Status:
        return self.shown

    async def start(self) -> str:
        raise NotImplementedError

    @property
    def start_result(self) -> str:
        raise NotImplementedError

    async def cancel(self) -> bool:
        raise NotImplementedError

    async def release(self, force: bool) -> bool:
        raise NotImplementedError


class FullingFolder(UnitFolder):
    """A folder on a disk that is full at times."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.saves_at: list[float] = []
        """When it was tried to save the status."""

    def write_status(
        self, raw: bytes, payload: bytes | None = None, end: ExitRecord | None = None, ended: float | None = None
    ) -> None:
        self.saves_at.append(asyncio.get_running_loop().time())
        super().write_status(raw, payload, end, ended)

    @contextmanager
    def full(self) -> Iterator[None]:
        """The disk takes no new status."""
        draft = self.path / "status.new"
        draft.unlink(missing_ok=True)
        draft.symlink_to("/dev/full")
        try:
            yield
        finally:
            draft.unlink(missing_ok=True)


class Fixture:
    def __init__(self, data_folder: Path) -> None:
        self.disk = SlowDisk()
        self.folder = FullingFolder(data_folder / "unit0001")
        self.folder.create(b"")
        self.keeper = PlayedKeeper()
        self.unit = self.new_unit()

    def new_unit(self, submitter: str = LOCAL, idempotency_key: str = "") -> PlainUnit:
        submission = Submission(submitter=submitter, idempotency_key=idempotency_key)
        self.unit = PlainUnit(self.folder, PENDING, self.disk, self.keeper, submission)
        return self.unit

    @property
    def on_disk(self) -> Status:
        return decode_status(self.folder.read_status())


Story = Callable[[Fixture], Coroutine[Any, Any, None]]
Play = Callable[[Story], None]


def play_story(folder: Path, story: Story) -> None:
    """Play a story of one unit, in virtual time."""

    async def main() -> None:
        fixture = Fixture(folder)
        await story(fixture)
        fixture.disk.go_on()
        await fixture.unit.close()

    run_in_virtual_time(main())


async def settle() -> None:
    """Let all that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def with_threads(
    story: Callable[[PlainUnit], Coroutine[Any, Any, None]], folder: UnitFolder, keeper: PlayedKeeper
) -> None:
    """Play a story in real threads."""

    async def main() -> None:
        with ThreadPoolExecutor(1) as disk:
            folder.create(b"")
            await story(PlainUnit(folder, PENDING, disk, keeper, Submission()))

    asyncio.run(main())
