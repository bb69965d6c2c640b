"""The tables of the mesh, as ``nodes``, ``services``, ``routes`` and ``status`` show them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from receptor.ctl import mesh_view, terminal
from receptor.ctl.mesh_view import KnownNode, KnownService, Route
from receptor.ctl.tables import Cell, Column, Row

if TYPE_CHECKING:
    from receptor.client.replies import NodeStatus, WorkType

STANDING_COLOURS: Mapping[str, str] = {"self": "cyan", "linked": "green", "reachable": "green", "unreachable": "red"}


def show_nodes(nodes: Iterable[KnownNode]) -> None:
    columns = [
        *(Column("NODE"), Column("STATE"), Column("VIA"), Column("HOPS", right=True), Column("COST", right=True)),
        *(Column("LINKS", shrinks=True), Column("WORK TYPES", shrinks=True), Column("LAST SEEN")),
    ]
    terminal.show_table(columns, map(_node_row, nodes))


def show_services(services: Iterable[KnownService]) -> None:
    columns = [Column("NODE"), Column("SERVICE"), Column("TYPE"), Column("TAGS", shrinks=True), Column("LAST SEEN")]
    terminal.show_table(columns, map(_service_row, services))


def show_routes(routes: Iterable[Route]) -> None:
    columns = [Column("TO"), Column("VIA"), Column("COST", right=True), Column("HOPS", right=True)]
    terminal.show_table(columns, ((one.to, one.via, cost_text(one.cost), count_text(one.hops)) for one in routes))


def show_status(status: NodeStatus) -> None:
    """The whole answer for somebody at a terminal: what the node is, then its tables, without those that are empty."""
    terminal.say_cells([Cell("Node ID:"), Cell(status.node_id, "cyan")])
    terminal.say(f"Version: {status.version}")
    terminal.say(f"System CPU Count: {status.cpu_count}")
    terminal.say(f"System Memory MiB: {status.memory_mib}")
    for columns, rows in _tables(status):
        if rows:
            terminal.say()
            terminal.show_table(columns, rows)


def _tables(status: NodeStatus) -> Iterator[tuple[list[Column], list[Row]]]:
    yield (
        [Column("Connection"), Column("Cost", right=True)],
        [(Cell(node, "green"), cost_text(cost)) for node, cost in status.connections],
    )
    yield (
        [Column("Known Node"), Column("Known Connections", shrinks=True)],
        [
            (Cell(one.node_id, STANDING_COLOURS[one.standing]), _costs_text(one.links))
            for one in mesh_view.nodes(status)
            if one.node_id in status.known_costs
        ],
    )
    yield (
        [Column("Route"), Column("Via"), Column("Cost", right=True)],
        [(one.to, one.via, cost_text(one.cost)) for one in mesh_view.routes(status)],
    )
    yield (
        [Column("Node"), Column("Service"), Column("Type"), Column("Last Seen"), Column("Tags", shrinks=True)],
        [
            (one.node_id, one.name, one.kind, terminal.when(one.last_seen), one.tags_text)
            for one in mesh_view.services(status)
        ],
    )
    yield (
        [Column("Node"), Column("Work Types", shrinks=True)],
        [(one.node_id, work_types_text(one.work_types)) for one in mesh_view.nodes(status) if one.work_types],
    )


def work_types_text(work_types: Iterable[WorkType]) -> str:
    """Their names; those that run signed work only say so."""
    return ", ".join(f"{one.name} (signed)" if one.secure else one.name for one in work_types)


def cost_text(cost: float | None) -> str:
    return "" if cost is None else f"{cost:g}"


def count_text(count: int | None) -> str:
    return "" if count is None else str(count)


def _costs_text(links: Mapping[str, float]) -> str:
    return ", ".join(f"{node}: {cost_text(cost)}" for node, cost in sorted(links.items()))


def _node_row(node: KnownNode) -> Row:
    route = node.route
    return (
        node.node_id,
        Cell(node.standing, STANDING_COLOURS[node.standing]),
        route.via if route else "",
        count_text(route.hops if route else None),
        cost_text(route.cost if route else None),
        ", ".join(sorted(node.links)),
        work_types_text(node.work_types),
        terminal.when(node.last_seen),
    )


def _service_row(service: KnownService) -> Row:
    return service.node_id, service.name, service.kind, service.tags_text, terminal.when(service.last_seen)
