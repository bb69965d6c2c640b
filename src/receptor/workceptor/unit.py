"""One unit of work in the running daemon: its status in memory and on disk, and those who wait for it to change."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar, TypeVarTuple

import msgspec

from receptor.errors import OperatingError
from receptor.workceptor.folder import UnitFolder, operating_errors, write_through
from receptor.workceptor.status import State, Status, encode_status, may_follow

CREATED = "Unit Created"
WAITING_FOR_PAYLOAD = "Waiting for Input Data"
PAYLOAD_ERROR = "Error reading input data"

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")

logger = logging.getLogger("receptor.workceptor")


class Unit(ABC):
    """A unit. The daemon alone changes its status, here; the folder holds what was saved last.

    Files are touched only in the disk executor's one thread, so saves keep their order and nothing blocks the loop.
    """

    def __init__(
        self, unit_id: str, folder: UnitFolder, status: Status, disk: Executor, forget: Callable[[str], None]
    ) -> None:
        self.unit_id = unit_id
        self.folder = folder
        self.status = status
        self.shown = status
        """What clients see: never ahead of the disk, so that what they were told survives a crash."""
        self._disk = disk
        self._forget = forget
        self.version = 0
        self.is_removed = False
        self.submitter = "local"
        self._changed = asyncio.Event()
        self._saving: asyncio.Future[None] | None = None
        self._is_dirty = False

    # What is known of it

    @abstractmethod
    async def current_status(self) -> Status:
        """The status as clients see it now, with the size that the output has at the moment."""

    async def changed_since(self, version: int) -> None:
        """Wait until the status has changed or the output has grown after it had that version."""
        while self.version == version:
            await self._changed.wait()

    async def final(self) -> None:
        """Wait until the status is final, on disk too."""
        while not self.shown.state.is_final:
            await self.changed_since(self.version)

    def notify(self) -> None:
        """Wake up those who wait for a change."""
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # Its life

    async def receive_payload(self, payload: AsyncIterator[bytes]) -> None:
        """Store the payload. If it breaks off, or the disk is full, the unit fails, and the error is raised on.

        All of the payload is taken even if it can't be stored: on a connection, what follows it counts as a command.
        """
        await self.update(detail=WAITING_FOR_PAYLOAD)
        problem: OperatingError | None = None
        try:
            async with self.opened(self.folder.open_stdin_for_writing) as stdin:
                async for data in payload:
                    try:
                        if problem is None:
                            await self.on_disk(write_through, stdin, data)
                    except OperatingError as error:
                        problem = error
            if problem is not None:
                raise problem
        except (ConnectionError, OperatingError) as error:
            await self.update(state=State.FAILED, detail=f"{PAYLOAD_ERROR}: {error}")
            raise
        await self.update(detail="Starting Worker")

    @property
    def has_payload(self) -> bool:
        """Whether the payload is on disk, whole."""
        return self.status.detail not in (CREATED, WAITING_FOR_PAYLOAD)

    async def payload_is_cut_off(self) -> None:
        """After a restart: the daemon ended while the payload was coming, and the rest won't come."""
        await self.update(state=State.FAILED, detail=f"{PAYLOAD_ERROR}: the node ended before it was complete")

    @abstractmethod
    async def start(self) -> str:
        """Begin the work; the ``result`` that the submitter is told. Raises CommandError if it is refused."""

    @abstractmethod
    async def cancel(self) -> bool:
        """Stop the work; False if that is still pending when it returns (after some seconds at most)."""

    @abstractmethod
    async def release(self, force: bool) -> bool:
        """Stop the work and delete it; False if that is still pending when it returns."""

    async def close(self) -> None:
        """The daemon ends: be done with the unit here, so that it can be taken up again from the disk."""
        await self.saved()

    # Saving

    async def update(
        self, state: State | None = None, detail: str | None = None, stdout_size: int | None = None
    ) -> None:
        """Change the status where given, if the state may follow, and save it."""
        state = self.status.state if state is None else state
        if may_follow(self.status.state, state):
            await self.save(
                msgspec.structs.replace(
                    self.status,
                    state=state,
                    detail=self.status.detail if detail is None else detail,
                    stdout_size=self.status.stdout_size if stdout_size is None else stdout_size,
                )
            )

    async def save(self, status: Status) -> None:
        """Make this the status, and return when it (or a newer one) is on disk and those who wait are told."""
        if self.is_removed:
            return
        if status != self.status:
            logger.info("%s: %s", status.state.title, status.detail, extra={"unit": self.unit_id})
        self.status = status
        self._is_dirty = True
        if self._saving is None:
            self._saving = asyncio.create_task(self._write(), name=f"save unit {self.unit_id}")
        await asyncio.shield(self._saving)

    async def saved(self) -> None:
        """Wait until all that was to be saved is on disk."""
        if self._saving is not None:
            await asyncio.shield(self._saving)

    async def _write(self) -> None:
        """Save until the newest status is on disk, whoever of those who wait for it goes away."""
        while self._is_dirty and not self.is_removed:
            self._is_dirty = False
            status = self.status
            try:
                await self.on_disk(self.folder.write_status, encode_status(status))
            except (OperatingError, ValueError) as error:
                logger.error("the status can't be saved: %s", error, extra={"unit": self.unit_id})
            self.shown = status
            self.notify()
        self._saving = None

    async def remove(self) -> None:
        """Delete the unit; followers of its output end.

        Raises OperatingError if its files can't be deleted; then it stays, and may be removed once more.
        """
        self.is_removed = True
        self.notify()
        await self.on_disk(self.folder.remove)
        self._forget(self.unit_id)

    async def stdout_size(self) -> int:
        """Bytes of output on disk."""
        return await self.on_disk(self.folder.stdout_size)

    async def on_disk(self, work: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """Do work on the files in the one thread that may."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    @asynccontextmanager
    async def opened(self, open_file: Callable[[], BinaryIO]) -> AsyncIterator[BinaryIO]:
        """A file of the unit, closed at the end. Closing may find a full disk once more: raises OperatingError."""
        # The disk's one thread opens and closes in turn, also when nobody waits for it any more: hence the shields.
        files: list[BinaryIO] = []
        loop = asyncio.get_running_loop()
        try:
            await asyncio.shield(loop.run_in_executor(self._disk, lambda: files.append(open_file())))
            yield files[0]
        finally:
            await asyncio.shield(loop.run_in_executor(self._disk, _close, files))


def _close(files: list[BinaryIO]) -> None:
    for file in files:
        with operating_errors(Path(file.name)):
            file.close()
