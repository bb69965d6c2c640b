"""A table of thousands of rows, of which only those are drawn that are seen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from receptor.ctl.plain_text import printable, shortened, text_width
from receptor.ctl.tables import Cell, Column, column_widths
from receptor.ctl.top.views import Arrangement, View, ViewRow

_GAP = 2
_HEADER = Style(bold=True, underline=True)
_CURSOR = Style(reverse=True)


class RowsView(ScrollView, can_focus=True):
    """Shows a view as it is arranged. The cursor stays with its row, wherever that moves."""

    BINDINGS = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "move(-1000000)", "first", show=False),
        Binding("end,G", "move(1000000)", "last", show=False),
        Binding("enter", "choose", "choose", show=False),
    ]

    class Chosen(Message):
        """Enter was pressed on a row, or it was clicked twice."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.arrangement = Arrangement()
        self._view = View((), ())
        self._rows: Sequence[ViewRow] = ()
        self._columns: Sequence[Column] = ()
        self._widths: list[int] = []
        self._cursor = 0

    @property
    def rows(self) -> Sequence[ViewRow]:
        """The rows as they are shown, from the first."""
        return self._rows

    @property
    def chosen(self) -> str:
        """The key of the row under the cursor; empty if there is none."""
        return self._rows[self._cursor].key if self._rows else ""

    def sort_by_next(self) -> None:
        """Sort by the next column; after the last one not at all."""
        self.rearrange(self.arrangement.by_next(self._view))

    def show(self, view: View) -> None:
        """Show another state of the same table."""
        self._view = view
        self._arrange()

    def rearrange(self, arrangement: Arrangement) -> None:
        """Show the rows in another order, or others of them."""
        self.arrangement = arrangement
        self._arrange()

    def _arrange(self) -> None:
        key = self.chosen
        self._rows = self.arrangement.of(self._view)
        here = next((number for number, row in enumerate(self._rows) if row.key == key), self._cursor)
        self._cursor = min(max(0, len(self._rows) - 1), here)
        self._fit()

    def _fit(self) -> None:
        self._columns = self.arrangement.columns(self._view)
        width = max(1, self.scrollable_content_region.width)
        self._widths = column_widths(self._columns, [row.cells for row in self._rows], width)
        self.virtual_size = Size(width, len(self._rows) + 1)
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        if self._view.columns:
            self._fit()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        number = round(self.scroll_offset.y) + y - 1
        if y == 0:
            cells = [Cell(column.title) for column in self._columns]
            return self._strip(cells, _HEADER, width)
        if not 0 <= number < len(self._rows):
            return Strip.blank(width, self.rich_style)
        return self._strip(
            self._rows[number].cells, _CURSOR if number == self._cursor and self.has_focus else None, width
        )

    def _strip(self, cells: Sequence[Cell], style: Style | None, width: int) -> Strip:
        segments = []
        for column, cell, columns in zip(self._columns, cells, self._widths, strict=True):
            text = shortened(printable(cell.text), columns)
            space = " " * (columns - text_width(text))
            shown = f"{space}{text}" if column.right else f"{text}{space}"
            segments.append(Segment(shown + " " * _GAP, style or self._style(cell)))
        return (
            Strip(segments).apply_style(self.rich_style).adjust_cell_length(width, self.rich_style + (style or Style()))
        )

    def _style(self, cell: Cell) -> Style:
        return Style(color=cell.colour or None) if not self.app.no_color else Style()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: Click) -> None:
        number = round(self.scroll_offset.y) + event.y - 1
        if event.y > 0 and number < len(self._rows):
            self._go_to(number)
            if event.chain == 2:
                self.action_choose()

    def action_move(self, by: int) -> None:
        self._go_to(self._cursor + by)

    def action_page(self, direction: int) -> None:
        self._go_to(self._cursor + direction * max(1, self.scrollable_content_region.height - 2))

    def action_choose(self) -> None:
        if self.chosen:
            self.post_message(self.Chosen(self.chosen))

    def _go_to(self, number: int) -> None:
        self._cursor = min(max(0, number), max(0, len(self._rows) - 1))
        height = self.scrollable_content_region.height - 1
        top = round(self.scroll_offset.y)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False)
        self.refresh(Region(0, 0, self.size.width, self.size.height))
