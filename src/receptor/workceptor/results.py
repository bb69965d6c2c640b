"""The output of a unit as a stream: from an offset on, live, until the unit has ended and all is read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from io import FileIO

from receptor.workceptor.command_unit import CommandUnit
from receptor.workceptor.files import operating_errors
from receptor.workceptor.growth import GrowthWatcher
from receptor.workceptor.unit import Unit

READ_SIZE = 1024 * 1024


async def follow(unit: Unit, start: int, growth: GrowthWatcher) -> AsyncGenerator[bytes, None]:
    """The bytes of the unit's stdout from an offset on, as they come.

    Raises OperatingError if the file can't be read. Cancelling is safe.
    """
    position = start
    stdout: _Reader | None = None
    with ExitStack() as stack:
        while True:
            # Looked at before reading, so that no change in between is lost.
            version, is_over, size = unit.version, unit.shown.state.is_final, unit.shown.stdout_size
            if stdout is None and (stdout := await _opened(unit)) is not None:
                stack.callback(stdout.close)
                if isinstance(unit, CommandUnit) and not is_over:
                    stack.enter_context(growth.watching(unit.folder.stdout_file, unit.notify))
            while stdout is not None and (data := await stdout.read(position)):
                position += len(data)
                yield data
                if len(data) < READ_SIZE and not is_over:
                    break  # That was all for now, and what comes since changes the version.
            if unit.is_removed or (is_over and (position >= size or isinstance(unit, CommandUnit))):
                return
            await unit.changed_since(version)


class _Reader:
    """An open file of output, read in worker threads."""

    def __init__(self, unit: Unit, stdout: FileIO) -> None:
        self._unit = unit
        self._stdout = stdout
        self._reading: asyncio.Future[bytes] | None = None

    async def read(self, position: int) -> bytes:
        """What is there from that byte on, at most READ_SIZE."""
        loop = asyncio.get_running_loop()
        self._reading = loop.run_in_executor(None, _read, self._unit, self._stdout, position)
        return await asyncio.shield(self._reading)

    def close(self) -> None:
        """Close the file; if a thread still reads for one who was cancelled, only after that.

        Else the file's number could be that of another file when the thread comes to use it.
        """
        if self._reading is None or self._reading.done():
            self._stdout.close()
        else:
            self._reading.add_done_callback(lambda _: self._stdout.close())


async def _opened(unit: Unit) -> _Reader | None:
    """The unit's stdout; closed again if nobody waits for it any more when it is open."""
    opening = asyncio.get_running_loop().run_in_executor(None, _open, unit)
    try:
        stdout = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise
    return _Reader(unit, stdout) if stdout is not None else None


def _open(unit: Unit) -> FileIO | None:
    with operating_errors(unit.folder.stdout_file):
        try:
            return open(unit.folder.stdout_file, "rb", buffering=0)
        except FileNotFoundError:
            return None


def _close(opening: asyncio.Future[FileIO | None]) -> None:
    if opening.exception() is None and (stdout := opening.result()) is not None:
        stdout.close()


def _read(unit: Unit, stdout: FileIO, position: int) -> bytes:
    with operating_errors(unit.folder.stdout_file):
        if position >= os.fstat(stdout.fileno()).st_size:
            return b""  # Nor can every file system seek to every position.
        stdout.seek(position)
        return stdout.read(READ_SIZE)
