"""What there is to tell of a unit to somebody who knows a state of it and a part of its output."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import msgspec

from receptor.workceptor.command_unit import CommandUnit
from receptor.workceptor.files import operating_errors
from receptor.workceptor.growth import GrowthWatcher
from receptor.workceptor.status import State, Status
from receptor.workceptor.unit import Unit

MOST_OUTPUT = 16 * 1024
"""Bytes. Who wants more, asks for the results."""


class News(msgspec.Struct, frozen=True):
    """A status of a unit, and output that there was by then."""

    status: Status
    output: bytes = b""


async def await_news(unit: Unit, known: State, known_size: int | None, growth: GrowthWatcher) -> None:
    """Return when the unit is in another state, or has more output than is known, if that counts, or is removed.

    Nothing of the output is held meanwhile: ``look`` for it then. Raises OperatingError if it can't be looked at.
    Cancelling is safe.
    """
    is_watched = not (isinstance(unit, CommandUnit) and known_size is not None)
    with ExitStack() as stack:
        while unit.shown.state is known and not unit.is_removed:
            version = unit.version
            if not is_watched and unit.shown.state is State.RUNNING:
                stack.enter_context(growth.watching(unit.folder.stdout_file, unit.notify))
                is_watched = True
            if known_size is not None and await _has_output(unit, known_size):
                return
            await unit.changed_since(version)


async def _has_output(unit: Unit, start: int) -> bool:
    return _may_have_output(unit.shown, start) and await asyncio.to_thread(unit.folder.stdout_size) > start


async def look(unit: Unit, start: int | None) -> News:
    """The status, and at most MOST_OUTPUT from that byte on, if given. Raises OperatingError as ``await_news``."""
    status = unit.shown
    if start is None:
        return News(await unit.current_status())
    if not _may_have_output(status, start):
        return News(status)
    size, output = await asyncio.to_thread(_read, unit.folder.stdout_file, start)
    return News(status if status.state.is_final else msgspec.structs.replace(status, stdout_size=size), output)


def _may_have_output(status: Status, start: int) -> bool:
    return status.state is not State.PENDING and not (status.state.is_final and start >= status.stdout_size)


def _read(stdout_file: Path, start: int) -> tuple[int, bytes]:
    """The size of the file, and some of what is in it. Without a file there is no output yet, or any more."""
    with operating_errors(stdout_file):
        try:
            with open(stdout_file, "rb", buffering=0) as stdout:
                size = stdout.seek(0, 2)
                if start >= size:
                    return size, b""
                stdout.seek(start)
                return size, stdout.read(MOST_OUTPUT)
        except FileNotFoundError:
            return 0, b""
