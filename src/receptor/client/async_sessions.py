"""Operations carried out over asyncio connections to one control service."""

# ruff: noqa: ASYNC109 (the time of a call is for its caller to set)
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from receptor.client import carrying, conversations
from receptor.client.address import Address
from receptor.client.async_connection import AsyncConnection, connect
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
from receptor.client.sessions import MOST_IDLE, Hops, expired
from receptor.client.tls_settings import TlsSettings
from receptor.errors import CommandError, UnreachableError


class AsyncSessions:
    """Makes connections, keeps a few of those that are not used, and carries out operations; for several tasks."""

    def __init__(self, address: Address, tls: TlsSettings | None, hops: Hops = ()) -> None:
        self.address = address
        self.tls = tls
        self.hops = hops
        self.keeps: bool = True
        """Whether connections are kept for later operations; not any more once it has been closed."""
        self._idle: list[AsyncConnection] = []

    def close(self) -> None:
        """Close the connections that are not in use, and those that are as soon as they are not."""
        self.keeps = False
        while self._idle:
            self._idle.pop().close()

    async def run(
        self, operation: Operation[T], timeout: float | None, payload: AsyncIterator[bytes] | None = None
    ) -> T:
        """Carry out an operation; raises TimeExpired if it takes more than ``timeout`` seconds."""
        work = _Work(self, timeout, payload)
        try:
            return await carrying.run_async(operation, work.do)
        finally:
            work.close()

    async def stream(self, stream: Stream[T], timeout: float | None) -> AsyncGenerator[T, None]:
        """Carry out a stream, as far as the caller takes what it gives."""
        work = _Work(self, timeout, None)
        try:
            async with aclosing(carrying.stream_async(stream, work.do)) as items:
                async for item in items:
                    yield item
        finally:
            work.close()

    async def hand_over(self, operation: Operation[None], timeout: float | None) -> AsyncConnection:
        """Carry out an operation; the connection that it has opened, for the caller to close."""
        work = _Work(self, timeout, None)
        try:
            await carrying.run_async(operation, work.do)
            return work.hand_over()
        finally:
            work.close()

    async def take(self) -> AsyncConnection:
        """A greeted connection that nobody uses."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        connection = await connect(self.address, self.tls)
        try:
            for node, tls_client in self.hops:
                connection.node_id = await connection.hold(conversations.go_to(connection.node_id, node, tls_client))
        except CommandError as error:
            connection.close()
            raise UnreachableError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def put_by(self, connection: AsyncConnection) -> None:
        """Have a connection back that is ready for another command."""
        if self.keeps and len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()


class _Work:
    """One operation: its connections, its payload and its time."""

    def __init__(self, sessions: AsyncSessions, timeout: float | None, payload: AsyncIterator[bytes] | None) -> None:
        self._sessions = sessions
        self._timeout = timeout
        self._deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        self._payload = payload
        self._open: list[AsyncConnection] = []

    def close(self) -> None:
        """Break off what the operation has left open: it did not come to its end."""
        while self._open:
            self._open.pop().abort()

    def hand_over(self) -> AsyncConnection:
        return self._open.pop()

    async def do(self, step: Step) -> bytes:
        """Do one step. What tidies up after the time has expired has a time of its own."""
        if self._deadline is None:
            return await self._do(step)
        limit = asyncio.timeout_at(self._deadline)
        try:
            async with limit:
                return await self._do(step)
        except TimeoutError as error:
            if not limit.expired():
                raise
            problem = expired(step, self._sessions.address, self._timeout)
            self._timeout = TIDY_SECONDS
            self._deadline = asyncio.get_running_loop().time() + TIDY_SECONDS
            raise problem from error

    async def _do(self, step: Step) -> bytes:
        match step:
            case Open():
                connection = await self._sessions.take()
                self._open.append(connection)
                return connection.node_id.encode()
            case Keep():
                self._sessions.put_by(self._open.pop())
            case Close():
                while self._open:
                    self._open.pop().close()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case TakePayload():
                return b"" if self._payload is None else await anext(self._payload, b"")
            case _:
                return await self._open[-1].do(step)
        return b""
