"""What is known of a node, its socket and its mesh before anybody judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from receptor.client.fields import JsonObject, as_list, as_object, field_of, number_if_any
from receptor.client.replies import NodeStatus
from receptor.client.unit_replies import UnitStatus
from receptor.ctl.moments import parse_moment

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
        told_at = parse_moment(field_of(answer, "Time", str))
        folder = field_of(answer, "DataFolder", dict)
        return cls(
            node_id=field_of(answer, "NodeID", str),
            version=field_of(answer, "Version", str),
            clock_offset=None if told_at is None else _offset(told_at, asked_at, answered_at),
            started=parse_moment(field_of(answer, "StartTime", str)),
            certificates=_certificates(answer.get("Certificates")),
            data_folder=field_of(folder, "Path", str),
            free_mib=number_if_any(folder, "FreeMiB"),
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
    units: tuple[UnitStatus, ...] = ()
    units_trouble: str = ""


def _offset(told_at: float, asked_at: float, answered_at: float) -> float:
    return min(told_at - asked_at, 0.0) + max(told_at - answered_at, 0.0)


def _certificates(value: object) -> tuple[Certificate, ...] | None:
    if value is None:
        return None
    return tuple(_certificate(as_object(one, "Certificates")) for one in as_list(value, "Certificates"))


def _certificate(fields: JsonObject) -> Certificate:
    return Certificate(
        name=field_of(fields, "Name", str),
        subject=field_of(fields, "Subject", str),
        node_ids=tuple(map(str, field_of(fields, "NodeIDs", list))),
        not_before=parse_moment(field_of(fields, "NotBefore", str)),
        not_after=parse_moment(field_of(fields, "NotAfter", str)),
        file=field_of(fields, "File", str),
    )
