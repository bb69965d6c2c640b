from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from commands import eventually, pids_with, subreaper


@pytest.fixture
def data_folder(tmp_path: Path) -> Iterator[Path]:
    """Where units live whose commands all end with the test."""
    folder = tmp_path / "data"
    with subreaper():
        yield folder
        # With nothing left to do its runner ends.
        eventually(lambda: not pids_with(str(folder)))
        with suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                pass
