"""Running async tests on the event loops that nodes run on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import uvloop

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
PATIENCE = 20.0
"""Seconds after which a test that hangs is given up."""


class EventLoop:
    """Runs tests on one kind of loop. What a loop complains about, other than by an exception, fails the test."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, main: Awaitable[T]) -> T:
        complaints: list[dict[str, object]] = []
        with asyncio.Runner(loop_factory=LOOPS[self.kind]) as runner:
            runner.get_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
            result = runner.run(asyncio.wait_for(main, PATIENCE))
        assert not complaints, complaints
        return result
