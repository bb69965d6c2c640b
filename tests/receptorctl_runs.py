"""Runs of receptorctl within the test's process, and what they print."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

import receptor
from receptor.ctl.main import main

_SOURCE = str(Path(receptor.__file__).parent.parent)

PROGRAM = [sys.executable, "-c", "from receptor.ctl.main import run; run()"]
"""The program of this tree, for a process of its own."""


def environment(**variables: str) -> dict[str, str]:
    """Ours with these, and with the program of this tree."""
    return {**os.environ, "PYTHONPATH": _SOURCE, **variables}


def press_ctrl_c() -> None:
    """Interrupt the program, from another thread; it runs in the main one."""
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    signal.pthread_kill(main_thread, signal.SIGINT)


@dataclass(frozen=True)
class Ran:
    """The end of one run."""

    exit_code: int
    output: bytes
    errors: str

    @property
    def lines(self) -> list[str]:
        return self.output.decode().splitlines()


class Receptorctl:
    """Calls the program's main function with a socket."""

    def __init__(self, socket: str, capture: pytest.CaptureFixture[bytes]) -> None:
        self.socket = socket
        self._capture = capture

    def __call__(self, *words: str) -> Ran:
        """Run ``receptorctl --socket SOCKET words...``."""
        return self.bare("--socket", self.socket, *words)

    def bare(self, *words: str) -> Ran:
        """Run ``receptorctl words...``."""
        self._capture.readouterr()
        exit_code = main(list(words))
        output, errors = self._capture.readouterr()
        return Ran(exit_code, output, errors.decode())
