"""Operations carried out over blocking connections to one control service."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator

from receptor.client import carrying, conversations
from receptor.client.address import Address
from receptor.client.connection import Connection, connect
from receptor.client.conversations import ReadLine
from receptor.client.operations import (
    TIDY_SECONDS,
    Close,
    Keep,
    Open,
    Operation,
    Pause,
    Step,
    Stream,
    T,
    TakePayload,
)
from receptor.client.tls_settings import TlsSettings
from receptor.errors import CommandError, TimeExpired, UnreachableError

MOST_IDLE = 4
"""Connections that are kept for later commands; a node has a limit of sessions."""

Hops = tuple[tuple[str, str], ...]
"""Nodes, each with the name of a tls-client or nothing: the control service of the last is meant, over the others'."""


class Sessions:
    """Makes connections, keeps a few of those that are not used, and carries out operations; for several threads."""

    def __init__(self, address: Address, tls: TlsSettings | None, hops: Hops = ()) -> None:
        self.address = address
        self.tls = tls
        self.hops = hops
        self.keeps: bool = True
        """Whether connections are kept for later operations; not any more once it has been closed."""
        self._idle: deque[Connection] = deque()

    def close(self) -> None:
        """Close the connections that are not in use, and those that are as soon as they are not."""
        self.keeps = False
        while connection := self._idle_one():
            connection.close()

    def run(self, operation: Operation[T], timeout: float | None, payload: Iterator[bytes] | None = None) -> T:
        """Carry out an operation; raises TimeExpired if it takes more than ``timeout`` seconds."""
        work = _Work(self, timeout, payload)
        try:
            return carrying.run(operation, work.do)
        finally:
            work.close()

    def stream(self, stream: Stream[T], timeout: float | None) -> Generator[T, None, None]:
        """Carry out a stream, as far as the caller takes what it gives."""
        work = _Work(self, timeout, None)
        try:
            yield from carrying.stream(stream, work.do)
        finally:
            work.close()

    def hand_over(self, operation: Operation[None], timeout: float | None) -> Connection:
        """Carry out an operation; the connection that it has opened, for the caller to close."""
        work = _Work(self, timeout, None)
        try:
            carrying.run(operation, work.do)
            return work.hand_over()
        finally:
            work.close()

    def take(self, deadline: float | None) -> Connection:
        """A greeted connection that nobody uses."""
        while connection := self._idle_one():
            if connection.is_usable():
                return connection
            connection.close()
        connection = connect(self.address, self.tls, deadline)
        try:
            for node, tls_client in self.hops:
                connection.node_id = connection.hold(conversations.go_to(connection.node_id, node, tls_client))
        except CommandError as error:
            connection.close()
            raise UnreachableError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def put_by(self, connection: Connection) -> None:
        """Have a connection back that is ready for another command."""
        if self.keeps and len(self._idle) < MOST_IDLE:
            connection.deadline = None
            self._idle.append(connection)
        else:
            connection.close()

    def _idle_one(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:  # another thread may have taken the last one
            return None


class _Work:
    """One operation: its connections, its payload and its time."""

    def __init__(self, sessions: Sessions, timeout: float | None, payload: Iterator[bytes] | None) -> None:
        self._sessions = sessions
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._payload = payload
        self._open: list[Connection] = []

    def close(self) -> None:
        """Break off what the operation has left open: it did not come to its end."""
        while self._open:
            self._open.pop().abort()

    def hand_over(self) -> Connection:
        connection = self._open.pop()
        connection.deadline = None
        return connection

    def do(self, step: Step) -> bytes:
        """Do one step. What tidies up after the time has expired has a time of its own."""
        if self._deadline is None:
            return self._do(step)
        try:
            return self._do(step)
        except (UnreachableError, TimeExpired) as error:
            if time.monotonic() < self._deadline:
                raise
            problem = expired(step, self._sessions.address, self._timeout)
            self._timeout = TIDY_SECONDS
            self._deadline = time.monotonic() + TIDY_SECONDS
            raise problem from error

    def _do(self, step: Step) -> bytes:
        match step:
            case Open():
                connection = self._sessions.take(self._deadline)
                self._open.append(connection)
                return connection.node_id.encode()
            case Keep():
                self._sessions.put_by(self._open.pop())
            case Close():
                while self._open:
                    self._open.pop().close()
            case Pause(seconds):
                self._pause(seconds)
            case TakePayload():
                return b"" if self._payload is None else next(self._payload, b"")
            case _:
                connection = self._open[-1]
                connection.deadline = self._deadline
                return connection.do(step)
        return b""

    def _pause(self, seconds: float) -> None:
        if self._deadline is None:
            time.sleep(seconds)
            return
        left = self._deadline - time.monotonic()
        time.sleep(max(0.0, min(seconds, left)))
        if left <= seconds:
            raise TimeExpired("while pausing")


def expired(step: Step, address: Address, timeout: float | None) -> TimeExpired:
    """What there is to say when the caller's time is over."""
    match step:
        case Open():
            what = f"{address} could not be reached"
        case ReadLine(awaited):
            what = f"{address} did not send {awaited}"
        case TakePayload():
            what = "the payload did not come whole"
        case _:
            what = f"{address} was not done"
    return TimeExpired(
        f"{what} within {timeout:g} s; give it more time (timeout=), or see whether the node is overloaded"
    )
