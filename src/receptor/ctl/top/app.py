"""The screen of ``receptorctl top``: tabs, keys, and what is done with units."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Footer, Input, Static, TabbedContent, TabPane

from receptor.client.unit_replies import UnitStatus
from receptor.ctl.moments import span
from receptor.ctl.plain_text import printable
from receptor.ctl.top.dialogs import Help, Output, Question
from receptor.ctl.top.feed import Feed
from receptor.ctl.top.rows_view import RowsView
from receptor.ctl.top.views import Snapshot, View, headline, links_view, nodes_view, units_view
from receptor.errors import ReceptorError

if TYPE_CHECKING:
    from receptor.ctl.settings import Settings

_VIEWS: Mapping[str, Callable[[Snapshot, float], View]] = {
    "units": units_view,
    "nodes": nodes_view,
    "links": links_view,
}
_TICK_SECONDS = 1.0
"""How often ages are counted on while nothing comes from the node."""

_STYLE = """
#headline, #state { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
#headline { text-style: bold; }
#state.lost { background: $error; color: $text; }
TabbedContent { height: 1fr; }
TabPane { padding: 0 1; }
RowsView { height: 1fr; background: $surface; scrollbar-gutter: stable; scrollbar-size-vertical: 1; }
#filter { display: none; height: 3; }
#filter.shown { display: block; }
Question, Help, Output { align: center middle; }
.dialog { width: auto; max-width: 90%; height: auto; padding: 1 2; border: round $accent; background: $surface; }
.dialog Static { width: auto; }
#output { width: 95%; height: 90%; border: round $accent; background: $surface; }
#output-title { height: 1; text-style: bold; }
"""


class Top(App[None]):
    """The whole screen; it ends with ``q`` or Ctrl-C."""

    TITLE = "receptorctl top"
    CSS = _STYLE
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show_tab('units')", "Units", show=False),
        Binding("2", "show_tab('nodes')", "Nodes", show=False),
        Binding("3", "show_tab('links')", "Links", show=False),
        Binding("tab", "next_tab", "Next", show=False, priority=True),
        Binding("o", "follow", "Output"),
        Binding("c", "end_unit('cancel')", "Cancel"),
        Binding("x", "end_unit('release')", "Release"),
        Binding("s", "sort", "Sort"),
        Binding("S", "turn", "Reverse", show=False),
        Binding("slash", "filter", "Filter"),
        Binding("escape", "no_filter", "All", show=False),
        Binding("r", "look", "Refresh", show=False),
        Binding("question_mark", "help", "Help"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    class Came(Message):
        """The node has told how it is."""

        def __init__(self, snapshot: Snapshot) -> None:
            super().__init__()
            self.snapshot = snapshot

    class Lost(Message):
        """The node can't be asked."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    class Done(Message):
        """What came of something that was done with a unit."""

        def __init__(self, text: str, *, failed: bool) -> None:
            super().__init__()
            self.text = text
            self.failed = failed

    def __init__(self, settings: Settings, interval: float) -> None:
        """``interval`` is how many seconds to wait between two looks at the node while nothing happens."""
        super().__init__()
        self.animation_level = "none"  # over slow lines, every picture in between delays the next
        self._settings = settings
        self._headline = Static("", id="headline", markup=False)
        self._state = Static("asking the node", id="state", markup=False)
        self._tables = {name: RowsView(id=f"{name}-rows") for name in _VIEWS}
        self._tabs = TabbedContent(initial="units")
        self._field = Input(placeholder="show only rows with this text", id="filter")
        self._snapshot: Snapshot | None = None
        self._lost = ""
        self._feed = Feed(
            settings,
            interval,
            lambda snapshot: self._tell(self.Came(snapshot)),
            lambda reason: self._tell(self.Lost(reason)),
        )

    def compose(self) -> ComposeResult:
        yield self._headline
        yield self._state
        with self._tabs:
            for number, (name, rows) in enumerate(self._tables.items(), 1):
                with TabPane(f"{number} {name.capitalize()}", id=name):
                    yield rows
        yield self._field
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._tables["units"].focus()
        self.set_interval(_TICK_SECONDS, self._show_state)
        self._feed.start()

    def on_unmount(self) -> None:
        self._feed.stop()

    def _tell(self, message: Message) -> None:
        """For other threads: nothing happens if the screen is gone."""
        self.post_message(message)

    # What comes from the node

    def on_top_came(self, message: Came) -> None:
        self._snapshot, self._lost = message.snapshot, ""
        self._show(*_VIEWS)

    def on_top_lost(self, message: Lost) -> None:
        self._lost = message.reason
        self._show_state()

    def on_top_done(self, message: Done) -> None:
        self.notify(printable(message.text), severity="error" if message.failed else "information", markup=False)
        self._feed.look_now()

    def _show(self, *names: str) -> None:
        if self._snapshot is None:
            return
        self._headline.update(printable(headline(self._snapshot)))
        for name in names:
            self._tables[name].show(_VIEWS[name](self._snapshot, time.time()))
        self._show_state()

    def _show_state(self) -> None:
        self._state.set_class(bool(self._lost), "lost")
        if self._lost:
            self._state.update(printable(f"lost the node, and trying to reach it again: {self._lost}"))
        elif self._snapshot is not None:
            age = time.time() - self._snapshot.taken_at
            rows = self._rows
            wanted = rows.arrangement.wanted
            shown = f"; only those with {wanted!r}: {len(rows.rows)}" if wanted else ""
            self._state.update(printable(f"as it was {span(age)} ago{shown}" if age >= 3 else f"live{shown}"))

    # Tabs, order, filter

    @property
    def _rows(self) -> RowsView:
        """The table that is seen."""
        return self._tables[self._tabs.active or "units"]

    def on_tabbed_content_tab_activated(self) -> None:
        self._field.remove_class("shown")
        self._rows.focus()
        self._show_state()

    def action_show_tab(self, name: str) -> None:
        self._tabs.active = name

    def action_next_tab(self) -> None:
        names = list(_VIEWS)
        self.action_show_tab(names[(names.index(self._tabs.active) + 1) % len(names)])

    def action_sort(self) -> None:
        self._rows.sort_by_next()

    def action_turn(self) -> None:
        rows = self._rows
        rows.rearrange(replace(rows.arrangement, descending=not rows.arrangement.descending))

    def action_filter(self) -> None:
        self._field.value = self._rows.arrangement.wanted
        self._field.add_class("shown")
        self._field.focus()

    def action_no_filter(self) -> None:
        self._close_filter("")

    def on_input_changed(self, event: Input.Changed) -> None:
        rows = self._rows
        rows.rearrange(replace(rows.arrangement, wanted=event.value))
        self._show_state()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._close_filter(event.value)

    def _close_filter(self, wanted: str) -> None:
        rows = self._rows
        self._field.remove_class("shown")
        rows.rearrange(replace(rows.arrangement, wanted=wanted))
        rows.focus()
        self._show_state()

    # What is done

    @property
    def _chosen_unit(self) -> UnitStatus | None:
        if self._snapshot is None or self._rows is not self._tables["units"]:
            return None
        key = self._rows.chosen
        return next((unit for unit in self._snapshot.units if unit.unit_id == key), None)

    def on_rows_view_chosen(self, event: RowsView.Chosen) -> None:
        self.action_follow()

    def action_follow(self) -> None:
        unit = self._chosen_unit
        if unit is None:
            self.notify("choose a unit first, in the tab of the units")
        else:
            self.push_screen(Output(self._settings, unit))

    def action_end_unit(self, verb: str) -> None:
        unit = self._chosen_unit
        if unit is None:
            self.notify("choose a unit first, in the tab of the units")
            return
        what = "Stop it" if verb == "cancel" else "Stop it, and delete all that it has written"

        def answered(yes: bool | None) -> None:
            if yes:
                threading.Thread(target=self._end_unit, args=(verb, unit.unit_id), name="top deed", daemon=True).start()

        self.push_screen(Question(f"{verb.capitalize()} unit {unit.unit_id} ({unit.work})? {what}."), answered)

    def _end_unit(self, verb: str, unit_id: str) -> None:
        """In a thread: the other node may take long to answer."""
        try:
            with self._settings.client() as client:
                outcome = client.end_unit(verb, unit_id)
        except ReceptorError as error:
            self._tell(self.Done(f"{unit_id}: {error}", failed=True))
        else:
            self._tell(self.Done(f"{unit_id}: {outcome}", failed=False))

    def action_look(self) -> None:
        self._feed.look_now()

    def action_help(self) -> None:
        self.push_screen(Help())
