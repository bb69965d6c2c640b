"""Running async tests in virtual time: whenever everything waits, the clock jumps to the next timer.

Minutes of pauses pass at once, in the same order on every run. If everything waits and there is no timer, the test
fails as what it is: nobody would ever wake up. Work for threads is done at once, in the loop's own thread.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class AtOnce(ThreadPoolExecutor):
    """An executor without threads."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is handed on to whoever waits for the result
            done.set_exception(error)
        return done


class _Clock(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits for what will never come"
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)
        self.set_default_executor(AtOnce())
        self.complaints: list[Mapping[str, object]] = []
        self.set_exception_handler(lambda _, complaint: self.complaints.append(complaint))

    def time(self) -> float:
        return self._clock.now


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine; what the loop complains about, and a task that is left over, fail the test."""
    loop = VirtualTimeLoop()
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(main)
        left = [task.get_name() for task in asyncio.all_tasks(loop)]
        assert not left, f"tasks without owner: {left}"
        loop.run_until_complete(loop.shutdown_asyncgens())
        assert not loop.complaints, loop.complaints
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()


def inline_disk() -> Executor:
    """For what wants an executor of its own."""
    return AtOnce()
