"""Frozen records of what a node answers of itself, the mesh and events, parsed once and trusted from then on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from receptor.client.fields import JsonObject, as_kind, as_list, as_number, as_object, field_of, time_if_any
from receptor.client.unit_replies import UnitState, state_of
from receptor.errors import PeerError

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class WorkType:
    """A work type that a node offers; a secure one runs signed work only."""

    name: str
    secure: bool


@dataclass(frozen=True)
class Advertisement:
    """A service somewhere in the mesh, as this node last heard of it."""

    node_id: str
    service: str
    connection_type: int
    time: str
    tags: Mapping[str, object] | None
    work_types: tuple[WorkType, ...]

    @classmethod
    def parse(cls, fields: JsonObject) -> Advertisement:
        commands = [as_object(command, "WorkCommands") for command in field_of(fields, "WorkCommands", list)]
        return cls(
            node_id=field_of(fields, "NodeID", str),
            service=field_of(fields, "Service", str),
            connection_type=field_of(fields, "ConnType", int),
            time=field_of(fields, "Time", str),
            tags=None if fields.get("Tags") is None else field_of(fields, "Tags", dict),
            work_types=tuple(
                WorkType(field_of(command, "WorkType", str), field_of(command, "Secure", bool)) for command in commands
            ),
        )


@dataclass(frozen=True)
class NodeStatus:
    """The answer to ``status``; ``additional`` holds the fields that this version does not know."""

    node_id: str
    version: str
    cpu_count: int
    memory_mib: int
    connections: tuple[tuple[str, float], ...]
    routes: Mapping[str, str]
    advertisements: tuple[Advertisement, ...]
    known_costs: Mapping[str, Mapping[str, float]]
    additional: JsonObject

    @classmethod
    def parse(cls, answer: JsonObject) -> NodeStatus:
        """Raises PeerError if a field has the wrong type; a missing one is empty."""
        rest = dict(answer)
        take = rest.pop
        links = [as_object(link, "Connections") for link in as_list(take("Connections", None), "Connections")]
        routes = as_object(take("RoutingTable", None), "RoutingTable")
        costs = as_object(take("KnownConnectionCosts", None), "KnownConnectionCosts")
        adverts = as_list(take("Advertisements", None), "Advertisements")
        return cls(
            node_id=as_kind(take("NodeID", None), "NodeID", str),
            version=as_kind(take("Version", None), "Version", str),
            cpu_count=as_kind(take("SystemCPUCount", None), "SystemCPUCount", int),
            memory_mib=as_kind(take("SystemMemoryMiB", None), "SystemMemoryMiB", int),
            connections=tuple((field_of(link, "NodeID", str), as_number(link.get("Cost"), "Cost")) for link in links),
            routes={node: as_kind(via, "RoutingTable", str) for node, via in routes.items()},
            advertisements=tuple(Advertisement.parse(as_object(one, "Advertisements")) for one in adverts),
            known_costs={
                node: {peer: as_number(cost, "KnownConnectionCosts") for peer, cost in as_object(row, node).items()}
                for node, row in costs.items()
            },
            additional=rest,
        )


@dataclass(frozen=True)
class PingReply:
    """The answer to one ``ping``: who replied after how long, or why nobody did."""

    success: bool
    node_id: str
    time_text: str
    error: str
    seconds: float = 0.0

    @classmethod
    def parse(cls, answer: JsonObject) -> PingReply:
        return cls(
            success=field_of(answer, "Success", bool),
            node_id=field_of(answer, "From", str),
            time_text=field_of(answer, "TimeStr", str),
            error=field_of(answer, "Error", str),
            seconds=_seconds(answer.get("Time")),
        )


@dataclass(frozen=True)
class Hop:
    """One line of a ``traceroute``."""

    number: int
    node_id: str
    time_text: str
    error: str

    @classmethod
    def parse_all(cls, answer: JsonObject) -> list[Hop]:
        """The hops in the order of their numbers; raises PeerError if the answer is something else."""
        try:
            numbered = {int(number): as_object(hop, number) for number, hop in answer.items()}
        except ValueError as error:
            raise PeerError(f"the node's answer to traceroute numbers its hops in words: {error}") from error
        return [
            cls(number, field_of(hop, "From", str), field_of(hop, "TimeStr", str), field_of(hop, "Error", str))
            for number, hop in sorted(numbered.items(), key=lambda item: item[0])
        ]


@dataclass(frozen=True)
class ReloadReply:
    """The answer to ``reload``; the error text ends in ``ERRORCODE 3`` or ``ERRORCODE 4``, and is empty on success."""

    success: bool
    error: str

    @classmethod
    def parse(cls, answer: JsonObject) -> ReloadReply:
        return cls(field_of(answer, "Success", bool), field_of(answer, "Error", str))


@dataclass(frozen=True)
class Event:
    """Something that happened on a node or in its mesh, as ``events`` tells it.

    ``name`` says what, and so which of the others are set: ``unit.created``, ``unit.changed`` and ``unit.released``
    (``unit_id``, ``state``, ``work_type``, ``detail``, ``unit_name``, ``remote_node``), ``link.up`` and ``link.down``
    (``node_id``, ``cost``), ``node.reachable`` and ``node.unreachable`` (``node_id``, ``via``), ``service.added`` and
    ``service.removed`` (``node_id``, ``service``), ``events.lost`` (``count``). ``fields`` is the whole as it came.
    """

    time: datetime | None
    name: str
    fields: JsonObject = field(repr=False)
    unit_id: str = ""
    state: UnitState | None = None
    work_type: str = ""
    detail: str = ""
    unit_name: str = ""
    remote_node: str = ""
    node_id: str = ""
    via: str = ""
    cost: float = 0.0
    service: str = ""
    count: int = 0

    @classmethod
    def parse(cls, fields: JsonObject) -> Event:
        """Raises PeerError if a field has the wrong type."""
        return cls(
            time=time_if_any(fields, "Time"),
            name=field_of(fields, "Event", str),
            fields=fields,
            unit_id=field_of(fields, "UnitID", str),
            state=state_of(fields["State"]) if "State" in fields else None,
            work_type=field_of(fields, "WorkType", str),
            detail=field_of(fields, "Detail", str),
            unit_name=field_of(fields, "Name", str),
            remote_node=field_of(fields, "RemoteNode", str),
            node_id=field_of(fields, "NodeID", str),
            via=field_of(fields, "Via", str),
            cost=as_number(fields.get("Cost"), "Cost"),
            service=field_of(fields, "Service", str),
            count=field_of(fields, "Count", int),
        )


def _seconds(nanoseconds: object) -> float:
    try:
        return as_number(nanoseconds, "Time") / 1e9
    except OverflowError as error:
        raise PeerError("the node's answer has a Time that nobody lives to see") from error
