"""Tables for people: aligned, in colour on a terminal, plain and stable off it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import click

from receptor.ctl.plain_text import printable, shortened, text_width

_GAP = "  "
_NARROWEST = 10
_NOTHING = "-"


@dataclass(frozen=True)
class Column:
    """A column; numbers stand ``right``, and one that ``shrinks`` gives way where the terminal is too narrow."""

    title: str
    right: bool = False
    shrinks: bool = False


@dataclass(frozen=True)
class Cell:
    """A text with the name of its colour, as click has them."""

    text: str
    colour: str = ""


Row: TypeAlias = Sequence[str | Cell]


def table_lines(
    columns: Sequence[Column], rows: Iterable[Row], *, width: int | None = None, coloured: bool = False
) -> Iterator[str]:
    """The title line, then a line for each row, each with as many cells as there are columns.

    An empty cell is shown as ``-``, so that a line always has all its fields. ``width`` is that of the terminal in
    columns; None means that nothing is cut off.
    """
    cells = [[_cell(one) for one in row] for row in rows]
    widths = column_widths(columns, cells, width)
    yield _line(columns, [Cell(column.title) for column in columns], widths, "bold" if coloured else "")
    for row in cells:
        yield _line(columns, row, widths, "colours" if coloured else "")


def column_widths(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int | None) -> list[int]:
    """How wide each column is, so that all rows fit; where ``width`` does not suffice, some columns give way."""
    widths = [
        max([text_width(column.title), *(text_width(row[number].text) for row in rows)])
        for number, column in enumerate(columns)
    ]
    if width is not None:
        _shrink(columns, widths, width)
    return widths


def _cell(value: str | Cell) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return Cell(printable(cell.text) or _NOTHING, cell.colour)


def _shrink(columns: Sequence[Column], widths: list[int], width: int) -> None:
    """Have the widest give way, until all fits or none can."""
    least = [max(_NARROWEST, text_width(column.title)) for column in columns]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    for _ in range(excess):
        can = [number for number, one in enumerate(columns) if one.shrinks and widths[number] > least[number]]
        if not can:
            return
        widths[max(can, key=widths.__getitem__)] -= 1


def _line(columns: Sequence[Column], cells: Sequence[Cell], widths: Sequence[int], style: str) -> str:
    parts = []
    for column, cell, width in zip(columns, cells, widths, strict=True):
        text = shortened(cell.text, width) if column.shrinks else cell.text
        padding = " " * (width - text_width(text))
        if style == "bold":
            text = click.style(text, bold=True)
        elif style and cell.colour:
            text = click.style(text, fg=cell.colour)
        parts.append(f"{padding}{text}" if column.right else f"{text}{padding}")
    return _GAP.join(parts).rstrip()
