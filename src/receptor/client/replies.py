"""Frozen records of what a node answers, parsed from its JSON once and trusted from then on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from receptor.errors import PeerError

JsonObject: TypeAlias = dict[str, object]
"""One answer as it came, for those who pass it on as JSON."""

PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED = range(5)
"""States of a unit of work (control protocol, "Status of a unit")."""

_Kind = TypeVar("_Kind")


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
        commands = [_object(command, "WorkCommands") for command in _field(fields, "WorkCommands", list)]
        return cls(
            node_id=_field(fields, "NodeID", str),
            service=_field(fields, "Service", str),
            connection_type=_field(fields, "ConnType", int),
            time=_field(fields, "Time", str),
            tags=None if fields.get("Tags") is None else _field(fields, "Tags", dict),
            work_types=tuple(
                WorkType(_field(command, "WorkType", str), _field(command, "Secure", bool)) for command in commands
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
        connections = [_object(link, "Connections") for link in _list(take("Connections", None), "Connections")]
        routes = _object(take("RoutingTable", None), "RoutingTable")
        costs = _object(take("KnownConnectionCosts", None), "KnownConnectionCosts")
        adverts = _list(take("Advertisements", None), "Advertisements")
        return cls(
            node_id=_value(take("NodeID", None), "NodeID", str),
            version=_value(take("Version", None), "Version", str),
            cpu_count=_value(take("SystemCPUCount", None), "SystemCPUCount", int),
            memory_mib=_value(take("SystemMemoryMiB", None), "SystemMemoryMiB", int),
            connections=tuple((_field(link, "NodeID", str), _number(link.get("Cost"), "Cost")) for link in connections),
            routes={node: _value(via, "RoutingTable", str) for node, via in routes.items()},
            advertisements=tuple(Advertisement.parse(_object(one, "Advertisements")) for one in adverts),
            known_costs={
                node: {peer: _number(cost, "KnownConnectionCosts") for peer, cost in _object(row, node).items()}
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

    @classmethod
    def parse(cls, answer: JsonObject) -> PingReply:
        return cls(
            success=_field(answer, "Success", bool),
            node_id=_field(answer, "From", str),
            time_text=_field(answer, "TimeStr", str),
            error=_field(answer, "Error", str),
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
            numbered = {int(number): _object(hop, number) for number, hop in answer.items()}
        except ValueError as error:
            raise PeerError(f"the node's answer to traceroute numbers its hops in words: {error}") from error
        return [
            cls(number, _field(hop, "From", str), _field(hop, "TimeStr", str), _field(hop, "Error", str))
            for number, hop in sorted(numbered.items(), key=lambda item: item[0])
        ]


@dataclass(frozen=True)
class ReloadReply:
    """The answer to ``reload``; the error text ends in ``ERRORCODE 3`` or ``ERRORCODE 4``, and is empty on success."""

    success: bool
    error: str

    @classmethod
    def parse(cls, answer: JsonObject) -> ReloadReply:
        return cls(_field(answer, "Success", bool), _field(answer, "Error", str))


@dataclass(frozen=True)
class Submitted:
    """The last answer to ``work submit``: ``Job Started``, or ``Job Submitted`` if the node is out of reach yet."""

    unit_id: str
    result: str

    @classmethod
    def parse(cls, answer: JsonObject) -> Submitted:
        return cls(_field(answer, "unitid", str), _field(answer, "result", str))

    @property
    def waits(self) -> bool:
        """Whether the other node has not taken the work yet."""
        return self.result == "Job Submitted"


@dataclass(frozen=True)
class UnitStatus:
    """What the end of a unit is judged by."""

    state: int
    detail: str
    stdout_size: int

    @classmethod
    def parse(cls, answer: JsonObject) -> UnitStatus:
        return cls(_field(answer, "State", int), _field(answer, "Detail", str), _field(answer, "StdoutSize", int))

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of the unit."""
        return self.state in (SUCCEEDED, FAILED, CANCELED)


def _field(fields: JsonObject, name: str, kind: type[_Kind]) -> _Kind:
    return _value(fields.get(name), name, kind)


def _value(value: object, name: str, kind: type[_Kind]) -> _Kind:
    """The value if it is of that kind, the kind's empty value for a missing one."""
    if value is None:
        return kind()
    if isinstance(value, kind):
        return value
    raise PeerError(
        f"the node's answer has a {name} that is no {kind.__name__}; the node may be of a version that "
        "receptorctl does not know"
    )


def _number(value: object, name: str) -> float:
    return value if isinstance(value, int) else _value(value, name, float)


def _list(value: object, name: str) -> list[object]:
    return _value(value, name, list)


def _object(value: object, name: str) -> JsonObject:
    return _value(value, name, dict)
