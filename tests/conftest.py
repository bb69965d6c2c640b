from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from event_loops import LOOPS, EventLoop
from hypothesis import settings

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them press.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is a matter of what else the machine does.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> EventLoop:
    """Runs the test's coroutine, once on each kind of event loop."""
    return EventLoop(request.param)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a Unix socket, which ``tmp_path`` does not always."""
    with tempfile.TemporaryDirectory(prefix="r-") as folder:
        yield Path(folder)
