"""``SyncClient``: what programs without asyncio use, with the names and the meaning of ``client``."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from types import TracebackType

from receptor.client import conversations, operations
from receptor.client.address import Address
from receptor.client.arguments import as_address, in_callers_words, is_done, make_submission
from receptor.client.connection import Connection
from receptor.client.conversations import Conversation, EndSending, ReadSome, Send, T
from receptor.client.outage import PATIENCE
from receptor.client.payloads import Payload, chunks
from receptor.client.replies import Event, Hop, NodeStatus, PingReply, ReloadReply
from receptor.client.sessions import Sessions
from receptor.client.tls_settings import TlsSettings
from receptor.client.unit_replies import Submitted, UnitResult, UnitStatus, parse_units
from receptor.errors import UnreachableError


class SyncClient:
    """What ``Client`` is, for programs without asyncio: the same calls, arguments and errors, but the calls block.

    ``with`` connects. Several threads may use one at once: each call has a connection for itself. Ctrl-C does what
    cancelling does: it ends a submission with its unit, and leaves a unit that is waited for running.
    """

    def __init__(
        self,
        address: str | os.PathLike[str] | Address,
        *,
        tls: TlsSettings | None = None,
        timeout: float | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._sessions = Sessions(as_address(address), tls)
        self._timeout = timeout
        self._patience = patience
        self.node_id: str = ""
        """The id of the node, once the client has been entered."""

    def __repr__(self) -> str:
        return f"SyncClient({str(self._sessions.address)!r})"

    def __enter__(self) -> SyncClient:
        self._sessions.keeps = True
        self.node_id = self._sessions.run(operations.reach(), self._timeout)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use; a later call makes one of its own, and closes it."""
        self._sessions.close()

    def on(self, node: str, *, tls_client: str = "") -> SyncClient:
        """A client of the control service of another node, over the mesh; ``tls_client`` secures the way there.

        To be entered and closed like any other. What it may do is up to the access rules of that node.
        """
        sessions = self._sessions
        other = SyncClient(sessions.address, tls=sessions.tls, timeout=self._timeout, patience=self._patience)
        other._sessions.hops = (*sessions.hops, (node, tls_client))
        return other

    def submit(
        self,
        work_type: str,
        payload: Payload = b"",
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
    ) -> SyncUnit:
        """Submit work, and return its unit when the node has the payload; as ``Client.submit``.

        ``timeout`` is not looked at while the payload's own file or iterable is read.
        """
        submission = make_submission(work_type, node, params, env, ttl, tls_client, sign, idempotency_key, name)
        with chunks(payload) as parts:
            submitted = self._sessions.run(operations.submit(submission), timeout, parts)
        return SyncUnit(self, submitted.unit_id, submitted)

    def unit(self, unit_id: str) -> SyncUnit:
        """The unit of that id, whoever has submitted it; the node is not asked."""
        return SyncUnit(self, unit_id)

    def units(self, *, timeout: float | None = None) -> dict[str, UnitStatus]:
        """The status of every unit of the node, by unit id; the oldest first, as far as the node tells."""
        answer = self._ask(conversations.units(), timeout)
        return {unit.unit_id: unit for unit in parse_units(answer)}

    def status(self, *, timeout: float | None = None) -> NodeStatus:
        """What the node knows of itself and of the mesh."""
        return NodeStatus.parse(self._ask(conversations.status(), timeout))

    def ping(self, node: str, *, timeout: float | None = None) -> PingReply:
        """Whether another node answers over the mesh, and how fast; the node gives up after 10 seconds."""
        return self._ask(conversations.ping(node), timeout)

    def traceroute(self, node: str, *, timeout: float | None = None) -> list[Hop]:
        """The nodes on the way to another one. Each that does not answer costs 10 seconds, up to 30 are asked."""
        return self._ask(conversations.traceroute(node), timeout)

    def reload(self, *, timeout: float | None = None) -> ReloadReply:
        """Have the node read its configuration again."""
        return self._ask(conversations.reload(), timeout)

    def connect(self, node: str, service: str, *, tls_client: str = "", timeout: float | None = None) -> SyncByteStream:
        """A stream of bytes to a service of a node, for the caller to close; CommandError if there is no way to it."""
        bridge = operations.bridge(node, service, tls_client)
        return SyncByteStream(self._sessions.hand_over(bridge, self._time(timeout)))

    def events(self, *, timeout: float | None = None) -> Generator[Event, None, None]:
        """What happens on the node and in its mesh from now on, one after the other.

        Raises CommandError if the node can't tell, as existing nodes can't, and UnreachableError when the connection
        breaks: what happens until one asks again is missed.
        """
        return self._sessions.stream(operations.events(), timeout)

    def _ask(self, conversation: Conversation[T], timeout: float | None) -> T:
        return self._sessions.run(operations.asked(conversation), self._time(timeout))

    def _time(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is None else timeout


class SyncUnit:
    """A unit of work of the node that the client speaks to, wherever it runs; no more than its id, as ``Unit``."""

    def __init__(self, client: SyncClient, unit_id: str, submitted: Submitted | None = None) -> None:
        self._client = client
        self.unit_id = unit_id
        self.submitted = submitted
        """What the node said to the submission; None for a unit that was looked up by its id."""

    def __repr__(self) -> str:
        return f"SyncUnit({self.unit_id!r})"

    def wait(self, *, timeout: float | None = None) -> UnitResult:
        """Wait for the unit's end, also over restarts of the node; how it ended.

        Raises TimeExpired if it has not ended within ``timeout`` seconds; that leaves the unit running.
        """
        client = self._client
        status = client._sessions.run(operations.wait(self.unit_id, client._patience), timeout)
        return UnitResult.of(status)

    def status(self, *, timeout: float | None = None) -> UnitStatus:
        """The unit's status now."""
        return UnitStatus.parse(self._client._ask(conversations.unit_status(self.unit_id), timeout), self.unit_id)

    def stdout(self, start: int = 0, *, timeout: float | None = None) -> Generator[bytes, None, None]:
        """The unit's output from that byte on, as it comes, until the unit has ended.

        When the connection breaks, or the node restarts, it goes on with the byte that is next.
        """
        client = self._client
        stream = operations.stdout(self.unit_id, start, client._patience)
        return client._sessions.stream(stream, timeout)

    def read_stdout(self, start: int = 0, *, timeout: float | None = None) -> bytes:
        """The whole output from that byte on, once the unit has ended; for output that fits into memory."""
        return b"".join(self.stdout(start, timeout=timeout))

    def cancel(self, *, timeout: float | None = None) -> bool:
        """Stop the unit; whether that is done. If not, the node goes on trying as soon as the other one is in reach."""
        return self._end("cancel", timeout)

    def release(self, *, force: bool = False, timeout: float | None = None) -> bool:
        """Stop the unit and delete all that is kept of it; whether that is done, as with ``cancel``.

        With ``force`` it is deleted from this node even if the one that runs it can't be reached.
        """
        return self._end("force-release" if force else "release", timeout)

    def _end(self, verb: str, timeout: float | None) -> bool:
        return is_done(self._client._ask(conversations.end_unit(verb, self.unit_id), timeout))


class SyncByteStream:
    """A stream of bytes to a service of the mesh; to be closed, or used in ``with``.

    One thread may read while another writes, if neither has a ``timeout``; close it when neither does any more.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> SyncByteStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        """Everything that the service sends, as it comes."""
        while data := self.read():
            yield data

    def read(self, *, timeout: float | None = None) -> bytes:
        """The next bytes as soon as there are any; empty when the service has ended its side."""
        try:
            return self._connection.do(ReadSome(timeout))
        except UnreachableError as error:
            raise in_callers_words(error) from error

    def write(self, data: bytes, *, timeout: float | None = None) -> None:
        """Send all of it."""
        try:
            self._connection.do(Send(data, timeout))
        except UnreachableError as error:
            raise in_callers_words(error) from error

    def end_writing(self) -> None:
        """Tell the service that nothing more comes; what it answers can still be read."""
        self._connection.do(EndSending())

    def close(self) -> None:
        """End the stream; safe to call again."""
        self._connection.close()
