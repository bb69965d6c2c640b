from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from commands import pids_with, subreaper

from receptor.workceptor.processes import kill_remains


@pytest.fixture
def units_folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose commands really run; what runs of it at the end is killed, and no zombie left to others."""
    folder = tmp_path / "data"
    folder.mkdir()
    with subreaper():
        yield folder
        for pid in pids_with(str(folder)):
            os.kill(pid, signal.SIGKILL)
        kill_remains([str(path) for path in folder.iterdir()], [])
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
