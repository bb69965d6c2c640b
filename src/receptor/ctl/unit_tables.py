"""Units of work as people read them: a table of many, a sheet of one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from receptor.client.unit_replies import UnitStatus
from receptor.ctl import terminal
from receptor.ctl.moments import rfc3339, span
from receptor.ctl.sizes import size_text
from receptor.ctl.state_cells import state_cell
from receptor.ctl.tables import Cell, Column, Row

_TITLE_WIDTH = 11


def show_units(units: Sequence[UnitStatus]) -> None:
    """Print a table with a line for each unit; names have a column if there are any."""
    has_names = any(unit.name for unit in units)
    columns = [
        Column("UNIT"),
        *([Column("NAME", shrinks=True)] if has_names else []),
        Column("STATE"),
        Column("WORK", shrinks=True),
        Column("CREATED"),
        Column("OUTPUT", right=True),
        Column("DETAIL", shrinks=True),
    ]
    terminal.show_table(columns, (_row(unit, has_names=has_names) for unit in units))


def _row(unit: UnitStatus, *, has_names: bool) -> Row:
    return [
        unit.unit_id,
        *([unit.name] if has_names else []),
        state_cell(unit.state),
        unit.work,
        terminal.when(unit.began_at),
        size_text(unit.stdout_size),
        unit.detail,
    ]


def sheet(unit: UnitStatus) -> Iterator[tuple[str, str | Cell]]:
    """Everything that is known of a unit: what it is called, and how it is."""
    yield "Unit", unit.unit_id
    yield "Name", unit.name
    yield "State", state_cell(unit.state)
    yield "Detail", unit.detail
    yield "Work type", unit.work_type
    yield "Runs on", unit.remote_node
    yield "Unit there", unit.remote_unit_id
    yield "Created", _moment(unit.created_at)
    process = unit.process
    yield "Started", _moment(process.started_at if process else None)
    yield "Ended", _moment(unit.ended_at)
    if process:
        yield "Took", _time_between(process.started_at, process.ended_at)
        yield "Exit code", "" if process.exit_code is None else str(process.exit_code)
        yield "Signal", "" if process.signal is None else str(process.signal)
        yield "Processor", f"{process.user_seconds:.2f} s user, {process.system_seconds:.2f} s system"
        yield "Memory", size_text(process.peak_memory) if process.peak_memory else ""
    size = size_text(unit.stdout_size)
    yield "Output", size if unit.stdout_size < 1024 else f"{size} ({unit.stdout_size} bytes)"
    yield "Key", unit.idempotency_key


def show_sheet(rows: Iterable[tuple[str, str | Cell]]) -> None:
    """Print what has a value, a line each."""
    for title, value in rows:
        cell = value if isinstance(value, Cell) else Cell(value)
        if cell.text:
            terminal.say_cells([Cell(f"{title}:".ljust(_TITLE_WIDTH)), cell])


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return ""
    if not terminal.is_terminal(sys.stdout):
        return rfc3339(moment)
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S} ({terminal.when(moment)})"


def _time_between(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return ""
    seconds = (end - start).total_seconds()
    return f"{seconds:.2f} s" if seconds < 60 else span(seconds)
