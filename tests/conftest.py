from __future__ import annotations

import pytest
from event_loops import LOOPS, EventLoop


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> EventLoop:
    """Runs the test's coroutine, once on each kind of event loop."""
    return EventLoop(request.param)
