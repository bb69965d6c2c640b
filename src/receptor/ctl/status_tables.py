"""The tables of ``receptorctl status``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receptor.client.replies import Advertisement, NodeStatus

_NARROWEST_NODE = 12
_CONNECTION_TYPES = {0: "Datagram", 1: "Stream", 2: "StreamTLS"}


def status_lines(status: NodeStatus) -> Iterator[str]:
    """The lines for people; tables with nothing in them are left out."""
    yield f"Node ID: {status.node_id}"
    yield f"Version: {status.version}"
    yield f"System CPU Count: {status.cpu_count}"
    yield f"System Memory MiB: {status.memory_mib}"
    names = [node for node, _ in status.connections] + list(status.known_costs)
    width = max([_NARROWEST_NODE, *map(len, names)])
    yield from _table(f"{'Connection':<{width}} Cost", [f"{node:<{width}} {cost}" for node, cost in status.connections])
    yield from _table(
        f"{'Known Node':<{width}} Known Connections",
        [
            f"{node:<{width}} " + "".join(f"{peer}: {cost} " for peer, cost in peers.items())
            for node, peers in status.known_costs.items()
        ],
    )
    yield from _table(f"{'Route':<{width}} Via", [f"{node:<{width}} {via}" for node, via in status.routes.items()])
    yield from _table(
        f"{'Node':<{width}} Service   Type       Last Seen             Tags",
        [_service_row(one, width) for one in status.advertisements],
    )
    yield from _table(f"{'Node':<{width}} Work Types", _work_type_rows(status, width, secure=False))
    yield from _table(f"{'Node':<{width}} Secure Work Types", _work_type_rows(status, width, secure=True))


def _table(header: str, rows: list[str]) -> list[str]:
    return ["", header, *rows] if rows else []


def _service_row(one: Advertisement, width: int) -> str:
    kind = _CONNECTION_TYPES.get(one.connection_type, str(one.connection_type))
    last_seen = one.time[:19].replace("T", " ")
    tags = "-" if one.tags is None else str(one.tags)
    return f"{one.node_id:<{width}} {one.service:<9} {kind:<10} {last_seen:<21} {tags:<16}"


def _work_type_rows(status: NodeStatus, width: int, *, secure: bool) -> list[str]:
    """A row for each node; the services of a node all advertise the same work types."""
    rows: dict[str, str] = {}
    for one in status.advertisements:
        names = ", ".join(work_type.name for work_type in one.work_types if work_type.secure == secure)
        if names:
            rows.setdefault(one.node_id, f"{one.node_id:<{width}} {names}")
    return list(rows.values())
