"""Frozen records of what a node answers, parsed from its JSON once and trusted from then on."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from receptor.errors import PeerError

if TYPE_CHECKING:
    from datetime import datetime

JsonObject: TypeAlias = dict[str, object]
"""One answer as it came, for those who pass it on as JSON."""


class UnitState(enum.IntEnum):
    """States of a unit of work (control protocol, "The status of a unit"); the last three are final."""

    PENDING = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELED = 4

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of the unit."""
        return self >= UnitState.SUCCEEDED

    @property
    def title(self) -> str:
        """The name as nodes write it, such as ``Succeeded``."""
        return self.name.capitalize()


PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED = UnitState

_EXIT_STATUS = re.compile(r"exit status ([0-9]{1,3})\b")
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
class Process:
    """How the command of a unit ended and what it used; either ``exit_code`` or ``signal`` is known.

    The two times are processor time in seconds, ``peak_memory`` is in bytes.
    """

    exit_code: int | None
    signal: int | None
    started_at: datetime | None
    ended_at: datetime | None
    user_seconds: float
    system_seconds: float
    peak_memory: int

    @classmethod
    def parse(cls, fields: JsonObject) -> Process:
        return cls(
            exit_code=_number_if_any(fields, "ExitCode"),
            signal=_number_if_any(fields, "Signal"),
            started_at=_time_if_any(fields, "Started"),
            ended_at=_time_if_any(fields, "Ended"),
            user_seconds=_number(fields.get("UserSeconds"), "UserSeconds"),
            system_seconds=_number(fields.get("SystemSeconds"), "SystemSeconds"),
            peak_memory=_field(fields, "PeakMemory", int),
        )


@dataclass(frozen=True)
class UnitStatus:
    """The status of a unit: where it is on its way, and what is known of it.

    ``stdout_size`` is in bytes. ``name``, the two times, ``process`` and ``idempotency_key`` are told by nodes of ours
    only, as far as they are known. ``remote_node`` is where the work runs, empty for work of the node that was asked.
    """

    state: UnitState
    detail: str
    stdout_size: int
    work_type: str = ""
    name: str = ""
    remote_node: str = ""
    remote_unit_id: str = ""
    idempotency_key: str = ""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    process: Process | None = None

    @classmethod
    def parse(cls, answer: JsonObject) -> UnitStatus:
        """Raises PeerError if a field has the wrong type; a missing one is empty."""
        extra = answer.get("ExtraData")
        remote = extra if isinstance(extra, dict) else {}
        process = answer.get("Process")
        return cls(
            state=_state(answer.get("State")),
            detail=_field(answer, "Detail", str),
            stdout_size=_field(answer, "StdoutSize", int),
            work_type=_field(answer, "WorkType", str),
            name=_field(answer, "Name", str),
            remote_node=_field(remote, "RemoteNode", str),
            remote_unit_id=_field(remote, "RemoteUnitID", str),
            idempotency_key=_field(answer, "IdempotencyKey", str),
            created_at=_time_if_any(answer, "Created"),
            ended_at=_time_if_any(answer, "Ended"),
            process=None if process is None else Process.parse(_object(process, "Process")),
        )

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of the unit."""
        return self.state.is_final

    @property
    def exit_code(self) -> int | None:
        """The exit code of the command once it has ended; None if it was killed, never ran, or nobody knows.

        Existing nodes tell it within the detail only.
        """
        if self.process is not None:
            return self.process.exit_code
        told = _EXIT_STATUS.match(self.detail)
        return int(told[1]) if told and self.ended else None


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
            time=_time_if_any(fields, "Time"),
            name=_field(fields, "Event", str),
            fields=fields,
            unit_id=_field(fields, "UnitID", str),
            state=_state(fields["State"]) if "State" in fields else None,
            work_type=_field(fields, "WorkType", str),
            detail=_field(fields, "Detail", str),
            unit_name=_field(fields, "Name", str),
            remote_node=_field(fields, "RemoteNode", str),
            node_id=_field(fields, "NodeID", str),
            via=_field(fields, "Via", str),
            cost=_number(fields.get("Cost"), "Cost"),
            service=_field(fields, "Service", str),
            count=_field(fields, "Count", int),
        )


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


def _number_if_any(fields: JsonObject, name: str) -> int | None:
    return None if fields.get(name) is None else _field(fields, name, int)


def _state(value: object) -> UnitState:
    number = _value(value, "State", int)
    try:
        return UnitState(number)
    except ValueError as error:
        raise PeerError(
            f"the node's answer has the State {number}, which is none; the node may be of a version that "
            "receptorctl does not know"
        ) from error


def _time_if_any(fields: JsonObject, name: str) -> datetime | None:
    """A time in RFC 3339; None if it is missing, or the zero time of existing nodes."""
    text = _field(fields, name, str)
    if not text or text.startswith("0001-"):
        return None
    from datetime import datetime

    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise PeerError(f"the node's answer has a {name} that is no time: {text[:60]!r}") from error


def _list(value: object, name: str) -> list[object]:
    return _value(value, name, list)


def _object(value: object, name: str) -> JsonObject:
    return _value(value, name, dict)
