from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from event_loops import LOOPS, EventLoop


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> EventLoop:
    """Runs the test's coroutine, once on each kind of event loop."""
    return EventLoop(request.param)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a Unix socket, which ``tmp_path`` does not always."""
    with tempfile.TemporaryDirectory(prefix="r-") as folder:
        yield Path(folder)
