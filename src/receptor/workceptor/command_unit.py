"""A unit whose command runs on this node."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress

import msgspec

from receptor.errors import CommandError, OperatingError
from receptor.workceptor.folder import ExitRecord, StartRecord, UnitFolder
from receptor.workceptor.runner_client import RunnerClient, stop_process_group
from receptor.workceptor.status import CommandExtra, State, Status
from receptor.workceptor.unit import Unit

ANSWER_TIME = 8.0
"""Seconds after which a cancel or release answers that it is pending."""

CANCELED_DETAIL = "Canceled"

logger = logging.getLogger("receptor.workceptor")


class CommandUnit(Unit):
    """A command, from its payload to its end. The runner process starts it and tells of its end."""

    def __init__(
        self,
        unit_id: str,
        folder: UnitFolder,
        status: Status,
        disk: Executor,
        forget: Callable[[str], None],
        runner: RunnerClient,
        command: str,
    ) -> None:
        super().__init__(unit_id, folder, status, disk, forget)
        self._runner = runner
        self._command = command
        self._process: StartRecord | None = None
        self._is_cancelled = False
        self._stopping: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        if status.state.is_final:
            self.ended.set()

    async def current_status(self) -> Status:
        if self.status.state is not State.RUNNING:
            return self.status
        return msgspec.structs.replace(self.status, stdout_size=await self.stdout_size())

    async def start(self) -> str:
        if self.status.state.is_final:
            raise CommandError(f"unit {self.unit_id} was cancelled before its payload was complete")
        extra = self.status.extra
        params = extra.params if isinstance(extra, CommandExtra) else ""
        try:
            argv = [self._command, *shlex.split(params)]
            process = await self._runner.start(self.unit_id, self.folder, argv)
        except (OperatingError, CommandError, ValueError) as error:
            self.ended.set()
            await self.update(state=State.FAILED, detail=f"Error starting worker: {error}")
            raise CommandError(f"the command of unit {self.unit_id} can't be started: {error}") from None
        await self.running(process)
        return "Job Started"

    async def running(self, process: StartRecord) -> None:
        """The command runs, started just now or before a restart of the daemon."""
        self._process = process
        if self.ended.is_set():
            return
        extra = self.status.extra
        params = extra.params if isinstance(extra, CommandExtra) else ""
        running = msgspec.structs.replace(
            self.status,
            state=State.RUNNING,
            detail=f"Running: PID {process.pid}",
            extra=CommandExtra(pid=process.pid, params=params),
        )
        await self.save(running)

    async def command_ended(self, record: ExitRecord) -> None:
        """The command has ended: settle the final status."""
        self.ended.set()
        state, detail = State.SUCCEEDED if record.succeeded else State.FAILED, record.detail
        if self._is_cancelled:
            state, detail = State.CANCELED, CANCELED_DETAIL
        await self._settle(state, detail)

    async def vanished(self, reason: str) -> None:
        """The command is gone and nobody knows how it ended."""
        self.ended.set()
        await self._settle(State.FAILED, reason)

    async def cancel(self) -> bool:
        self._is_cancelled = True
        if self.status.state.is_final:
            return True
        if self._process is None:
            self.ended.set()
            await self._settle(State.CANCELED, CANCELED_DETAIL)
            return True
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(self._process), name=f"stop unit {self.unit_id}")
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_TIME):
                await asyncio.shield(self._stopping)
        return self._stopping.done()

    async def release(self, force: bool) -> bool:
        stopped = await self.cancel()
        if not stopped and self._stopping is not None:
            self._stopping.add_done_callback(lambda _: self._remove_later())
            return False
        await self.remove()
        return True

    async def _stop(self, process: StartRecord) -> None:
        await stop_process_group(process, self.ended)
        await self.ended.wait()
        await self.final()

    def _remove_later(self) -> None:
        self._removing = asyncio.create_task(self.remove(), name=f"remove unit {self.unit_id}")

    async def _settle(self, state: State, detail: str) -> None:
        if self.status.state.is_final:
            return
        size = await self.stdout_size()
        await self.save(msgspec.structs.replace(self.status, state=state, detail=detail, stdout_size=size, extra=None))
