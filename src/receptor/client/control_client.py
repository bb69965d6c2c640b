"""The commands of the control protocol, one method each."""

from __future__ import annotations

import json
import os
import re
import select
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO

from receptor.client.address import Address
from receptor.client.connection import CHUNK_BYTES, Connection, connect
from receptor.client.replies import (
    Event,
    Hop,
    JsonObject,
    NodeStatus,
    PingReply,
    ReloadReply,
    Submitted,
    UnitStatus,
)
from receptor.client.tls_settings import TlsSettings
from receptor.errors import (
    CommandError,
    ConfigurationError,
    OperatingError,
    PeerError,
    ReceptorError,
    UnknownUnit,
    UnknownWorkType,
    UnreachableError,
)

ANSWER_SECONDS = 30.0
"""The wait for what a node knows by itself."""

PING_SECONDS = 15.0
"""The node gives up a ping after 10 seconds."""

REMOTE_SECONDS = 120.0
"""The wait where the node may have to reach another first, or to start its backends again."""

TRACEROUTE_SECONDS = 330.0
"""A node asks up to 30 hops, 10 seconds each."""

_CREATED = re.compile(r"Work unit created with ID (\S+)\. Send stdin data and EOF\.")
_WANTS_TLS = "insecure connection to secure service"
_UNKNOWN_UNIT = "unknown work unit "
_UNKNOWN_WORK_TYPE = "unknown work type "


@dataclass(frozen=True)
class Submission:
    """What to run and where; an empty text means that it is not given.

    ``ttl`` is a duration such as ``1h30m`` within which remote work must start. With the same ``idempotency_key``
    the same submission may be made again: it means the same unit. ``params`` may hold secrets, so they are not
    shown by repr.
    """

    work_type: str
    node: str = "localhost"
    tls_client: str = ""
    ttl: str = ""
    sign: bool = False
    idempotency_key: str = ""
    params: Mapping[str, str] = field(default_factory=dict, repr=False)

    def command(self) -> JsonObject:
        """The JSON command; raises ConfigurationError if a parameter has the name of one of its own keys."""
        command: JsonObject = {"command": "work", "subcommand": "submit", "node": self.node, "worktype": self.work_type}
        optional = {"tlsclient": self.tls_client, "ttl": self.ttl, "signwork": "true" if self.sign else ""}
        optional["idempotencykey"] = self.idempotency_key
        command.update({key: value for key, value in optional.items() if value})
        for name, value in self.params.items():
            if name in command:
                raise ConfigurationError(f"{name!r} can't be a parameter of work: it is set already; leave it out")
            command[name] = value
        return command


class ControlClient:
    """Commands to one node, over a connection that is made when first needed and kept.

    Every method may raise the errors of ``connection.connect``, CommandError if the node refuses (UnknownUnit
    and UnknownWorkType where that is why), UnreachableError if the connection ends or the answer does not come
    in time, PeerError if the answer can't be understood. Not for use by several threads.
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
        connection = self.connect()
        connection.send(_line(command))
        return _parse(connection.read_line(f"the answer to {_name(command)}", seconds))

    def status(self, *fields: str) -> JsonObject:
        """What the node knows of itself and the mesh, or just those fields of it; see NodeStatus."""
        return self.ask({"command": "status", **({"requested_fields": list(fields)} if fields else {})})

    def version(self) -> str:
        """The version that the node runs."""
        return NodeStatus.parse(self.ask({"command": "status", "requested_fields": ["Version"]})).version

    def ping(self, node: str) -> PingReply:
        return PingReply.parse(self.ask({"command": "ping", "target": node}, PING_SECONDS))

    def traceroute(self, node: str) -> list[Hop]:
        return Hop.parse_all(self.ask({"command": "traceroute", "target": node}, TRACEROUTE_SECONDS))

    def reload(self) -> ReloadReply:
        return ReloadReply.parse(self.ask({"command": "reload"}, REMOTE_SECONDS))

    def bridge(self, node: str, service: str, tls_client: str = "") -> Connection:
        """A connection to a stream service of a node; the caller closes it."""
        connection = self.connect()
        connection.send(_line({"command": "connect", "node": node, "service": service, "tls": tls_client}))
        answer = connection.read_line(f"the connection to {service} of {node}", REMOTE_SECONDS)
        if not answer.startswith("Connecting"):
            reason = str(_refusal(answer))
            raise CommandError(
                f"{connection.node_id} can't connect to the service {service} of {node}: {reason}{_advice(reason)}"
            )
        self._connection = None
        return connection

    def go_to(self, node: str, tls_client: str = "") -> None:
        """Send the next commands, over the mesh, to the control service of another node."""
        connection = self.bridge(node, "control", tls_client)
        self._connection = connection
        connection.read_greeting(REMOTE_SECONDS)

    def units(self, unit_id: str = "") -> JsonObject:
        """The status of every unit, or of one, by unit id."""
        command: JsonObject = {"command": "work", "subcommand": "list"}
        return self.ask(command | {"unitid": unit_id} if unit_id else command)

    def unit_status(self, unit_id: str) -> JsonObject:
        """The status of a unit; see UnitStatus."""
        return self.ask({"command": "work", "subcommand": "status", "unitid": unit_id})

    def end_unit(self, verb: str, unit_id: str) -> str:
        """``cancel``, ``release`` or ``force-release`` a unit; what came of it, such as ``release pending``."""
        answer = self.ask({"command": "work", "subcommand": verb, "unitid": unit_id}, REMOTE_SECONDS)
        for outcome, unit in answer.items():
            if unit == unit_id:
                return outcome
        raise PeerError(f"the node's answer to work {verb} does not say what became of unit {unit_id}")

    def submit(self, submission: Submission) -> Upload:
        """Create a unit of work; it starts once the upload of its payload is finished."""
        connection = self.connect()
        connection.send(_line(submission.command()))
        answer = connection.read_line("the id of the new unit", ANSWER_SECONDS)
        created = _CREATED.fullmatch(answer)
        if created is None:
            raise _refusal(answer)
        self._connection = None
        return Upload(self, connection, created[1], has_key=bool(submission.idempotency_key))

    def results(self, unit_id: str, start: int = 0) -> Iterator[bytes]:
        """The unit's output from that byte on, as it comes, until the node ends the stream; waits for ever.

        The node ends it after the unit's end, but also when it is stopped itself: ``results_error`` tells.
        """
        connection = self.connect()
        connection.send(_line({"command": "work", "subcommand": "results", "unitid": unit_id, "startpos": start}))
        answer = connection.read_line(f"the results of unit {unit_id}", ANSWER_SECONDS)
        if not answer.startswith("Streaming results for work unit"):
            raise _refusal(answer)
        self._connection = None
        with connection:
            while chunk := connection.read_some():
                yield chunk

    def events(self) -> Iterator[Event]:
        """What happens on the node and in its mesh from now on, as it happens; waits for ever.

        Raises CommandError if the node can't tell, UnreachableError when it goes away.
        """
        connection = self.connect()
        connection.send(_line({"command": "events"}))
        answer = connection.read_line("the answer to events", ANSWER_SECONDS)
        if "unknown command" in answer.lower():
            raise CommandError("this node does not tell events: existing nodes can't, nor can older ones of ours")
        if not answer.startswith("Streaming events"):
            raise _refusal(answer)
        self._connection = None
        with connection:
            while True:
                yield Event.parse(_parse(connection.read_line("the next event", None)))

    @property
    def address(self) -> Address:
        """Where the node's control service listens."""
        return self._address


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
                self._connection.send(chunk)
            except UnreachableError as error:
                with self._connection:
                    self._raise_refusal()
                raise UnreachableError(f"unit {self.unit_id} got only part of its payload: {error}") from error

    def finish(self) -> Submitted:
        """End the payload and wait, without limit, until the node has passed it on and started the unit.

        The wait has no limit because a payload may be large and the way to the other node slow.
        """
        with self._connection as connection:
            try:
                connection.close_write()
            except UnreachableError:
                self._raise_refusal()
                raise
            answer = connection.read_line(f"what became of unit {self.unit_id}", None)
        try:
            return Submitted.parse(_parse(answer))
        except CommandError as error:
            raise CommandError(
                f"unit {self.unit_id} was created, but the node could not start it: {error}; release it when you have "
                "seen its status"
            ) from error

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

    def _raise_refusal(self) -> None:
        """Prefer what the node said before it closed the connection to the broken connection itself."""
        try:
            answer = self._connection.read_line("a reason", 1.0)
        except ReceptorError:
            return
        raise _refusal(answer)


def results_error(status: UnitStatus, received: int) -> str:
    """Why the end of a stream of results, with that many bytes received, is not the end of the output; or empty."""
    if not status.ended:
        return f"the node ended the stream after {received} bytes, but the unit goes on"
    if received < status.stdout_size:
        return f"the node ended the stream after {received} of {status.stdout_size} bytes"
    return ""


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


def _line(command: JsonObject) -> bytes:
    return json.dumps(command).encode() + b"\n"


def _name(command: JsonObject) -> str:
    return " ".join(str(command[key]) for key in ("command", "subcommand") if key in command)


def _parse(answer: str) -> JsonObject:
    if answer.startswith("ERROR"):
        raise _refusal(answer)
    try:
        parsed = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"the node's answer {answer[:60]!r} is not JSON; is its version compatible?") from error
    if not isinstance(parsed, dict):
        raise PeerError(f"the node's answer {answer[:60]!r} is not a JSON object; is its version compatible?")
    return parsed


def _advice(reason: str) -> str:
    """What to do about a service that can't be reached, where the reason does not say that itself."""
    if _WANTS_TLS in reason:
        return "; --tls-client takes the name of one that this node has"
    if any(word in reason for word in ("TLS", "tls-client", "certificate")):
        return ""
    return "; 'receptorctl status' shows the routes and services that it knows"


def _refusal(answer: str) -> ReceptorError:
    """The error for an ``ERROR: <text>`` line, or for a line that has no place in the protocol."""
    if not answer.startswith("ERROR"):
        return PeerError(f"the node answers {answer[:60]!r}, which is not expected here; is its version compatible?")
    text = answer.removeprefix("ERROR").lstrip(": ").strip()
    if text.startswith(_UNKNOWN_UNIT):
        return UnknownUnit(text.removeprefix(_UNKNOWN_UNIT))
    if text.startswith(_UNKNOWN_WORK_TYPE):
        return UnknownWorkType(text.removeprefix(_UNKNOWN_WORK_TYPE))
    return CommandError(text or "the node refuses without a reason; see its log")
