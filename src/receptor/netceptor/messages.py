"""Messages between nodes that travel as JSON, as frozen records with a parse and a serialize side.

Field names and their order on the wire are those of existing nodes (mesh protocol, sections 3 to 5). Numbers
are written as Go writes them (``1``, not ``1.0``), so that an update of ours is the same bytes as one of theirs.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TypeVar

import msgspec

from receptor.errors import PeerError
from receptor.identifiers import LONGEST_NODE_ID
from receptor.netceptor.pace import LONGEST_REFRESH
from receptor.netceptor.packets import ADVERTISEMENT, LARGEST_PACKET, ROUTING_UPDATE

DATAGRAM_SERVICE = 0
STREAM_SERVICE = 1
TLS_STREAM_SERVICE = 2

SERVICE_UNKNOWN = "service unknown"
MESSAGE_EXPIRED = "message expired"
BLOCKED_BY_FIREWALL = "blocked by firewall"

PATIENT = "~"
"""How the ids of updates begin whose node is one of ours; those of existing nodes are letters and digits."""

_LARGEST_NUMBER = 2**64 - 1
_LONGEST_UPDATE_ID = 64


class RoutingUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Who a node's neighbours are, flooded through the mesh (section 3)."""

    node_id: str = msgspec.field(name="NodeID")
    update_id: str = msgspec.field(name="UpdateID")
    epoch: int = msgspec.field(name="UpdateEpoch")
    sequence: int = msgspec.field(name="UpdateSequence")
    connections: dict[str, float] = msgspec.field(name="Connections")
    forwarding_node: str = msgspec.field(name="ForwardingNode")
    suspected_duplicate: int = msgspec.field(name="SuspectedDuplicate", default=0)
    digest: int | msgspec.UnsetType = msgspec.field(name="Digest", default=msgspec.UNSET)
    """Only in greetings, of nodes of ours to their neighbours: what their tables hold, as one number."""

    @property
    def refresh(self) -> int:
        """Seconds after which its node repeats itself at the latest, among nodes of ours; 0 of existing nodes."""
        return LONGEST_REFRESH if self.update_id.startswith(PATIENT) else 0

    def __str__(self) -> str:
        edges = ", ".join(f"{node} at {cost:g}" for node, cost in sorted(self.connections.items()))
        return f"update {self.update_id} of {self.node_id} ({edges or 'no neighbours'})"


class WorkCommand(msgspec.Struct, frozen=True):
    """A work type that a node offers; ``secure`` means that it asks for a signature."""

    work_type: str = msgspec.field(name="WorkType")
    secure: bool = msgspec.field(name="Secure")


class Advertisement(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A service of a node, flooded through the mesh (section 5)."""

    node_id: str = msgspec.field(name="NodeID")
    service: str = msgspec.field(name="Service")
    time: str = msgspec.field(name="Time")
    connection_type: int = msgspec.field(name="ConnType")
    tags: dict[str, str] | None = msgspec.field(name="Tags", default=None)
    work_commands: list[WorkCommand] | None = msgspec.field(name="WorkCommands", default=None)
    cancel: bool = msgspec.field(name="Cancel", default=False)

    @cached_property
    def nanoseconds(self) -> int:
        """When it was made, in nanoseconds since 1970."""
        return parse_time(self.time)

    def __str__(self) -> str:
        return f"{'end of ' if self.cancel else ''}service {self.service} of {self.node_id}"


class Unreachable(msgspec.Struct, frozen=True, kw_only=True):
    """Why a data packet went no further, for its sender (section 4)."""

    from_node: str = msgspec.field(name="FromNode")
    to_node: str = msgspec.field(name="ToNode")
    from_service: str = msgspec.field(name="FromService")
    to_service: str = msgspec.field(name="ToService")
    problem: str = msgspec.field(name="Problem")


_Message = TypeVar("_Message", RoutingUpdate, Advertisement, Unreachable)
_encoder = msgspec.json.Encoder(order="deterministic")
_updates = msgspec.json.Decoder(RoutingUpdate)
_advertisements = msgspec.json.Decoder(Advertisement)
_unreachables = msgspec.json.Decoder(Unreachable)


def decode_routing_update(packet: bytes) -> RoutingUpdate:
    """The update in a packet of that kind. Raises PeerError with what is wrong with it."""
    update = _decode(_updates, packet[1:], "routing update")
    if not 0 <= update.epoch <= _LARGEST_NUMBER or not 0 <= update.sequence <= _LARGEST_NUMBER:
        raise PeerError("the epoch or sequence of a routing update does not fit 64 bits")
    if not 0 <= update.suspected_duplicate <= _LARGEST_NUMBER:
        raise PeerError("the suspected duplicate of a routing update does not fit 64 bits")
    if not 0 <= (update.digest or 0) <= _LARGEST_NUMBER:
        raise PeerError("the digest of a routing update does not fit 64 bits")
    if len(update.update_id) > _LONGEST_UPDATE_ID:
        raise PeerError("the id of a routing update is too long")
    _check_node_id(update.node_id)
    _check_node_id(update.forwarding_node)
    for node, cost in update.connections.items():
        _check_node_id(node)
        if not 0 < cost < math.inf:
            raise PeerError(f"a routing update of {update.node_id} gives {node} the cost {cost}")
    return update


def encode_routing_update(update: RoutingUpdate) -> bytes:
    """The packet of an update."""
    connections = {node: go_number(cost) for node, cost in update.connections.items()}
    return b"%c%b" % (
        ROUTING_UPDATE,
        _encoder.encode(msgspec.structs.replace(update, connections=connections)),
    )


def decode_advertisement(packet: bytes) -> Advertisement:
    """The advertisement in a packet of that kind. Raises PeerError with what is wrong with it."""
    advertisement = _decode(_advertisements, packet[1:], "service advertisement")
    _check_node_id(advertisement.node_id)
    if not advertisement.node_id or not advertisement.service:
        raise PeerError("a service advertisement names no node or no service")
    try:
        advertisement.nanoseconds  # noqa: B018 - parses the time now, where a bad one can be refused
    except ValueError as error:
        raise PeerError(f"a service advertisement of {advertisement.node_id}: {error}") from None
    return advertisement


def encode_advertisement(advertisement: Advertisement) -> bytes:
    """The packet of an advertisement."""
    return b"%c%b" % (ADVERTISEMENT, _encoder.encode(advertisement))


def decode_unreachable(payload: bytes) -> Unreachable:
    """The message that the service ``unreach`` received. Raises PeerError with what is wrong with it."""
    return _decode(_unreachables, payload, "message to the service unreach")


def encode_unreachable(message: Unreachable) -> bytes:
    """The payload for the service ``unreach``."""
    return _encoder.encode(message)


_LONGEST_REASON = 200
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE_SECONDS = len("1970-01-01T00:00:00")


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time. Raises ValueError if it is not one."""
    found = _TIME.fullmatch(text) if len(text) <= 64 else None
    if found is None:
        raise ValueError("its time is not as RFC 3339 writes one")
    date, clock, fraction, sign, hours, minutes = found.groups()
    moment = datetime.fromisoformat(f"{date}T{clock}+00:00") - _EPOCH
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    seconds = moment // timedelta(seconds=1) - offset // timedelta(seconds=1)
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def format_time(nanoseconds: int) -> str:
    """The RFC 3339 text of nanoseconds since 1970, in UTC, with as many decimals as Go writes."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    whole = (_EPOCH + timedelta(seconds=seconds)).isoformat()[:_WHOLE_SECONDS]
    decimals = f"{rest:09d}".rstrip("0")
    return f"{whole}.{decimals}Z" if decimals else f"{whole}Z"


def _decode(decoder: msgspec.json.Decoder[_Message], body: bytes, what: str) -> _Message:
    if len(body) > LARGEST_PACKET:
        raise PeerError(f"a {what} of {len(body)} bytes is larger than a packet may be")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PeerError(f"a {what} can't be read: {str(error)[:_LONGEST_REASON]}") from None


def _check_node_id(name: str) -> None:
    if len(name) > LONGEST_NODE_ID:
        raise PeerError(f"a node id of {len(name)} characters is longer than {LONGEST_NODE_ID}")


def go_number(value: float) -> float:
    """The number so that JSON writes it as Go does: whole ones without a decimal point."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value
