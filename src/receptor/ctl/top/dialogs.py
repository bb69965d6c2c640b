"""What comes over the tables of ``top``: a question, the output of a unit, the keys."""

from __future__ import annotations

import codecs
import threading
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import RichLog, Static

from receptor.client.unit_replies import UnitStatus
from receptor.ctl.plain_text import printable
from receptor.errors import ReceptorError

if TYPE_CHECKING:
    from receptor.client.connection import Connection
    from receptor.ctl.settings import Settings

TAIL_BYTES = 64 * 1024
"""How much of a longer output is shown of what was there before."""

_MOST_LINES = 5000

KEYS = """\
[b]1 2 3[/b], [b]tab[/b]   units, nodes, links
[b]↑ ↓ PgUp PgDn[/b]  move; also [b]j k g G[/b]
[b]s[/b]            sort by the next column; [b]S[/b] the other way round
[b]/[/b]            show only rows with a text; [b]Esc[/b] shows all
[b]enter[/b], [b]o[/b]     follow the output of the unit
[b]c[/b]            cancel the unit; what it has written stays
[b]x[/b]            release the unit; what it has written goes
[b]r[/b]            look at the node now
[b]?[/b]            this help
[b]q[/b]            leave
"""


class Question(ModalScreen[bool]):
    """Asks whether to do something; only ``y`` does it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,enter,q", "answer(False)", "no"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(printable(self._text), markup=False)
            yield Static("[b]y[/b] yes   [b]n[/b] no")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,question_mark", "dismiss", "back")]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(KEYS)


class Output(ModalScreen[None]):
    """The output of a unit as it comes; of a long one its end."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,o", "dismiss", "back")]

    class Came(Message):
        """Text that the unit has written."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Ended(Message):
        """There will be no more, for that reason."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    def __init__(self, settings: Settings, unit: UnitStatus) -> None:
        super().__init__()
        self._settings = settings
        self._unit = unit
        self._title = Static(self._title_text("following"), id="output-title", markup=False)
        self._log = RichLog(max_lines=_MOST_LINES, wrap=True, markup=False, highlight=False)
        self._connection: Connection | None = None
        self._line = ""

    def compose(self) -> ComposeResult:
        with Vertical(id="output"):
            yield self._title
            yield self._log

    def on_mount(self) -> None:
        self._log.focus()
        threading.Thread(target=self._follow, name="top output", daemon=True).start()

    def on_unmount(self) -> None:
        if self._connection is not None:
            self._connection.interrupt()

    def _title_text(self, state: str) -> str:
        return printable(f" {self._unit.unit_id}  {self._unit.work}  {state}   (Esc: back)")

    def _follow(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        start = max(0, self._unit.stdout_size - TAIL_BYTES)
        try:
            with self._settings.client() as client:
                self._connection = client.connect()
                for chunk in client.results(self._unit.unit_id, start):
                    self.post_message(self.Came(decoder.decode(chunk)))
        except ReceptorError as error:
            self.post_message(self.Ended(str(error)))
        else:
            self.post_message(self.Ended("the end of its output"))

    def on_output_came(self, message: Came) -> None:
        *lines, self._line = (self._line + message.text).split("\n")
        for line in lines[-_MOST_LINES:]:
            self._log.write(printable(line.expandtabs()))

    def on_output_ended(self, message: Ended) -> None:
        if self._line:
            self._log.write(printable(self._line))
        self._title.update(self._title_text(message.reason))
