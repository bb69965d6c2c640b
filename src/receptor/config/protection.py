"""The actions that protect a node: who may do what on it, what is written down of that, how much it takes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from receptor.config import kinds
from receptor.config.keys import About, Action, written
from receptor.config.kinds import Network, Right
from receptor.netceptor.limits import MeshLimits
from receptor.workceptor.limits import WorkLimits


@dataclass(frozen=True, slots=True)
class AccessRule(Action):
    """What some nodes and TCP clients may do here. ``work_types`` None: every work type that runs on this node."""

    about = About(
        "access-rule",
        "Says which nodes and TCP clients may do what; others may nothing.",
        "- access-rule:\n    nodes: [controller*]\n    allow: [submit, list, results, cancel, release]\n"
        "    worktypes: [count]",
    )

    allow: frozenset[Right] = field(
        metadata=written("allow", kinds.RIGHTS, "What they may do.", main=True),
    )
    nodes: frozenset[str] = field(
        default_factory=frozenset,
        metadata=written("nodes", kinds.NODE_PATTERNS, "The nodes that may."),
    )
    tcp_clients: frozenset[Network] = field(
        default_factory=frozenset,
        metadata=written("tcpclients", kinds.NETWORKS, "Where clients of 'tcplisten' may be."),
    )
    work_types: frozenset[str] | None = field(
        default=None,
        metadata=written(
            "worktypes",
            kinds.WORK_TYPE_PATTERNS,
            "What they may submit; 'remote' is work for other nodes.",
            default="all but 'remote'",
        ),
    )
    any_units: bool = field(
        default=False,
        metadata=written("anyunits", kinds.BOOLEAN, "Whether they may do it to units of other submitters too."),
    )


@dataclass(frozen=True, slots=True)
class Audit(Action):
    """A file with a line for each command that changes something or is refused."""

    about = About(
        "audit",
        "Writes who did what on this node, and who was refused, to a file.",
        "- audit: /var/log/receptor/audit.log",
        once=True,
    )

    file: Path = field(
        metadata=written("file", kinds.PATH, "The file; lines are added, whatever the log level is.", main=True),
    )


_WORK = WorkLimits()
_MESH = MeshLimits()


@dataclass(frozen=True, slots=True)
class Limits(Action):
    """How much of a node others may take, in numbers and bytes.

    Local clients and others are counted apart in ``clients``, so that no stranger locks out the operator. A node that
    follows one of its units here has two sessions.
    """

    about = About(
        "limits",
        "Bounds what others may take of this node.",
        "- limits:\n    payload: 2GiB\n    running: 500",
        once=True,
    )

    units: int = field(
        default=_WORK.units,
        metadata=written("units", kinds.COUNT, "Units of work on disk."),
    )
    running: int = field(
        default=_WORK.running,
        metadata=written("running", kinds.COUNT, "Units of one submitter that have not ended."),
    )
    payload: int = field(
        default=_WORK.payload,
        metadata=written("payload", kinds.SIZE, "Bytes of a unit's payload."),
    )
    clients: int = field(
        default=20_000,
        metadata=written("clients", kinds.COUNT, "Control sessions at once over mesh and TCP; as many local ones."),
    )
    control_line: int = field(
        default=1024 * 1024,
        metadata=written("controlline", kinds.SIZE, "Bytes of a command and its parameters."),
    )
    sessions: int = field(
        default=_MESH.sessions,
        metadata=written("sessions", kinds.COUNT, "Links with other nodes, those not set up yet included."),
    )
    unlinked_sessions: int = field(
        default=_MESH.unlinked_sessions,
        metadata=written("unlinkedsessions", kinds.COUNT, "Links that others have begun and not set up yet."),
    )
    link_backlog: int = field(
        default=_MESH.link_backlog,
        metadata=written("linkbacklog", kinds.SIZE, "Bytes waiting on a link above which it is given up."),
    )
    nodes: int = field(
        default=_MESH.nodes,
        metadata=written("nodes", kinds.COUNT, "Nodes of the mesh."),
    )
    edges: int = field(
        default=_MESH.edges,
        metadata=written("edges", kinds.COUNT, "Links of the whole mesh, each counted at both of its ends."),
    )
    dialled_streams: int = field(
        default=_MESH.dialled_streams,
        metadata=written("dialledstreams", kinds.COUNT, "Streams over the mesh that this node has begun."),
    )
    accepted_streams: int = field(
        default=_MESH.accepted_streams,
        metadata=written("acceptedstreams", kinds.COUNT, "Streams over the mesh that others have begun to us."),
    )
    unopened_streams: int = field(
        default=_MESH.unopened_streams,
        metadata=written("unopenedstreams", kinds.COUNT, "Those of them that are not set up yet."),
    )

    @property
    def work(self) -> WorkLimits:
        """The limits of units of work."""
        return WorkLimits(units=self.units, running=self.running, payload=self.payload)

    @property
    def mesh(self) -> MeshLimits:
        """The limits of the mesh."""
        return MeshLimits(
            unlinked_sessions=self.unlinked_sessions,
            sessions=self.sessions,
            link_backlog=self.link_backlog,
            nodes=self.nodes,
            edges=self.edges,
            dialled_streams=self.dialled_streams,
            accepted_streams=self.accepted_streams,
            unopened_streams=self.unopened_streams,
        )
