"""``Client``: what programs with asyncio use. ``sync_client`` has the same for those without."""

# ruff: noqa: ASYNC109 (the time of a call is for its caller to set)
from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing
from types import TracebackType

from receptor.client import conversations, operations
from receptor.client.address import Address
from receptor.client.arguments import as_address, in_callers_words, is_done, make_submission
from receptor.client.async_connection import AsyncConnection
from receptor.client.async_sessions import AsyncSessions
from receptor.client.conversations import Conversation, EndSending, ReadSome, Send, T
from receptor.client.outage import PATIENCE
from receptor.client.payloads import AsyncPayload, async_chunks
from receptor.client.replies import Event, Hop, NodeStatus, PingReply, ReloadReply
from receptor.client.tls_settings import TlsSettings
from receptor.client.unit_replies import Submitted, UnitResult, UnitStatus, parse_units
from receptor.errors import UnreachableError


class Client:
    """One node, and the mesh and the units of work that it knows.

    ``address`` is the path of the node's Unix socket, ``tcp://host:port`` or ``tls://host:port``, which ``tls`` says
    how to trust. To enter ``async with`` connects, so that a wrong address is noticed there.

    Every call has ``timeout``, in seconds, for the whole of it; without it those of the client hold, and if that has
    none, the node may be silent as long as it needs at most (30 seconds for what it knows, 15 for a ping).
    ``submit``, ``wait`` and what gives output or events have no limit unless the call itself is given one: they take as
    long as they take. For ``patience`` seconds a node may be out of reach, in a restart say, until ``wait`` and
    output give up; before that nothing is seen of it but the delay.

    Several tasks may use one client at once: each call has a connection for itself. A call that is cancelled closes its
    own. Errors, of every call: UnreachableError (try again), OperatingError and ConfigurationError (put something right
    on this machine), CommandError (the node refuses), PeerError (the node can't be understood), TimeExpired.
    """

    def __init__(
        self,
        address: str | os.PathLike[str] | Address,
        *,
        tls: TlsSettings | None = None,
        timeout: float | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._sessions = AsyncSessions(as_address(address), tls)
        self._timeout = timeout
        self._patience = patience
        self.node_id: str = ""
        """The id of the node, once the client has been entered."""

    def __repr__(self) -> str:
        return f"Client({str(self._sessions.address)!r})"

    async def __aenter__(self) -> Client:
        self._sessions.keeps = True
        self.node_id = await self._sessions.run(operations.reach(), self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use; a later call makes one of its own, and closes it."""
        self._sessions.close()

    def on(self, node: str, *, tls_client: str = "") -> Client:
        """A client of the control service of another node, over the mesh; ``tls_client`` secures the way there.

        To be entered and closed like any other. What it may do is up to the access rules of that node.
        """
        sessions = self._sessions
        other = Client(sessions.address, tls=sessions.tls, timeout=self._timeout, patience=self._patience)
        other._sessions.hops = (*sessions.hops, (node, tls_client))
        return other

    async def submit(
        self,
        work_type: str,
        payload: AsyncPayload = b"",
        *,
        node: str = "localhost",
        params: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        ttl: str | float = "",
        tls_client: str = "",
        sign: bool = False,
        idempotency_key: str = "",
        name: str = "",
        timeout: float | None = None,
    ) -> Unit:
        """Submit work, and return its unit when the node has the payload and has begun, or will begin, the work.

        The payload is sent as it comes: bytes, a text (as UTF-8), a ``Path``, a file opened for bytes, or an iterable
        of bytes, asynchronous or not. ``ttl``, in seconds or as ``"1h30m"``, is how long work for another node may
        wait for its start. Work submitted again with its ``idempotency_key`` is still one unit. ``name`` is a label for
        people, ``env`` are environment variables, both for nodes of ours. The others are as in Submission.

        If it is cancelled, or fails otherwise than by a refusal of the node, the unit is released, if the node can be
        reached; unless it has an idempotency key, with which the same submission may be made again.
        """
        submission = make_submission(work_type, node, params, env, ttl, tls_client, sign, idempotency_key, name)
        async with async_chunks(payload) as parts:
            submitted = await self._sessions.run(operations.submit(submission), timeout, parts)
        return Unit(self, submitted.unit_id, submitted)

    def unit(self, unit_id: str) -> Unit:
        """The unit of that id, whoever has submitted it; the node is not asked."""
        return Unit(self, unit_id)

    async def units(self, *, timeout: float | None = None) -> dict[str, UnitStatus]:
        """The status of every unit of the node, by unit id; the oldest first, as far as the node tells."""
        answer = await self._ask(conversations.units(), timeout)
        return {unit.unit_id: unit for unit in parse_units(answer)}

    async def status(self, *, timeout: float | None = None) -> NodeStatus:
        """What the node knows of itself and of the mesh."""
        return NodeStatus.parse(await self._ask(conversations.status(), timeout))

    async def ping(self, node: str, *, timeout: float | None = None) -> PingReply:
        """Whether another node answers over the mesh, and how fast; the node gives up after 10 seconds."""
        return await self._ask(conversations.ping(node), timeout)

    async def traceroute(self, node: str, *, timeout: float | None = None) -> list[Hop]:
        """The nodes on the way to another one. Each that does not answer costs 10 seconds, up to 30 are asked."""
        return await self._ask(conversations.traceroute(node), timeout)

    async def reload(self, *, timeout: float | None = None) -> ReloadReply:
        """Have the node read its configuration again."""
        return await self._ask(conversations.reload(), timeout)

    async def connect(
        self, node: str, service: str, *, tls_client: str = "", timeout: float | None = None
    ) -> ByteStream:
        """A stream of bytes to a service of a node, for the caller to close; CommandError if there is no way to it."""
        bridge = operations.bridge(node, service, tls_client)
        return ByteStream(await self._sessions.hand_over(bridge, self._time(timeout)))

    def events(self, *, timeout: float | None = None) -> AsyncGenerator[Event, None]:
        """What happens on the node and in its mesh from now on, one after the other.

        Raises CommandError if the node can't tell, as existing nodes can't, and UnreachableError when the connection
        breaks: what happens until one asks again is missed.
        """
        return self._sessions.stream(operations.events(), timeout)

    async def _ask(self, conversation: Conversation[T], timeout: float | None) -> T:
        return await self._sessions.run(operations.asked(conversation), self._time(timeout))

    def _time(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is None else timeout


class Unit:
    """A unit of work of the node that the client speaks to, wherever it runs; ``await unit`` waits for its end.

    It is no more than the unit's id: nothing happens to the work when it is dropped, and ``Client.unit`` makes another,
    in a later program too.
    """

    def __init__(self, client: Client, unit_id: str, submitted: Submitted | None = None) -> None:
        self._client = client
        self.unit_id = unit_id
        self.submitted = submitted
        """What the node said to the submission; None for a unit that was looked up by its id."""

    def __repr__(self) -> str:
        return f"Unit({self.unit_id!r})"

    def __await__(self) -> Generator[object, None, UnitResult]:
        return self.wait().__await__()

    async def wait(self, *, timeout: float | None = None) -> UnitResult:
        """Wait for the unit's end, also over restarts of the node; how it ended.

        Raises TimeExpired if it has not ended within ``timeout`` seconds. That, and being cancelled, leaves the
        unit running. Nodes of ours tell of the end at once, existing ones are asked up to every second.
        """
        client = self._client
        status = await client._sessions.run(operations.wait(self.unit_id, client._patience), timeout)
        return UnitResult.of(status)

    async def status(self, *, timeout: float | None = None) -> UnitStatus:
        """The unit's status now."""
        return UnitStatus.parse(await self._client._ask(conversations.unit_status(self.unit_id), timeout), self.unit_id)

    async def stdout(self, start: int = 0, *, timeout: float | None = None) -> AsyncGenerator[bytes, None]:
        """The unit's output from that byte on, as it comes, until the unit has ended.

        When the connection breaks, or the node restarts, it goes on with the byte that is next.
        """
        client = self._client
        stream = client._sessions.stream(operations.stdout(self.unit_id, start, client._patience), timeout)
        async with aclosing(stream):
            async for chunk in stream:
                yield chunk

    async def read_stdout(self, start: int = 0, *, timeout: float | None = None) -> bytes:
        """The whole output from that byte on, once the unit has ended; for output that fits into memory."""
        return b"".join([chunk async for chunk in self.stdout(start, timeout=timeout)])

    async def cancel(self, *, timeout: float | None = None) -> bool:
        """Stop the unit; whether that is done. If not, the node goes on trying as soon as the other one is in reach."""
        return await self._end("cancel", timeout)

    async def release(self, *, force: bool = False, timeout: float | None = None) -> bool:
        """Stop the unit and delete all that is kept of it; whether that is done, as with ``cancel``.

        With ``force`` it is deleted from this node even if the one that runs it can't be reached.
        """
        return await self._end("force-release" if force else "release", timeout)

    async def _end(self, verb: str, timeout: float | None) -> bool:
        return is_done(await self._client._ask(conversations.end_unit(verb, self.unit_id), timeout))


class ByteStream:
    """A stream of bytes to a service of the mesh; to be closed, or used in ``async with``.

    One task may read while another writes.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def __aenter__(self) -> ByteStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Everything that the service sends, as it comes."""
        while data := await self.read():
            yield data

    async def read(self, *, timeout: float | None = None) -> bytes:
        """The next bytes as soon as there are any; empty when the service has ended its side."""
        try:
            return await self._connection.do(ReadSome(timeout))
        except UnreachableError as error:
            raise in_callers_words(error) from error

    async def write(self, data: bytes, *, timeout: float | None = None) -> None:
        """Send all of it."""
        try:
            await self._connection.do(Send(data, timeout))
        except UnreachableError as error:
            raise in_callers_words(error) from error

    async def end_writing(self) -> None:
        """Tell the service that nothing more comes; what it answers can still be read."""
        await self._connection.do(EndSending())

    def close(self) -> None:
        """End the stream; safe to call again."""
        self._connection.close()
