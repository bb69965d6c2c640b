"""What control commands answer, as typed records with the keys of the control protocol."""

from __future__ import annotations

from datetime import datetime

import msgspec

from receptor.netceptor.messages import Advertisement


class Connection(msgspec.Struct, frozen=True, rename={"node_id": "NodeID", "cost": "Cost"}):
    """A neighbour and the cost of the link with it."""

    node_id: str
    cost: float


class Certificate(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "name": "Name",
        "subject": "Subject",
        "node_ids": "NodeIDs",
        "not_before": "NotBefore",
        "not_after": "NotAfter",
        "file": "File",
    },
):
    """A certificate that the node shows; ``name`` is where its configuration names it."""

    name: str
    subject: str
    node_ids: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    file: str | msgspec.UnsetType = msgspec.UNSET
    """For clients of this machine only."""


class DataFolder(msgspec.Struct, frozen=True, rename={"path": "Path", "free_mib": "FreeMiB"}):
    """Where the node keeps its units, and the room that it has left there."""

    path: str
    free_mib: int


class NodeStatus(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "advertisements": "Advertisements",
        "connections": "Connections",
        "known_connection_costs": "KnownConnectionCosts",
        "node_id": "NodeID",
        "routing_table": "RoutingTable",
        "system_cpu_count": "SystemCPUCount",
        "system_memory_mib": "SystemMemoryMiB",
        "version": "Version",
        "time": "Time",
        "start_time": "StartTime",
        "certificates": "Certificates",
        "data_folder": "DataFolder",
    },
):
    """The answer to ``status``; a field that wasn't asked for is left out.

    The last four, ours, are told to those only who ask for them by name.
    """

    advertisements: tuple[Advertisement, ...] | None = None
    connections: tuple[Connection, ...] | None = None
    known_connection_costs: dict[str, dict[str, float]] | None = None
    node_id: str | None = None
    routing_table: dict[str, str] | None = None
    system_cpu_count: int | None = None
    system_memory_mib: int | None = None
    version: str | None = None
    time: datetime | None = None
    start_time: datetime | None = None
    certificates: tuple[Certificate, ...] | None = None
    data_folder: DataFolder | None = None

    def only(self, names: tuple[str, ...]) -> NodeStatus:
        """The same with just the fields of those names, as the protocol spells them."""
        fields = msgspec.structs.fields(self)
        return NodeStatus(**{field.name: getattr(self, field.name) for field in fields if field.encode_name in names})


class PingAnswer(msgspec.Struct, frozen=True, rename={"source": "From", "nanoseconds": "Time", "duration": "TimeStr"}):
    """The answer to a ``ping`` that came back."""

    source: str
    nanoseconds: int
    duration: str
    success: bool = msgspec.field(name="Success", default=True)


class PingFailure(msgspec.Struct, frozen=True, rename={"error": "Error", "success": "Success"}):
    """The answer to a ``ping`` that did not."""

    error: str
    success: bool = False


class Hop(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"source": "From", "nanoseconds": "Time", "duration": "TimeStr", "error": "Error"},
):
    """One line of a ``traceroute``."""

    source: str
    nanoseconds: int
    duration: str
    error: str = ""


class SubmitAnswer(msgspec.Struct, frozen=True):
    """The last answer to ``work submit``."""

    result: str
    unitid: str


class ReloadAnswer(msgspec.Struct, frozen=True, omit_defaults=True, rename={"success": "Success", "error": "Error"}):
    """The answer to ``reload``. The error ends with ``ERRORCODE`` and its number."""

    success: bool
    error: str = ""
