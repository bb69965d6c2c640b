"""``MeshExecutor``: Python functions on the nodes of a mesh, as ``concurrent.futures`` has it.

The work runs in an event loop in a thread of its own. What is waiting, who has how much to do and what is given up is
only looked at and changed there.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

from receptor.client.address import Address
from receptor.client.call import Call, FarTraceback, Reply
from receptor.client.client import Client, Unit
from receptor.client.outage import PATIENCE
from receptor.client.replies import NodeStatus
from receptor.client.tls_settings import TlsSettings
from receptor.errors import PeerError, ReceptorError, UnitFailed, UnreachableError

_LOOK_SECONDS = 5.0
"""How often the mesh is asked who offers the work type."""

_RELEASE_SECONDS = 30.0
_STREAM_WITH_TLS = 2
_LONGEST_TAIL = 2000

P = ParamSpec("P")
T = TypeVar("T")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Place:
    """A node that offers the work type."""

    node_id: str
    asks_signature: bool
    wants_tls: bool


class MeshExecutor(Executor):
    """Runs functions on the nodes that offer a work type for it, each on the one with the fewest calls under way.

    The operator configures that work type: ``command: python3``, ``params: -m receptor.client.call``, with a Python
    that has this package. Function and arguments are pickled, so the function must be one that the node can import:
    neither from the script that is run nor made on the spot. Its result or error comes back pickled too. So both ends
    trust each other: who may submit such work runs any code on the node, and a node can run any code in this program.

    ``nodes`` limits where it runs; otherwise all that offer the work type are used, those that come later too. A node
    gets ``max_in_flight`` calls at a time, the others wait here. Work that must be signed is signed by the node that is
    connected to; ``tls_client`` is its tls-client for nodes whose control service wants TLS.

    An error of the function is raised as it is, with the far traceback as its cause. What goes wrong with the mesh is a
    ReceptorError; the call may have run then. Cancelling works on calls that run too: their units are stopped. Every
    unit is released when its call has ended.

    Raises the errors of ``Client`` if the node can't be connected to, UnreachableError if no node offers the work type.
    """

    def __init__(
        self,
        address: str | os.PathLike[str] | Address,
        work_type: str = "python",
        *,
        nodes: Sequence[str] | None = None,
        max_in_flight: int = 8,
        tls: TlsSettings | None = None,
        tls_client: str = "",
        patience: float = PATIENCE,
    ) -> None:
        if max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")
        self._client = Client(address, tls=tls, patience=patience)
        self._work_type = work_type
        self._nodes = None if nodes is None else frozenset(nodes)
        self._max_in_flight = max_in_flight
        self._tls_client = tls_client
        self._places: dict[str, _Place] = {}
        self._in_flight: Counter[str] = Counter()
        """By node."""
        self._open: set[_CallFuture] = set()
        """What has neither ended nor been cancelled."""
        self._waiting: deque[tuple[_CallFuture, Call]] = deque()
        self._tasks: dict[_CallFuture, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._takes_more = True
        self._lock = threading.Lock()
        """For the two that follow, which all threads look at."""
        self._is_shut_down = False
        self._has_loop = True
        self._loop = asyncio.new_event_loop()
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(started,), name=f"MeshExecutor {work_type}", daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self._thread.join()
            raise
        atexit.register(self.shutdown)  # a daemon thread would be cut off in the middle of its calls

    def __repr__(self) -> str:
        return f"MeshExecutor({self._client!r}, {self._work_type!r})"

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have the function called on some node.

        Raises what pickle raises if function or arguments can't be pickled, ValueError if any of them is part of the
        script that is run, RuntimeError after ``shutdown``.
        """
        call = Call.of(fn, args, kwargs)
        future = _CallFuture(self)
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if not self._thread.is_alive():
                raise RuntimeError("the executor's thread has ended, or this process was forked; make another executor")
            self._loop.call_soon_threadsafe(self._take, future, call)
        return cast("Future[T]", future)  # what is pickled has lost its type

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with ``cancel_futures`` those that have not begun are cancelled.

        Waits until all calls have ended and their units are released, unless ``wait`` is false: then that goes on by
        itself. Safe to call again.
        """
        with self._lock:
            self._is_shut_down = True
        self._tell(self._finish)  # comes after all that was submitted
        if cancel_futures:
            self._tell(self._cancel_waiting)
        if wait:
            self._thread.join()
            atexit.unregister(self.shutdown)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        """Have something done in the thread of the loop, unless that has ended."""
        with self._lock:
            if self._has_loop:
                self._loop.call_soon_threadsafe(callback, *arguments)

    # All that follows happens in the thread of the loop.

    def _run(self, started: Future[None]) -> None:
        problem: BaseException = RuntimeError("the executor's thread has ended")
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._main(started))
        except BaseException as error:  # noqa: BLE001 (nobody else could tell those who wait)
            problem = error
        if not started.done():
            started.set_exception(problem)
        for future in list(self._open):
            self._settle(future, error=problem)

    async def _main(self, started: Future[None]) -> None:
        try:
            async with self._client:
                await self._begin(started)
                await self._go_on()
        finally:
            with self._lock:
                self._has_loop = False

    async def _begin(self, started: Future[None]) -> None:
        await self._look()
        if not self._places:
            raise UnreachableError(
                f"no node in reach offers the work type {self._work_type!r}; configure it there (docs/python.md "
                "says how), or correct work_type; 'receptorctl status' shows who offers what"
            )
        started.set_result(None)

    async def _go_on(self) -> None:
        watch = asyncio.create_task(self._watch(), name="nodes of MeshExecutor")
        try:
            while self._tasks or self._waiting or self._takes_more:
                await self._changed.wait()
                self._changed.clear()
        finally:
            watch.cancel()
            await asyncio.wait([watch])

    def _finish(self) -> None:
        self._takes_more = False
        self._changed.set()

    async def _watch(self) -> None:
        """Follow who offers the work type."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self._look()
            except ReceptorError as error:
                _logger.warning("can't see which nodes offer the work type %s: %s", self._work_type, error)
            self._dispatch()

    async def _look(self) -> None:
        found = places(await self._client.status(), self._work_type)
        self._places = {place.node_id: place for place in found if self._nodes is None or place.node_id in self._nodes}

    def _take(self, future: _CallFuture, call: Call) -> None:
        self._open.add(future)
        self._waiting.append((future, call))
        self._dispatch()

    def _dispatch(self) -> None:
        """Begin what there is room for."""
        while self._waiting:
            if self._waiting[0][0] not in self._open:
                self._waiting.popleft()
                continue
            place = self._place_with_room()
            if place is None:
                return
            future, call = self._waiting.popleft()
            future.has_begun = True
            self._in_flight[place.node_id] += 1
            self._tasks[future] = asyncio.create_task(self._carry_out(future, call, place), name="call")
        self._changed.set()

    def _place_with_room(self) -> _Place | None:
        free = [place for place in self._places.values() if self._in_flight[place.node_id] < self._max_in_flight]
        return min(free, key=lambda place: self._in_flight[place.node_id], default=None)

    async def _carry_out(self, future: _CallFuture, call: Call, place: _Place) -> None:
        try:
            await self._call(future, call, place)
        except asyncio.CancelledError:
            pass  # by _forget, which has settled it
        except BaseException as error:  # noqa: BLE001 (it is for those who wait for the future)
            self._settle(future, error=error)
        finally:
            del self._tasks[future]
            self._in_flight[place.node_id] -= 1
            self._dispatch()
            self._changed.set()

    async def _call(self, future: _CallFuture, call: Call, place: _Place) -> None:
        unit = await self._client.submit(
            self._work_type,
            call.payload,
            node=place.node_id,
            sign=place.asks_signature and place.node_id != self._client.node_id,
            tls_client=self._tls_client if place.wants_tls else "",
        )
        try:
            output = await unit.read_stdout()
            reply = Reply.find(output, call.mark)
            if reply is None:
                raise await self._no_reply(unit, output)
            if reply.error is not None:
                reply.error.__cause__ = FarTraceback(reply.traceback)
            self._settle(future, reply.value, reply.error)
        finally:
            await self._release(unit)

    async def _no_reply(self, unit: Unit, output: bytes) -> ReceptorError:
        said = output[-_LONGEST_TAIL:].decode(errors="replace").strip()
        try:
            (await unit.wait()).check()
        except UnitFailed as error:
            if said:
                error.add_note(f"its output ends with:\n{said}")
            return error
        return PeerError(
            f"unit {unit.unit_id} ended without a reply; is the work type {self._work_type!r} configured with "
            "'params: -m receptor.client.call'?"
        )

    async def _release(self, unit: Unit) -> None:
        try:
            await unit.release(timeout=_RELEASE_SECONDS)
        except ReceptorError as error:
            _logger.warning("unit %s of a call that has ended is not released: %s", unit.unit_id, error)

    def _cancel_waiting(self) -> None:
        for future, _ in list(self._waiting):
            future.cancel()
            self._forget(future)
        self._changed.set()

    def _forget(self, future: _CallFuture) -> None:
        """Stop what was cancelled."""
        if future in self._open:
            self._settle(future)
            if task := self._tasks.get(future):
                task.cancel()
            self._dispatch()

    def _settle(self, future: _CallFuture, value: object = None, error: BaseException | None = None) -> None:
        """Tell those who wait for it, unless that has been done."""
        if future not in self._open:
            return
        self._open.discard(future)
        if not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


class _CallFuture(Future[object]):
    """A future that can be cancelled while its call runs: for the standard's own class it is pending until it ends."""

    def __init__(self, executor: MeshExecutor) -> None:
        super().__init__()
        self._executor = executor
        self.has_begun = False

    def running(self) -> bool:
        """Whether the call is under way."""
        return self.has_begun and not self.done()

    def cancel(self) -> bool:
        """Cancel the call, and stop it if it runs; whether it had not ended before."""
        if not super().cancel():
            return False
        self._executor._tell(self._executor._forget, self)
        return True


def places(status: NodeStatus, work_type: str) -> list[_Place]:
    """The nodes that offer the work type, as the node knows them."""
    return [
        _Place(advertisement.node_id, offered.secure, advertisement.connection_type == _STREAM_WITH_TLS)
        for advertisement in status.advertisements
        for offered in advertisement.work_types
        if offered.name == work_type
    ]
