"""A real terminal for tests: standard streams of this process on a pty, and what a person would see there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """The other side of a pty, which is read on all the time."""

    def __init__(self, columns: int) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = open(slave, "r+b", buffering=0)  # noqa: SIM115 (closed by close)
        self._raw = bytearray()
        self._awaited: tuple[str, Callable[[], object]] | None = None
        self._thread = threading.Thread(target=self._read_on)
        self._thread.start()

    def when_seen(self, text: str, then: Callable[[], object]) -> None:
        """Have something done as soon as a person sees that text."""
        self._awaited = (text, then)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> None:
        """The end of what is written; ``raw`` is complete from here on."""
        self.stream.close()
        self._thread.join()
        os.close(self._master)

    @property
    def raw(self) -> str:
        """Everything that was written, erased lines and colours included."""
        return self._raw.decode(errors="replace")

    @property
    def shown(self) -> list[str]:
        """The lines as they stand in the end."""
        lines = [line.rpartition("\r\x1b[K")[2] for line in self.raw.replace("\r\n", "\n").split("\n")]
        return [_CODES.sub("", line) for line in lines if line]

    def _read_on(self) -> None:
        try:
            while chunk := os.read(self._master, 65536):
                self._raw += chunk
                if self._awaited and self._awaited[0] in self.raw:
                    self._awaited[1]()
                    self._awaited = None
        except OSError:  # the other side is closed
            pass


@contextmanager
def terminal_for(
    monkeypatch: pytest.MonkeyPatch, *streams: str, columns: int = 100, term: str = "xterm"
) -> Iterator[Terminal]:
    """Put those of ``stdin``, ``stdout`` and ``stderr`` on a terminal; read it when the block has ended."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", term)
    terminal = Terminal(columns)
    opened = []
    with monkeypatch.context() as patch:
        for name in streams:
            descriptor = os.dup(terminal.stream.fileno())
            stream = open(descriptor, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115
            opened.append(stream)
            patch.setattr(sys, name, stream)
        try:
            yield terminal
        finally:
            for stream in opened:
                stream.close()
            terminal.close()
