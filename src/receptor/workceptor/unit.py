"""One unit of work in the running daemon: its status in memory and on disk, and those who wait for it to change."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar, TypeVarTuple

import msgspec

from receptor.errors import OperatingError
from receptor.workceptor.files import operating_errors
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.receiving import CREATED, PAYLOAD_ERROR, WAITING_FOR_PAYLOAD, Receiving
from receptor.workceptor.records import ExitRecord, Submission
from receptor.workceptor.status import ProcessAnswer, State, Status, encode_status, may_follow

FIRST_BREATH = 0.02
"""Seconds after which it is saved, and told, how far a unit has come where a crash could not make us forget it."""

FIRST_SAVE_PAUSE = 1.0
LONGEST_SAVE_PAUSE = 60.0
"""Seconds between two attempts to save a status that the disk does not take."""

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")

logger = logging.getLogger("receptor.workceptor")


class Keeper(Protocol):
    """Who keeps all units."""

    def unit_ended(self, unit: Unit) -> None:
        """The unit has come to a final state."""

    def unit_changed(self, unit: Unit) -> None:
        """What clients see of the unit, its state or its detail, is another; or it is removed."""

    def unit_removed(self, unit: Unit) -> None:
        """The unit is no more."""


class Unit(ABC):
    """A unit. The daemon alone changes its status, here; the folder holds what was saved last.

    Files are changed only in the disk executor's one thread, so saves keep their order and nothing blocks the loop;
    what takes long, and may, has another: syncing a payload, and deleting what is no unit any more.
    """

    def __init__(
        self, folder: UnitFolder, status: Status, disk: Executor, keeper: Keeper, submission: Submission
    ) -> None:
        self.unit_id = folder.unit_id
        self.folder = folder
        self.submission = submission
        self.end: ExitRecord | None = None
        """How the command ended, here or on the other node, once that is known."""
        self.environment = ""
        """Variables for the command, as the submitter wrote them, until it runs: secret."""
        self.created_at = now()
        """When the unit was made, in unix seconds."""
        self.ended_at: float | None = None
        """When it came to its final state, in unix seconds: by our clock, wherever it ran."""
        self._told_end: tuple[ExitRecord, ProcessAnswer] | None = None
        self.status = status
        self.shown = status
        """What clients see: not before it was saved, so that what they were told survives a crash.

        Only a status that the disk does not take is shown nevertheless, so that nobody waits for ever: see
        ``save_problem``.
        """
        self._disk = disk
        self._keeper = keeper
        self.version = 0
        self.is_removed = False
        self.save_problem: OperatingError | None = None
        """Why the newest status is not on disk; it is saved as soon as the disk takes it."""
        self._changed = asyncio.Event()
        self._saving: asyncio.Future[None] | None = None
        self._is_dirty = False
        self._save_pause = FIRST_SAVE_PAUSE
        self._save_again: asyncio.TimerHandle | None = None
        self._breath: asyncio.TimerHandle | None = None
        self._receiving = Receiving(self)

    # What is known of it

    @property
    def submitter(self) -> str:
        """Whose work it is: ``local``, ``tcp 192.0.2.7``, ``node foo``."""
        return self.submission.submitter

    @property
    def told_end(self) -> ProcessAnswer | None:
        """How the command ended, as clients see it; made once, since a list shows it for all units each time."""
        if self.end is None:
            return None
        if self._told_end is None or self._told_end[0] is not self.end:
            self._told_end = self.end, self.end.answer()
        return self._told_end[1]

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
        """Store the payload; raises what makes the unit fail before it has it. See ``Receiving.receive``."""
        await self._receiving.receive(payload)

    async def stop_receiving(self) -> None:
        """Drop the connection by which the payload is coming, if one is: it is to be sent once more."""
        await self._receiving.stop()

    async def store_short_payload(self, payload: bytes) -> None:
        """Put a payload on disk that has come whole; or with the next status, which says that it is there."""
        await self.on_disk(self.folder.write_payload, payload)

    @property
    def has_payload(self) -> bool:
        """Whether the payload is on disk, whole."""
        return self.status.detail not in (CREATED, WAITING_FOR_PAYLOAD)

    @property
    def lacks_payload(self) -> bool:
        """Whether the unit has failed for want of its payload, and so never ran."""
        return self.status.state is State.FAILED and self.status.detail.startswith(PAYLOAD_ERROR)

    async def payload_is_cut_off(self, reason: str) -> None:
        """The rest of the payload won't come, and the command never runs.

        Another node that gave a key submits anew what it still wants, so nothing is kept of its unit.
        """
        if self.submission.idempotency_key and self.submission.is_of_node:
            logger.info("removed, as its payload broke off: %s", reason, extra={"unit": self.unit_id})
            try:
                await self.remove()
            except OperatingError as error:
                logger.error("%s", error, extra={"unit": self.unit_id})
        else:
            await self.update(state=State.FAILED, detail=f"{PAYLOAD_ERROR}: {reason}")

    @abstractmethod
    async def start(self) -> str:
        """Begin the work; the ``result`` that the submitter is told. Raises CommandError if it is refused."""

    @property
    @abstractmethod
    def start_result(self) -> str:
        """The ``result`` for one who submits the same once more: how far the start has come.

        Raises CommandError if it could not be started.
        """

    @abstractmethod
    async def cancel(self) -> bool:
        """Stop the work; False if that is still pending when it returns (after some seconds at most)."""

    @abstractmethod
    async def release(self, force: bool) -> bool:
        """Stop the work and delete it; False if that is still pending when it returns."""

    async def close(self) -> None:
        """The daemon ends: be done with the unit here, so that it can be taken up again from the disk."""
        self._hold_no_breath()
        if self.status != self.shown:
            self._begin_to_save()
        await self.saved()
        self._save_no_more()

    # Saving

    async def update(
        self, state: State | None = None, detail: str | None = None, stdout_size: int | None = None
    ) -> None:
        """Change the status where given, if the state may follow, and save it unless it is so on disk."""
        state = self.status.state if state is None else state
        if not may_follow(self.status.state, state):
            return
        status = msgspec.structs.replace(
            self.status,
            state=state,
            detail=self.status.detail if detail is None else detail,
            stdout_size=self.status.stdout_size if stdout_size is None else stdout_size,
        )
        if status != self.shown or self._saving is not None or self.save_problem is not None:
            await self.save(status)

    async def save(self, status: Status) -> None:
        """Make this the status, and return when it (or a newer one) is on disk and those who wait are told.

        Returns too if the disk does not take it: see ``save_problem``.
        """
        if self.is_removed:
            return
        self._take(status)
        if self.is_to_be_saved(status):
            await asyncio.shield(self._begin_to_save())

    def save_soon(self, status: Status) -> None:
        """Make this the status. It is saved with the next one, or after FIRST_BREATH."""
        if self.is_removed:
            return
        self._take(status)
        if self._breath is None:
            self._breath = asyncio.get_running_loop().call_later(FIRST_BREATH, self._begin_to_save)

    def _take(self, status: Status) -> None:
        if (status.state, status.detail) != (self.status.state, self.status.detail):
            logger.info("%s: %s", status.state.title, status.detail, extra={"unit": self.unit_id})
        has_ended = status.state.is_final and not self.status.state.is_final
        self.status = status
        if has_ended:
            self.ended_at = self._end_time()
            self._keeper.unit_ended(self)

    def _end_time(self) -> float:
        """When the unit has ended, which it has just now as far as we know."""
        return now()

    def is_to_be_saved(self, status: Status) -> bool:
        """Whether to save that status now; if not, it is saved with the next one, or when the daemon ends."""
        return True

    async def saved(self) -> None:
        """Wait until all that was to be saved is on disk, or was refused there."""
        if self._saving is not None:
            await asyncio.shield(self._saving)

    def _begin_to_save(self) -> asyncio.Future[None]:
        self._hold_no_breath()
        self._is_dirty = True
        if self._saving is None:
            self._saving = asyncio.create_task(self._write(), name=f"save unit {self.unit_id}")
        return self._saving

    async def _write(self) -> None:
        """Save until the newest status is on disk or was refused there, whoever waits for it and goes away."""
        while self._is_dirty and not self.is_removed:
            self._is_dirty = False
            status = self.status
            try:
                await self._put_on_disk(status)
                self._save_no_more()
                await self._drop_environment(status)
            except (OperatingError, ValueError) as error:
                if not self.is_removed:
                    self._save_later(OperatingError(str(error)))
            has_changed = (status.state, status.detail) != (self.shown.state, self.shown.detail)
            self.shown = status
            self.notify()
            if has_changed:
                self._keeper.unit_changed(self)
        self._saving = None

    async def _drop_environment(self, status: Status) -> None:
        """Once it is on disk that the command runs, or never will, nobody needs its environment."""
        if self.environment and status.state is not State.PENDING:
            await self.on_disk(self.folder.drop_environment)
            self.environment = ""

    async def _put_on_disk(self, status: Status) -> None:
        await self.on_disk(self.folder.write_status, encode_status(status), None, None, self._ended_in(status))

    def _ended_in(self, status: Status) -> float | None:
        """When the unit ended, to be noted with that status; None if it has not."""
        return self.ended_at if status.state.is_final else None

    def _save_later(self, problem: OperatingError) -> None:
        if self.save_problem is None:
            logger.error("the status can't be saved: %s", problem, extra={"unit": self.unit_id})
            self._save_pause = FIRST_SAVE_PAUSE
        self.save_problem = problem
        if self._save_again is not None:
            self._save_again.cancel()
        self._save_again = asyncio.get_running_loop().call_later(self._save_pause, self._begin_to_save)
        self._save_pause = min(self._save_pause * 2, LONGEST_SAVE_PAUSE)

    def _hold_no_breath(self) -> None:
        if self._breath is not None:
            self._breath.cancel()
            self._breath = None

    def _save_no_more(self) -> None:
        self.save_problem = None
        if self._save_again is not None:
            self._save_again.cancel()
            self._save_again = None

    async def remove(self) -> None:
        """Delete the unit; followers of its output end.

        Raises OperatingError if its folder can't be moved away; then it goes on, and may be removed once more.
        """
        await self.on_disk(self.folder.remove)
        was_removed, self.is_removed = self.is_removed, True
        self._hold_no_breath()
        self._save_no_more()
        self.notify()
        if not was_removed:
            self._keeper.unit_changed(self)
        try:
            # In another thread, as much output would hold up all units in the disk's one.
            await asyncio.to_thread(self.folder.clear_away)
        except OperatingError as error:
            message = "its files are deleted when the node starts again, as that failed now: %s"
            logger.error(message, error, extra={"unit": self.unit_id})
        # Last, so that the daemon's end finds the unit and waits no longer for this.
        self._keeper.unit_removed(self)

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


def now() -> float:
    """Unix seconds, as a file keeps them."""
    return as_time_of_file(time.time())


def as_time_of_file(unix_time: float) -> float:
    """The same in whole microseconds, which is what is left of it as the time of a file."""
    return round(unix_time * 1e6) / 1e6


def _close(files: list[BinaryIO]) -> None:
    for file in files:
        with operating_errors(Path(file.name)):
            file.close()
