"""The output of a unit as a stream: from an offset on, live, until the unit has ended and all is read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from io import FileIO

from receptor.workceptor.command_unit import CommandUnit
from receptor.workceptor.folder import operating_errors
from receptor.workceptor.growth import GrowthWatcher
from receptor.workceptor.unit import Unit

READ_SIZE = 1024 * 1024


async def follow(unit: Unit, start: int, growth: GrowthWatcher) -> AsyncGenerator[bytes, None]:
    """The bytes of the unit's stdout from an offset on, as they come.

    Raises OperatingError if the file can't be read. Cancelling is safe.
    """
    loop = asyncio.get_running_loop()
    position = start
    stdout: FileIO | None = None
    with ExitStack() as stack:
        while True:
            # Looked at before reading, so that no change in between is lost.
            version, is_over, size = unit.version, unit.shown.state.is_final, unit.shown.stdout_size
            if stdout is None and (stdout := await _opened(unit)) is not None:
                stack.enter_context(stdout)
                if isinstance(unit, CommandUnit) and not is_over:
                    stack.enter_context(growth.watching(unit.folder.stdout_file, unit.notify))
            while stdout is not None and (data := await loop.run_in_executor(None, _read, unit, stdout, position)):
                position += len(data)
                yield data
            if unit.is_removed or (is_over and (position >= size or isinstance(unit, CommandUnit))):
                return
            await unit.changed_since(version)


async def _opened(unit: Unit) -> FileIO | None:
    """The unit's stdout; closed again if nobody waits for it any more when it is open."""
    opening = asyncio.get_running_loop().run_in_executor(None, _open, unit)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


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
