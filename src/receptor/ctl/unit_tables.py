"""Units of work as people read them: a table of many, a sheet of one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from receptor.client.replies import CANCELED, FAILED, PENDING, RUNNING, SUCCEEDED
from receptor.ctl import terminal
from receptor.ctl.moments import parse_moment, span
from receptor.ctl.sizes import size_text
from receptor.ctl.tables import Cell, Column, Row
from receptor.ctl.unit_details import UnitDetails

COLOURS: dict[int, str] = {PENDING: "yellow", RUNNING: "cyan", SUCCEEDED: "green", FAILED: "red", CANCELED: "magenta"}

_TITLE_WIDTH = 11


def show_units(units: Sequence[UnitDetails]) -> None:
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


def _row(unit: UnitDetails, *, has_names: bool) -> Row:
    return [
        unit.unit_id,
        *([unit.name] if has_names else []),
        state_cell(unit),
        unit.work,
        terminal.when(_made(unit)),
        size_text(unit.stdout_size),
        unit.detail,
    ]


def state_cell(unit: UnitDetails) -> Cell:
    """The name of the unit's state in its colour."""
    return Cell(unit.state_name, COLOURS.get(unit.state, ""))


def sheet(unit: UnitDetails) -> Iterator[tuple[str, str | Cell]]:
    """Everything that is known of a unit: what it is called, and how it is."""
    yield "Unit", unit.unit_id
    yield "Name", unit.name
    yield "State", state_cell(unit)
    yield "Detail", unit.detail
    yield "Work type", unit.work_type
    yield "Runs on", unit.remote_node
    yield "Unit there", unit.remote_unit_id
    yield "Created", _moment(unit.created)
    usage = unit.usage
    yield "Started", _moment(usage.started if usage else "")
    yield "Ended", _moment(unit.ended or (usage.ended if usage else ""))
    if usage:
        yield "Took", _seconds_between(usage.started, usage.ended)
        yield "Exit code", "" if usage.exit_code is None else str(usage.exit_code)
        yield "Signal", "" if usage.signal is None else str(usage.signal)
        yield "Processor", f"{usage.user_seconds:.2f} s user, {usage.system_seconds:.2f} s system"
        yield "Memory", size_text(usage.peak_memory) if usage.peak_memory else ""
    size = size_text(unit.stdout_size)
    yield "Output", size if unit.stdout_size < 1024 else f"{size} ({unit.stdout_size} bytes)"
    yield "Key", unit.idempotency_key


def show_sheet(rows: Iterable[tuple[str, str | Cell]]) -> None:
    """Print what has a value, a line each."""
    for title, value in rows:
        cell = value if isinstance(value, Cell) else Cell(value)
        if cell.text:
            terminal.say_cells([Cell(f"{title}:".ljust(_TITLE_WIDTH)), cell])


def _made(unit: UnitDetails) -> str:
    return unit.created or (unit.usage.started if unit.usage else "")


def _moment(text: str) -> str:
    seconds = parse_moment(text) if text else None
    if seconds is None:
        return ""
    if not terminal.is_terminal(sys.stdout):
        return text
    local = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return f"{local} ({terminal.when(text)})"


def _seconds_between(start: str, end: str) -> str:
    first, last = parse_moment(start), parse_moment(end)
    if first is None or last is None:
        return ""
    return f"{last - first:.2f} s" if last - first < 60 else span(last - first)
