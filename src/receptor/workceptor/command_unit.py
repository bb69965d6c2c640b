"""A unit whose command runs on this node."""

from __future__ import annotations

import asyncio
import logging
import shlex
from concurrent.futures import Executor

import msgspec

from receptor.errors import CommandError, OperatingError, UnknownWorkType
from receptor.workceptor.environment import parse_environment
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.monitors import PAUSE, find_monitor, what_it_left
from receptor.workceptor.processes import GRACE, is_running, stop_process_group
from receptor.workceptor.records import ExitRecord, Order, StartRecord, Submission
from receptor.workceptor.runner_client import RunnerClient
from receptor.workceptor.status import CommandExtra, State, Status
from receptor.workceptor.unit import Keeper, Unit, as_time_of_file

ANSWER_TIME = 8.0
"""Seconds after which a cancel or release answers that it is pending."""

CANCELED_DETAIL = "Canceled"
START_ERROR = "Error starting worker"

logger = logging.getLogger("receptor.workceptor")


class CommandUnit(Unit):
    """A command, from its payload to its end. The runner process starts it and tells of its end.

    ``grace`` is how many seconds it has from SIGINT to SIGTERM when it is cancelled.
    """

    def __init__(
        self,
        folder: UnitFolder,
        status: Status,
        disk: Executor,
        keeper: Keeper,
        submission: Submission,
        runner: RunnerClient,
        command: str,
        grace: float = GRACE,
    ) -> None:
        super().__init__(folder, status, disk, keeper, submission)
        self._runner = runner
        self._command = command
        self._grace = grace
        self._is_begun = False
        self._process: StartRecord | None = None
        self._process_known = asyncio.Event()
        """Set once the command was started, or could not be."""
        self._is_cancelled = False
        self._is_forced = False
        self._stopping: asyncio.Task[OperatingError | None] | None = None
        self._removing: asyncio.Task[OperatingError | None] | None = None
        self._following: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        """Set once the command runs no more, or never will."""
        if status.state.is_final and status.work_type:  # A damaged one, which lacks the type, may run all the same.
            self.ended.set()

    async def current_status(self) -> Status:
        if self.shown.state is not State.RUNNING:
            return self.shown
        return msgspec.structs.replace(self.shown, stdout_size=await self.stdout_size())

    def _end_time(self) -> float:
        return super()._end_time() if self.end is None else as_time_of_file(self.end.ended)

    def is_to_be_saved(self, status: Status) -> bool:
        # Until the command runs nobody was promised anything, and whether it was begun is for the runner to note.
        return status.state is not State.PENDING

    async def start(self) -> str:
        if self.ended.is_set():
            raise CommandError(f"unit {self.unit_id} was cancelled before its payload was complete")
        self._is_begun = True
        try:
            if not self._command:
                raise UnknownWorkType(self.status.work_type)
            argv = [self._command, *shlex.split(self._params)]
            environment = parse_environment(self.environment)
            process = await self._runner.start(self.unit_id, self.folder, argv, environment)
        except (OperatingError, CommandError, ValueError, OSError) as error:
            self.ended.set()
            await self.update(state=State.FAILED, detail=f"{START_ERROR}: {error}")
            raise CommandError(str(error)) from None
        finally:
            self._process_known.set()
        status = self._known_to_run(process)
        if status is not None:
            # Many commands end at once, and the runner has noted that it has begun.
            self.save_soon(status)
        return self.start_result

    @property
    def start_result(self) -> str:
        if self.status.detail.startswith(START_ERROR):
            raise CommandError(self.status.detail)
        return "Job Started"

    async def running(self, process: StartRecord) -> None:
        """The command runs, started before a restart of the daemon."""
        self._is_begun = True
        status = self._known_to_run(process)
        if status is not None:
            await self.save(status)

    async def begun_elsewhere(self) -> None:
        """Another daemon had begun the command before this one took over: its monitor tells the end, if it lives."""
        self._is_begun = True
        monitor = await asyncio.to_thread(find_monitor, self.folder, self.status)
        self._process = monitor
        self._process_known.set()
        if monitor is None:
            await self._end_as_left()
        else:
            logger.info("it goes on as another daemon began it", extra={"unit": self.unit_id})
            self._following = asyncio.create_task(self._follow(monitor), name=f"follow unit {self.unit_id}")

    async def _follow(self, monitor: StartRecord) -> None:
        while True:  # Nobody tells of the end of a process that is no child.
            if not await asyncio.to_thread(is_running, monitor):
                return await self._end_as_left()
            await asyncio.sleep(PAUSE)

    async def _end_as_left(self) -> None:
        await self._settle(*await asyncio.to_thread(what_it_left, self.folder))

    def _known_to_run(self, process: StartRecord) -> Status | None:
        """The status that follows from it; none if it has ended already, or its status on disk was damaged."""
        self._process = process
        self._process_known.set()
        if self.status.state.is_final:
            return None
        return msgspec.structs.replace(
            self.status,
            state=State.RUNNING,
            detail=f"Running: PID {process.pid}",
            extra=CommandExtra(pid=process.pid, params=self._params),
        )

    async def command_ended(self, record: ExitRecord) -> None:
        """The command has ended: settle the final status."""
        self.end = record
        await self._settle(State.SUCCEEDED if record.succeeded else State.FAILED, record.detail, record.stdout_size)

    async def vanished(self, reason: str) -> None:
        """The command is gone and nobody knows how it ended."""
        await self._settle(State.FAILED, reason)

    def recall_order(self) -> None:
        """After a restart: a user had ordered to stop it, so an end of the command since then counts as cancelled."""
        self._is_cancelled = not self.status.state.is_final

    async def obey(self, order: Order) -> None:
        """Go on with what a user had ordered before the restart; it goes on after this returns."""
        if order is Order.RELEASE:
            self._begin_to_remove()
        elif not self.ended.is_set():
            self._begin_to_stop()

    async def cancel(self) -> bool:
        return await _done_in_time(self._begin_to_stop())

    async def release(self, force: bool) -> bool:
        self._is_forced = self._is_forced or force
        return await _done_in_time(self._begin_to_remove())

    async def close(self) -> None:
        tasks = [task for task in (self._removing, self._stopping, self._following) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().close()

    @property
    def _params(self) -> str:
        return self.status.extra.params if isinstance(self.status.extra, CommandExtra) else ""

    def _begin_to_stop(self) -> asyncio.Task[OperatingError | None]:
        self._is_cancelled = True
        if self._stopping is None or self._stopping.done():
            self._stopping = asyncio.create_task(self._stop(), name=f"stop unit {self.unit_id}")
        return self._stopping

    def _begin_to_remove(self) -> asyncio.Task[OperatingError | None]:
        if self._removing is None or self._removing.done():
            self._removing = asyncio.create_task(self._stop_and_remove(), name=f"remove unit {self.unit_id}")
        return self._removing

    async def _note(self, order: Order) -> None:
        """Put an order that takes time on disk, so that it is carried out whatever dies meanwhile."""
        if self.ended.is_set():
            return
        try:
            await self.on_disk(self.folder.write_order, order)
        except OperatingError as error:
            logger.error("a restart would forget the order to %s: %s", order, error, extra={"unit": self.unit_id})

    async def _stop(self) -> OperatingError | None:
        """End the command, or see to it that it never begins. Returns why it can't be killed."""
        if self._removing is None or self._removing.done():
            await self._note(Order.CANCEL)
        if not self._is_begun:
            await self._settle(State.CANCELED, CANCELED_DETAIL)
            return None
        await self._process_known.wait()
        try:
            if self._process is not None and not self.ended.is_set():
                await stop_process_group(self._process, self.ended, self._grace)
        except OperatingError as error:
            # Whoever asked for it may have gone by now.
            logger.error("%s", error, extra={"unit": self.unit_id})
            return error
        await self.ended.wait()
        await self.final()
        await self.saved()
        return None

    async def _stop_and_remove(self) -> OperatingError | None:
        await self._note(Order.RELEASE)
        problem = await self._begin_to_stop()
        if problem is not None and not self._is_forced:
            return problem
        try:
            await self.remove()
        except OperatingError as error:
            logger.error("%s", error, extra={"unit": self.unit_id})
            return error
        return None

    async def _settle(self, state: State, detail: str, size: int | None = None) -> None:
        """The command has ended, or will never begin: write the final status, once; ``size`` of the output if known."""
        self.ended.set()
        try:
            if self.folder.survives_power:
                await asyncio.to_thread(self.folder.settle_output)
            if size is None:
                size = await self.stdout_size()
        except OperatingError as error:
            logger.error("%s", error, extra={"unit": self.unit_id})
            size = self.status.stdout_size
        if self._is_cancelled:
            state, detail = State.CANCELED, CANCELED_DETAIL
        if not self.status.state.is_final:
            await self.save(
                msgspec.structs.replace(self.status, state=state, detail=detail, stdout_size=size, extra=None)
            )


async def _done_in_time(task: asyncio.Task[OperatingError | None]) -> bool:
    """Whether the task ends in time for an answer; it goes on in any case. Raises the problem that it returns."""
    await asyncio.wait([task], timeout=ANSWER_TIME)
    if task.done() and (problem := task.result()) is not None:
        raise problem
    return task.done()
