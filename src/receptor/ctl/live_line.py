"""A line on standard error that tells how far something is, for those who sit before a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType

import click

from receptor.ctl import terminal
from receptor.ctl.moments import span
from receptor.ctl.plain_text import printable, shortened
from receptor.ctl.sizes import size_text

SHOWN_AFTER = 0.5
"""Seconds: what is done sooner shows nothing."""

_INTERVAL = 0.1
_SPINNER = "|/-\\"
_BAR_WIDTH, _NARROWEST_BAR = 24, 6
_ERASE = "\r\x1b[K"


class LiveLine:
    """A line that is drawn again and again until the ``with`` block ends, and then is gone without a trace.

    Where standard error is no terminal, or a dumb one, nothing is ever written and no thread started. ``text`` is asked
    with the seconds since the beginning and the columns there are. What ``terminal`` prints meanwhile stands above it.
    """

    def __init__(self, text: Callable[[float, int], str]) -> None:
        self._text = text
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._is_drawn = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LiveLine:
        if can_show():
            terminal.make_room = self._hidden
            self._thread = threading.Thread(target=self._run, name="live line", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            terminal.make_room = nullcontext

    @contextmanager
    def _hidden(self) -> Iterator[None]:
        with self._lock:
            self._erase()
            yield

    def _run(self) -> None:
        with suppress(OSError):  # the terminal is gone
            self._draw_on()

    def _draw_on(self) -> None:
        began = time.monotonic()
        self._ended.wait(SHOWN_AFTER)
        while not self._ended.is_set():
            with self._lock:
                columns = _columns()
                text = printable(self._text(time.monotonic() - began, columns))
                click.echo(_ERASE + shortened(text, columns), sys.stderr, nl=False)
                self._is_drawn = True
            self._ended.wait(_INTERVAL)
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._is_drawn:
            click.echo(_ERASE, sys.stderr, nl=False)
            self._is_drawn = False


@dataclass
class Transfer:
    """How much of so many bytes has been moved; ``line`` shows it."""

    label: str
    total: int
    done: int = 0

    def line(self, seconds: float, columns: int) -> str:
        """``Sending  [=====>    ]  50%  1.0 MiB of 2.0 MiB  100 KiB/s  10 s left``; the bar gives way where it must."""
        share = min(1.0, self.done / self.total) if self.total else 1.0
        rate = self.done / seconds if seconds else 0.0
        parts = [
            self.label,
            f"{int(share * 100):3d}%",
            f"{size_text(self.done)} of {size_text(self.total)}",
            f"{size_text(rate)}/s",
        ]
        if rate and self.done < self.total:
            parts.append(f"{span((self.total - self.done) / rate)} left")
        room = columns - len("  ".join(parts)) - len("  []")
        if room >= _NARROWEST_BAR:
            parts.insert(1, _bar(share, min(room, _BAR_WIDTH)))
        return "  ".join(parts)


def spinner(text: Callable[[], str]) -> LiveLine:
    """A line that turns, with a text and the seconds that have passed."""
    return LiveLine(
        lambda seconds, _: f"{_SPINNER[int(seconds / _INTERVAL) % len(_SPINNER)]} {text()}, {span(seconds)}"
    )


def can_show() -> bool:
    """Whether somebody would see a live line."""
    return terminal.is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


def _bar(share: float, width: int) -> str:
    filled = int(share * width)
    head = ">" if filled < width else ""
    return f"[{('=' * filled + head).ljust(width)}]"


def _columns() -> int:
    """The width to draw in; one less than the terminal has, since the last column may wrap."""
    return max(10, (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1)
