"""Many clients at a time that submit units and wait for their ends, in one thread.

Each client submits a unit on a connection of its own, as the protocol wants it, and asks for the unit's state on a
session that it keeps. It asks a fixed time after each answer, so that all daemons are asked in the same way.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.control import (
    PATIENCE,
    SUCCEEDED,
    BenchError,
    Connection,
    Session,
    UnitStatus,
    status_request,
    submit_request,
    unit_of,
)


@dataclass(frozen=True)
class Load:
    """What is submitted by how many clients at a time."""

    node: str
    work_type: str
    clients: int
    units: int
    """How many in all."""
    ask_every: float
    """Seconds from an answer about a unit's state to the next question."""
    until: int = SUCCEEDED
    """The state in which a unit is done with."""


@dataclass(frozen=True)
class Outcome:
    """Times in seconds."""

    whole: float
    """From the first unit's beginning to the last one's end, connecting included."""
    latencies: list[float]
    """For each unit, from the first byte of ``submit`` to the answer that told its end."""


def drive(path: str, load: Load) -> Outcome:
    """Submit the units to the node with the control socket ``path``. Raises BenchError if not all go well."""
    crowd = _Crowd(load)
    try:
        clients = [_Client(path, crowd) for _ in range(load.clients)]
        begin = time.perf_counter()
        for client in clients:
            client.submit()
        crowd.run()
        return Outcome(time.perf_counter() - begin, crowd.latencies)
    finally:
        crowd.close()


class _Crowd:
    """What the clients share: the units left, the sockets looked at, the times at which one wants to ask."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.request = submit_request(load.node, load.work_type)
        self.latencies: list[float] = []
        self._left = load.units
        # select() for its fine timeouts; there are few sockets.
        self._selector = selectors.SelectSelector()
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def take(self) -> bool:
        """Take one of the units that are left; false if none is."""
        self._left -= 1
        return self._left >= 0

    def watch(self, connection: Connection, when_readable: Callable[[], None]) -> None:
        self._selector.register(connection.socket, selectors.EVENT_READ, (connection, when_readable))

    def close_connection(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def ask_later(self, ask: Callable[[], None]) -> None:
        heapq.heappush(self._alarms, (time.perf_counter() + self.load.ask_every, next(self._numbers), ask))

    def run(self) -> None:
        """Until all units are done with. Raises BenchError also if nothing happens for a while."""
        while len(self.latencies) < self.load.units:
            pause = self._alarms[0][0] - time.perf_counter() if self._alarms else PATIENCE
            readable = self._selector.select(max(0.0, pause))
            if not readable and not self._alarms:
                raise BenchError(f"the daemon did not answer for {PATIENCE:g} s")
            for key, _ in readable:
                key.data[1]()
            while self._alarms and self._alarms[0][0] <= time.perf_counter():
                heapq.heappop(self._alarms)[2]()

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.data[0].socket.close()
        self._selector.close()


class _Client:
    """One unit after the other: submit it, ask until it is done with, submit the next."""

    def __init__(self, path: str, crowd: _Crowd) -> None:
        self._path = path
        self._crowd = crowd
        self._session = Session(path)
        crowd.watch(self._session, self._status_came)
        self._submission: Connection | None = None
        self._lines = 0
        self._question = b""
        self._is_done = True
        self._begin = 0.0

    def submit(self) -> None:
        """Submit the next unit, if one is left."""
        if self._crowd.take():
            self._is_done = False
            self._lines = 0
            self._submission = Connection(self._path)
            self._crowd.watch(self._submission, self._submission_came)

    def _submission_came(self) -> None:
        submission = self._submission
        assert submission is not None
        for line in submission.lines():
            self._lines += 1
            if self._lines == 1:
                self._begin = time.perf_counter()
                submission.send(self._crowd.request)
            elif self._lines == 2:
                self._question = status_request(unit_of(line))
                submission.send_end()
                self._crowd.ask_later(self._ask)
            elif not line.startswith(b"{"):
                raise BenchError(f"a submission was answered {line.decode(errors='replace')!r}")
            else:
                self._crowd.close_connection(submission)
                self._submission = None
                self._submit_if_done()

    def _ask(self) -> None:
        self._session.send(self._question)

    def _status_came(self) -> None:
        for line in self._session.lines():
            if UnitStatus.parse(line).has_reached(self._crowd.load.until):
                self._crowd.latencies.append(time.perf_counter() - self._begin)
                self._is_done = True
                self._submit_if_done()
            else:
                self._crowd.ask_later(self._ask)

    def _submit_if_done(self) -> None:
        if self._is_done and self._submission is None:
            self.submit()
