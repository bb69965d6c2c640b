"""Running async tests on the event loops that nodes run on."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

import uvloop

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
PATIENCE = 10.0
"""Seconds after which a test that hangs is given up."""


class _ImpatientSelector(selectors.DefaultSelector):
    """Where nothing happens for a hundredth of a second, time goes on at once to the end of the wait."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        wait = 0.01 if timeout is None else min(timeout, 0.01)
        events = super().select(wait)
        if not events and timeout is not None:
            self.skipped += timeout - wait
        return events


class ImpatientLoop(asyncio.SelectorEventLoop):
    """A loop with real sockets whose timers come due without the wait. For what takes seconds by design."""

    def __init__(self) -> None:
        self._impatient = _ImpatientSelector()
        super().__init__(self._impatient)

    def time(self) -> float:
        return super().time() + self._impatient.skipped


class EventLoop:
    """Runs tests on one kind of loop. What a loop complains about, other than by an exception, fails the test."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, main: Awaitable[T]) -> T:
        complaints: list[dict[str, object]] = []
        with asyncio.Runner(loop_factory=LOOPS[self.kind]) as runner:
            runner.get_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
            result = runner.run(_bounded(main))
        assert not complaints, complaints
        return result


async def _bounded(main: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE):
        result = await main
        # What the test has begun must come to its end, so that nothing is left to the garbage collector.
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    return result
