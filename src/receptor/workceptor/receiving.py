"""How the payload of a unit gets from its client to the disk, and what the unit's detail says meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from receptor.errors import CommandError, OperatingError
from receptor.workceptor.files import write_through
from receptor.workceptor.status import STARTING, State

if TYPE_CHECKING:
    from receptor.workceptor.unit import Unit

CREATED = "Unit Created"
WAITING_FOR_PAYLOAD = "Waiting for Input Data"
PAYLOAD_ERROR = "Error reading input data"

SHORT_PAYLOAD = 64 * 1024
"""Bytes that are taken into memory, and to the disk in one turn of its thread."""


class Receiving:
    """Takes the payload of one unit; once, or anew as long as it is not there."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._task: asyncio.Task[object] | None = None

    async def receive(self, payload: AsyncIterator[bytes]) -> None:
        """Store the payload. If it breaks off, is refused or can't be stored, the unit fails, and that is raised on.

        All of the payload is taken even if it can't be stored: on a connection, what follows it counts as a command.
        ``stop`` cancels the task that this runs in.
        """
        unit = self._unit
        try:
            await self._store(payload)
            await unit.update(detail=STARTING)
            if unit.save_problem is not None:
                raise unit.save_problem
        except ConnectionError as error:
            await unit.payload_is_cut_off(str(error))
            raise
        except (CommandError, OperatingError) as error:
            await unit.update(state=State.FAILED, detail=f"{PAYLOAD_ERROR}: {error}")
            raise

    async def stop(self) -> None:
        """Drop the connection by which the payload is coming, if one is: it is to be sent once more."""
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _store(self, payload: AsyncIterator[bytes]) -> None:
        self._task = asyncio.current_task()
        try:
            await self._unit.update(detail=WAITING_FOR_PAYLOAD)
            await self._write(payload)
        finally:
            self._task = None

    async def _write(self, payload: AsyncIterator[bytes]) -> None:
        first = b""
        async for data in payload:
            first += data
            if len(first) > SHORT_PAYLOAD:
                await self._write_long(first, payload)
                break
        else:
            if not self._unit.is_removed:
                await self._unit.store_short_payload(first)

    async def _write_long(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        unit = self._unit
        problem: OperatingError | None = None
        async with unit.opened(unit.folder.open_stdin_for_writing) as stdin:
            data: bytes | None = first
            while data is not None:
                try:
                    if problem is None:
                        await unit.on_disk(write_through, stdin, data)
                except OperatingError as error:
                    problem = error
                data = await anext(rest, None)
        if problem is not None:
            raise problem
        if unit.folder.survives_power and not unit.is_removed:
            # In another thread, as a large payload would hold up all units in the disk's one.
            await asyncio.to_thread(unit.folder.settle_payload)
