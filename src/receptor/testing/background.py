"""An event loop in a thread of its own, for tests that are no coroutines, or are those of another loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import TypeVar

from receptor.daemon import loop_factory

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines one by one or several at a time, until it is closed."""

    def __init__(self, name: str) -> None:
        """Start it; ``name`` is the thread's."""
        self._running: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._closing = asyncio.Event()
        # A daemon thread, so that whoever forgets to close it can still end.
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()
        self._loop = self._running.result()

    def run(self, work: Coroutine[object, object, T]) -> T:
        """The result of the coroutine, which is cancelled if this is interrupted."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what still runs, and return when the thread has ended."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._run())
        except BaseException as error:
            if self._running.done():
                raise
            self._running.set_exception(error)

    async def _run(self) -> None:
        self._running.set_result(asyncio.get_running_loop())
        await self._closing.wait()
