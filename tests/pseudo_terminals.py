"""Standard output that is a terminal, for tests of what people see."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def terminal_output(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Within the block standard output is a terminal; the function ends that and tells what it has shown.

    A terminal holds some 4 KiB for a reader, and more would block the writer.
    """
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    output = open(slave, "w")  # noqa: SIM115 (closed before it is read)

    def shown() -> str:
        output.close()
        chunks = []
        try:
            while chunk := os.read(master, 65536):
                chunks.append(chunk)
        except OSError:  # how Linux tells that the other end is closed
            pass
        return b"".join(chunks).decode().replace("\r\n", "\n")

    monkeypatch.setattr(sys, "stdout", output)
    try:
        yield shown
    finally:
        monkeypatch.undo()
        output.close()
        os.close(master)
