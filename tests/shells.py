"""Shells on a terminal of their own, with somebody who types into them."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|[\x07\r]")
_PATIENCE = 20.0


class Typist:
    """Types, and reads what the terminal shows."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.shown = ""

    def type(self, text: str) -> None:
        """Press these keys; what was shown before is forgotten."""
        self.shown = ""
        os.write(self._terminal, text.encode())

    def sees(self, text: str) -> str:
        """All that is shown until that text is; AssertionError if it does not come."""
        deadline = time.monotonic() + _PATIENCE
        while text not in self.shown:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} is not shown, but {self.shown!r}"
            self.shown = _STEERING.sub("", self.shown + os.read(self._terminal, 65536).decode())
        return self.shown


@contextmanager
def typing_into(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Typist]:
    """The shell with an empty environment but for this one; it is ended, whatever it does then."""
    child, terminal = pty.fork()
    if child == 0:
        termios.tcsetwinsize(0, (40, 300))  # no line is wrapped
        os.execvpe(command[0], list(command), {**environment, "TERM": "xterm"})
    try:
        yield Typist(terminal)
    finally:
        os.close(terminal)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
