"""What is known of a node, its socket and its mesh before anybody judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from receptor.client.replies import JsonObject, NodeStatus
from receptor.ctl.moments import parse_moment
from receptor.ctl.unit_details import UnitDetails
from receptor.errors import PeerError

PREFIX = "RECEPTORCTL_"
"""How variables of the environment begin that are meant for receptorctl."""

NODE_FIELDS = ("NodeID", "Version", "Time", "StartTime", "Certificates", "DataFolder")
"""The fields of ``status`` that ``NodeFacts`` are made of."""


@dataclass(frozen=True)
class Variable:
    """A variable of the environment that receptorctl reads, or that looks as if it should."""

    name: str
    value: str
    is_file: bool
    """Whether it names something that must exist: a socket or a file."""
    exists: bool


@dataclass(frozen=True)
class SocketFile:
    """A Unix socket, or what is in its place. ``who`` is the user that runs receptorctl."""

    path: str
    folder_is_open: bool
    """Whether we may look into its folder, so that the rest is known."""
    exists: bool = False
    is_socket: bool = False
    mode: int = 0
    owner: str = ""
    group: str = ""
    who: str = ""
    may_use: bool = False
    others: tuple[str, ...] = ()
    """Other control sockets that lie about."""


@dataclass(frozen=True)
class Certificate:
    """A certificate that a node uses; the times are seconds since 1970, None if the node does not tell."""

    name: str
    subject: str
    node_ids: tuple[str, ...]
    not_before: float | None
    not_after: float | None
    file: str


@dataclass(frozen=True)
class NodeFacts:
    """What a node tells of itself, or why it does not."""

    node_id: str
    trouble: str = ""
    """Why its control service could not be asked."""
    ping_trouble: str = ""
    wants_tls: bool = False
    """Whether it was not asked, as its control service wants TLS, and nobody has named a tls-client."""
    version: str = ""
    clock_offset: float | None = None
    """Seconds that its clock is ahead of ours, 0 if the difference is within the time that the answer took."""
    started: float | None = None
    certificates: tuple[Certificate, ...] | None = None
    data_folder: str = ""
    free_mib: int | None = None

    @classmethod
    def parse(cls, answer: JsonObject, asked_at: float, answered_at: float) -> NodeFacts:
        """From an answer with NODE_FIELDS; raises PeerError if they are not as they must be."""
        told_at = parse_moment(_text(answer, "Time"))
        folder = _object(answer.get("DataFolder"), "DataFolder")
        free = folder.get("FreeMiB")
        return cls(
            node_id=_text(answer, "NodeID"),
            version=_text(answer, "Version"),
            clock_offset=None if told_at is None else _offset(told_at, asked_at, answered_at),
            started=parse_moment(_text(answer, "StartTime")),
            certificates=_certificates(answer.get("Certificates")),
            data_folder=_text(folder, "Path"),
            free_mib=free if isinstance(free, int) else None,
        )


@dataclass(frozen=True)
class Facts:
    """All that the checks go by. ``now`` is our clock, in seconds since 1970."""

    now: float
    our_version: str
    known_variables: tuple[str, ...] = ()
    """Those that receptorctl reads."""
    variables: tuple[Variable, ...] = ()
    """Those that are set."""
    address: str = ""
    socket: SocketFile | None = None
    trouble: str = ""
    """Why the node could not be asked; empty if it was."""
    status: NodeStatus | None = None
    own: NodeFacts | None = None
    others: Mapping[str, NodeFacts] = field(default_factory=dict)
    """The nodes in reach that were asked, by their ids."""
    units: tuple[UnitDetails, ...] = ()
    units_trouble: str = ""


def _offset(told_at: float, asked_at: float, answered_at: float) -> float:
    return min(told_at - asked_at, 0.0) + max(told_at - answered_at, 0.0)


def _certificates(value: object) -> tuple[Certificate, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise _unexpected("Certificates")
    return tuple(_certificate(_object(one, "Certificates")) for one in value)


def _certificate(fields: JsonObject) -> Certificate:
    node_ids = fields.get("NodeIDs") or []
    if not isinstance(node_ids, list):
        raise _unexpected("NodeIDs")
    return Certificate(
        name=_text(fields, "Name"),
        subject=_text(fields, "Subject"),
        node_ids=tuple(map(str, node_ids)),
        not_before=parse_moment(_text(fields, "NotBefore")),
        not_after=parse_moment(_text(fields, "NotAfter")),
        file=_text(fields, "File"),
    )


def _text(fields: JsonObject, name: str) -> str:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    raise _unexpected(name)


def _object(value: object, name: str) -> JsonObject:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise _unexpected(name)


def _unexpected(name: str) -> PeerError:
    return PeerError(f"the node's status has a {name} that this receptorctl can't read; are the versions compatible?")
