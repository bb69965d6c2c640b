"""The actions that protect a node: who may do what on it, what is written down of that, how much it takes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from receptor.config import kinds
from receptor.config.keys import About, Action, written
from receptor.config.kinds import Network, Right
from receptor.netceptor.limits import MeshLimits
from receptor.workceptor.limits import WorkLimits


class AccessRule(Action, frozen=True):
    """What some nodes and TCP clients may do here. ``work_types`` None: every work type that runs on this node."""

    about = About(
        "access-rule",
        "Says which nodes and TCP clients may do what; others may nothing.",
        "- access-rule:\n    nodes: [controller*]\n    allow: [submit, list, results, cancel, release]\n"
        "    worktypes: [count]",
    )

    allow: Annotated[frozenset[Right], written("allow", kinds.RIGHTS, "What they may do.", main=True)]
    nodes: Annotated[frozenset[str], written("nodes", kinds.NODE_PATTERNS, "The nodes that may.")] = frozenset()
    tcp_clients: Annotated[
        frozenset[Network], written("tcpclients", kinds.NETWORKS, "Where clients of 'tcplisten' may be.")
    ] = frozenset()
    work_types: Annotated[
        frozenset[str] | None,
        written(
            "worktypes",
            kinds.WORK_TYPE_PATTERNS,
            "What they may submit; 'remote' is work for other nodes.",
            default="all but 'remote'",
        ),
    ] = None
    any_units: Annotated[
        bool, written("anyunits", kinds.BOOLEAN, "Whether they may do it to units of other submitters too.")
    ] = False


class Audit(Action, frozen=True):
    """A file with a line for each command that changes something or is refused."""

    about = About(
        "audit",
        "Writes who did what on this node, and who was refused, to a file.",
        "- audit: /var/log/receptor/audit.log",
        once=True,
    )

    file: Annotated[
        Path, written("file", kinds.PATH, "The file; lines are added, whatever the log level is.", main=True)
    ]


_WORK = WorkLimits()
_MESH = MeshLimits()


class Limits(Action, frozen=True):
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

    units: Annotated[int, written("units", kinds.COUNT, "Units of work on disk.")] = _WORK.units
    running: Annotated[int, written("running", kinds.COUNT, "Units of one submitter that have not ended.")] = (
        _WORK.running
    )
    payload: Annotated[int, written("payload", kinds.SIZE, "Bytes of a unit's payload.")] = _WORK.payload
    clients: Annotated[
        int, written("clients", kinds.COUNT, "Control sessions at once over mesh and TCP; as many local ones.")
    ] = 20_000
    control_line: Annotated[int, written("controlline", kinds.SIZE, "Bytes of a command and its parameters.")] = (
        1024 * 1024
    )
    sessions: Annotated[
        int, written("sessions", kinds.COUNT, "Links with other nodes, those not set up yet included.")
    ] = _MESH.sessions
    unlinked_sessions: Annotated[
        int, written("unlinkedsessions", kinds.COUNT, "Links that others have begun and not set up yet.")
    ] = _MESH.unlinked_sessions
    link_backlog: Annotated[
        int, written("linkbacklog", kinds.SIZE, "Bytes waiting on a link above which it is given up.")
    ] = _MESH.link_backlog
    nodes: Annotated[int, written("nodes", kinds.COUNT, "Nodes of the mesh.")] = _MESH.nodes
    edges: Annotated[
        int, written("edges", kinds.COUNT, "Links of the whole mesh, each counted at both of its ends.")
    ] = _MESH.edges
    dialled_streams: Annotated[
        int, written("dialledstreams", kinds.COUNT, "Streams over the mesh that this node has begun.")
    ] = _MESH.dialled_streams
    accepted_streams: Annotated[
        int, written("acceptedstreams", kinds.COUNT, "Streams over the mesh that others have begun to us.")
    ] = _MESH.accepted_streams
    unopened_streams: Annotated[
        int, written("unopenedstreams", kinds.COUNT, "Those of them that are not set up yet.")
    ] = _MESH.unopened_streams

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
