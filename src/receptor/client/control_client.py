"""The commands of the control protocol to one node, one blocking method each."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO

from receptor.client import conversations
from receptor.client.address import Address
from receptor.client.connection import CHUNK_BYTES, Connection, connect
from receptor.client.conversations import ANSWER_SECONDS, Conversation, T
from receptor.client.fields import JsonObject
from receptor.client.replies import Event, Hop, PingReply, ReloadReply
from receptor.client.submission import Submission
from receptor.client.tls_settings import TlsSettings
from receptor.client.unit_replies import Submitted
from receptor.errors import OperatingError, ReceptorError


class ControlClient:
    """Commands to one node, over a connection that is made when first needed and kept.

    Every method may raise the errors of ``connection.connect`` and those of the conversations: CommandError if the
    node refuses (UnknownUnit, UnknownWorkType and LimitReached where that is why), UnreachableError if the connection
    ends or the answer does not come in time, PeerError if the answer can't be understood. Not for several threads.
    """

    def __init__(self, address: Address, tls: TlsSettings | None = None) -> None:
        self._address = address
        self._tls = tls
        self._connection: Connection | None = None

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection if there is one; the next command makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def connect(self) -> Connection:
        """The connection, greeted; for those who want to find out early that there is none."""
        if self._connection is None:
            self._connection = connect(self._address, self._tls)
        return self._connection

    def ask(self, command: JsonObject, seconds: float = ANSWER_SECONDS) -> JsonObject:
        """The node's answer to a command, as it came."""
        return self._hold(conversations.ask(command, seconds))

    def status(self, *fields: str) -> JsonObject:
        """What the node knows of itself and the mesh, or just those fields of it; see NodeStatus."""
        return self._hold(conversations.status(*fields))

    def version(self) -> str:
        """The version that the node runs."""
        return self._hold(conversations.version())

    def ping(self, node: str) -> PingReply:
        return self._hold(conversations.ping(node))

    def traceroute(self, node: str) -> list[Hop]:
        return self._hold(conversations.traceroute(node))

    def reload(self) -> ReloadReply:
        return self._hold(conversations.reload())

    def bridge(self, node: str, service: str, tls_client: str = "") -> Connection:
        """A connection to a stream service of a node; the caller closes it."""
        connection = self.connect()
        connection.hold(conversations.bridge(connection.node_id, node, service, tls_client))
        self._connection = None
        return connection

    def go_to(self, node: str, tls_client: str = "") -> None:
        """Send the next commands, over the mesh, to the control service of another node."""
        connection = self.connect()
        connection.node_id = connection.hold(conversations.go_to(connection.node_id, node, tls_client))

    def units(self, unit_id: str = "") -> JsonObject:
        """The status of every unit, or of one, by unit id."""
        return self._hold(conversations.units(unit_id))

    def unit_status(self, unit_id: str) -> JsonObject:
        """The status of a unit; see UnitStatus."""
        return self._hold(conversations.unit_status(unit_id))

    def end_unit(self, verb: str, unit_id: str) -> str:
        """``cancel``, ``release`` or ``force-release`` a unit; what came of it, such as ``release pending``."""
        return self._hold(conversations.end_unit(verb, unit_id))

    def submit(self, submission: Submission) -> Upload:
        """Create a unit of work; it starts once the upload of its payload is finished."""
        connection = self.connect()
        unit_id = connection.hold(conversations.begin_submit(submission))
        self._connection = None
        return Upload(self, connection, unit_id, has_key=bool(submission.idempotency_key))

    def results(self, unit_id: str, start: int = 0) -> Iterator[bytes]:
        """The unit's output from that byte on, as it comes, until the node ends the stream; waits for ever.

        The node ends it after the unit's end, but also when it is stopped itself: ``results_error`` tells.
        """
        connection = self.connect()
        connection.hold(conversations.begin_results(unit_id, start))
        self._connection = None
        with connection:
            while chunk := connection.read_some():
                yield chunk

    def events(self) -> Iterator[Event]:
        """What happens on the node and in its mesh from now on, as it happens; waits for ever.

        Raises CommandError if the node can't tell, UnreachableError when it goes away.
        """
        connection = self.connect()
        connection.hold(conversations.begin_events())
        self._connection = None
        with connection:
            while True:
                yield connection.hold(conversations.next_event())

    @property
    def address(self) -> Address:
        """Where the node's control service listens."""
        return self._address

    def _hold(self, conversation: Conversation[T]) -> T:
        return self.connect().hold(conversation)


class Upload:
    """The payload of a new unit on its way to the node.

    Either ``send`` and ``finish``, or ``abandon``; the connection is closed in both cases, and if it breaks.
    """

    def __init__(self, client: ControlClient, connection: Connection, unit_id: str, *, has_key: bool) -> None:
        self._client = client
        self._connection = connection
        self.unit_id = unit_id
        self.has_key = has_key
        """Whether the unit has an idempotency key, so that it may be one which runs since an earlier submission."""

    def send(self, payload: bytes | BinaryIO) -> None:
        """Send the payload in chunks as they come; nothing of a file may have been read through its buffer.

        Raises OperatingError if the file can't be read to its end, CommandError if the node refuses the payload
        midway, UnreachableError if the connection breaks.
        """
        for chunk in (payload,) if isinstance(payload, bytes) else read_chunks(payload.fileno(), "the payload"):
            try:
                self._connection.hold(conversations.send_payload(self.unit_id, chunk))
            except ReceptorError:
                self._connection.close()
                raise

    def finish(self) -> Submitted:
        """End the payload and wait, without limit, until the node has passed it on and started the unit."""
        with self._connection as connection:
            return connection.hold(conversations.finish_submit(self.unit_id))

    def abandon(self) -> None:
        """Release the unit while the node still waits for its payload, so that half of one never runs.

        One with an idempotency key is not released, as it may run since an earlier submission: the connection is
        aborted, and a node that knows such keys starts nothing. Raises ReceptorError if the node can't be asked to
        release; the unit then gets an aborted connection.
        """
        try:
            if not self.has_key:
                self._client.end_unit("release", self.unit_id)
        finally:
            self._connection.abort()


def read_chunks(descriptor: int, name: str) -> Iterator[bytes]:
    """What can be read from a file descriptor, as it comes; raises OperatingError if it can't be read to its end."""
    while True:
        try:
            chunk = os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:  # another program that shares our standard input has made it so
            select.select([descriptor], [], [])
            continue
        except OSError as error:
            raise OperatingError(f"can't read {name} to its end: {error.strerror}") from error
        if not chunk:
            return
        yield chunk
