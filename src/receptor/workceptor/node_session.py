"""One control session with another node, which all units on that node share.

A node of ours takes numbered commands (numbered.py): each is carried out at once and answered when it is ready. An
existing node answers one command after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from receptor.errors import PeerError, UnreachableError
from receptor.node.byte_stream import ByteStream
from receptor.workceptor import numbered
from receptor.workceptor.conversations import (
    LONGEST_ANSWER,
    Answer,
    answer_text,
    command_line,
    greet,
    multiplex,
)
from receptor.workceptor.numbered import Message

CONTROL_SERVICE = "control"
MULTIPLEX_TAG = "multiplex"
"""A tag of control services that take numbered commands. Others may not even refuse to be asked for that."""

GREETING_TIME = 10.0
MOST_NODES = 1000
"""How many nodes are remembered with which no session is open."""

WARM_TIME = 60.0
"""Seconds for which a session in which nothing is asked waits for the next command."""


class Dialer(Protocol):
    """The part of the mesh that units need."""

    async def dial(self, node: str, service: str, tls_client: str = "") -> ByteStream:
        """Open a stream to a service of a node.

        Raises UnreachableError, TlsError if the two don't accept each other, CommandError for an unknown tls-client.
        """

    def tags_of(self, node: str, service: str) -> Mapping[str, str]:
        """The tags with which a service of a node is advertised; none if it isn't, or not yet."""


class OpenSession:
    """A session that is open. It owns the stream, and closes it."""

    def __init__(self, stream: ByteStream, is_multiplexed: bool) -> None:
        self.is_multiplexed = is_multiplexed
        self._stream = stream
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        """By number, in order: that is the order of the answers too, unless they have numbers."""
        self._count = 0
        self._writing = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._problem: ConnectionError | PeerError | None = None
        self._reading = asyncio.create_task(self._read(), name=f"answers of {stream.origin}")
        self._rest()

    @property
    def is_over(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._problem is not None

    async def ask(self, fields: Mapping[str, str | int], payload: bytes = b"") -> Answer:
        """Say a command and wait for its answer; a payload needs numbered commands.

        Raises Refused, ConnectionError and PeerError. Cancelling gives up the answer.
        """
        number = self._count = self._count + 1
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        try:
            async with self._writing:
                if self._problem is not None:
                    raise self._problem
                self._waiting[number] = answer
                await self._stream.write(self._command(number, fields, payload))
            message = await answer
        finally:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # The session may have ended while the command was being written.
            if self.is_multiplexed:
                self._waiting.pop(number, None)
            self._rest()
        return Answer(answer_text(message.text), message.attached)

    def close(self) -> None:
        """Give up all that is being asked."""
        self._end(ConnectionResetError("the session was closed"))

    def _command(self, number: int, fields: Mapping[str, str | int], payload: bytes) -> bytes:
        line = command_line(fields)
        return numbered.encode(Message(number, line[:-1], payload)) if self.is_multiplexed else line

    async def _read(self) -> None:
        try:
            while True:
                message = await (self._numbered() if self.is_multiplexed else self._next())
                waiting = self._waiting.pop(message.number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
        except (ConnectionError, PeerError) as error:
            self._end(error)
        except asyncio.CancelledError:
            self._end(ConnectionResetError("this node ends"))
            raise

    async def _numbered(self) -> Message:
        message = await numbered.read(self._stream, LONGEST_ANSWER)
        if message is None:
            raise ConnectionResetError("the control service closed the connection")
        return message

    async def _next(self) -> Message:
        line = await self._stream.readline(LONGEST_ANSWER)
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the control service closed the connection before its answer")
        number = next(iter(self._waiting), None)
        if number is None:
            raise PeerError("an answer came to what was not asked")
        return Message(number, line[:-1])

    def _rest(self) -> None:
        """Close the session after a while without any command."""
        if self._idle is not None:
            self._idle.cancel()
        if not self._waiting and self._problem is None:
            self._idle = asyncio.get_running_loop().call_later(WARM_TIME, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if not self._waiting:
            self.close()

    def _end(self, problem: ConnectionError | PeerError) -> None:
        if self._problem is not None:
            return
        self._problem = problem
        self._stream.close()
        self._reading.cancel()
        if self._idle is not None:
            self._idle.cancel()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(problem)


class NodeSession:
    """The session with one node: opened when it is needed, and anew when it has ended."""

    def __init__(self, mesh: Dialer, node: str, tls_client: str) -> None:
        self._mesh = mesh
        self._node = node
        self._tls_client = tls_client
        self._opening: asyncio.Task[OpenSession] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a session is open or being opened."""
        opening = self._opening
        if opening is None or not opening.done():
            return opening is not None
        return not opening.cancelled() and opening.exception() is None and not opening.result().is_over

    async def open(self) -> OpenSession:
        """The session as it is, or a new one, whoever else waits for it.

        A node may be reached before it is known that it takes numbered commands: then it gets a new session.
        Raises as ``dial``. Cancelling is safe.
        """
        if self._opening is None or not self.is_open or self._could_be_multiplexed(self._opening):
            self._opening = asyncio.create_task(self._open(), name=f"open a session with {self._node}")
            self._opening.add_done_callback(_look_at)
        return await asyncio.shield(self._opening)

    def _could_be_multiplexed(self, opening: asyncio.Task[OpenSession]) -> bool:
        return opening.done() and not opening.result().is_multiplexed and self.is_of_ours is True

    @property
    def is_of_ours(self) -> bool | None:
        """Whether it is a node of ours; None as long as the mesh has told nothing of its control service."""
        tags = self._mesh.tags_of(self._node, CONTROL_SERVICE)
        return MULTIPLEX_TAG in tags if tags else None

    async def dial(self) -> ByteStream:
        """A stream of one's own to the node's control service, greeted.

        Raises UnreachableError (TlsError if the two don't accept each other), CommandError for an unknown tls-client,
        ConnectionError, and PeerError if that is no control service of the node.
        """
        stream = await self._mesh.dial(self._node, CONTROL_SERVICE, self._tls_client)
        async with _answered_in_time(stream, f"{self._node} does not greet"):
            await greet(stream, self._node)
        return stream

    async def close(self) -> None:
        """Close the session, if it is open."""
        if self._opening is None:
            return
        self._opening.cancel()
        await asyncio.wait([self._opening])
        if not self._opening.cancelled() and self._opening.exception() is None:
            self._opening.result().close()

    async def _open(self) -> OpenSession:
        stream = await self.dial()
        async with _answered_in_time(stream, f"{self._node} does not answer"):
            return OpenSession(stream, self.is_of_ours is True and await multiplex(stream))


@asynccontextmanager
async def _answered_in_time(stream: ByteStream, problem: str) -> AsyncIterator[None]:
    """Closes the stream if the body fails; raises UnreachableError with the problem if it takes too long."""
    try:
        async with asyncio.timeout(GREETING_TIME):
            yield
    except TimeoutError:
        stream.close()
        raise UnreachableError(problem) from None
    except BaseException:
        stream.close()
        raise


def _look_at(opening: asyncio.Task[OpenSession]) -> None:
    """Nobody may wait any more for what became of it; asyncio would complain then."""
    if not opening.cancelled():
        opening.exception()


class NodeSessions:
    """The sessions with all nodes."""

    def __init__(self, mesh: Dialer) -> None:
        self._mesh = mesh
        self._sessions: dict[tuple[str, str], NodeSession] = {}

    def to(self, node: str, tls_client: str) -> NodeSession:
        """The session with a node, secured by the tls-client if one is named."""
        session = self._sessions.get((node, tls_client))
        if session is None:
            if len(self._sessions) >= MOST_NODES:
                self._sessions = {key: known for key, known in self._sessions.items() if known.is_open}
            session = self._sessions[node, tls_client] = NodeSession(self._mesh, node, tls_client)
        return session

    async def close(self) -> None:
        """Close all."""
        for session in self._sessions.values():
            await session.close()
