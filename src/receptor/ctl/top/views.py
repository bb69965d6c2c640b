"""What the tables of ``top`` show: rows made of what the node tells, sorted and filtered. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from receptor.client.replies import NodeStatus
from receptor.client.unit_replies import UnitStatus
from receptor.ctl import mesh_view
from receptor.ctl.mesh_tables import STANDING_COLOURS, cost_text, count_text, work_types_text
from receptor.ctl.mesh_view import KnownNode
from receptor.ctl.moments import ago, parse_moment, seconds_of, span
from receptor.ctl.plain_text import counted
from receptor.ctl.sizes import size_text
from receptor.ctl.state_cells import state_cell
from receptor.ctl.tables import Cell, Column

_LAST = float("inf")

Value: TypeAlias = str | float
"""What a cell is sorted by; those of a column are all of one type."""


@dataclass(frozen=True)
class Snapshot:
    """What the node has told at a moment, in seconds since 1970."""

    taken_at: float
    status: NodeStatus
    units: tuple[UnitStatus, ...]


@dataclass(frozen=True)
class ViewRow:
    """A row; ``key`` stays the same as long as it is about the same thing."""

    key: str
    cells: tuple[Cell, ...]
    values: tuple[Value, ...]

    def has(self, text: str) -> bool:
        """Whether one of its cells has that text in it, in whatever letter case."""
        return any(text in cell.text.lower() for cell in self.cells)


@dataclass(frozen=True)
class View:
    """A table: its columns and all its rows, in the order in which they are shown if nothing else is asked for."""

    columns: tuple[Column, ...]
    rows: tuple[ViewRow, ...]

    @property
    def titles(self) -> list[str]:
        return [column.title for column in self.columns]


@dataclass(frozen=True)
class Arrangement:
    """How somebody wants a table: by the column of that title, in which direction, and only rows with that text."""

    title: str = ""
    descending: bool = False
    wanted: str = ""

    def of(self, view: View) -> list[ViewRow]:
        """The rows that are wanted, in order."""
        wanted = self.wanted.lower()
        rows = [row for row in view.rows if row.has(wanted)] if wanted else list(view.rows)
        if self.title in view.titles:
            number = view.titles.index(self.title)
            rows.sort(key=lambda row: row.values[number], reverse=self.descending)
        return rows

    def columns(self, view: View) -> list[Column]:
        """The columns, that by which the rows are sorted with an arrow."""
        arrow = "▼" if self.descending else "▲"
        return [replace(one, title=one.title + arrow) if one.title == self.title else one for one in view.columns]

    def by_next(self, view: View) -> Arrangement:
        """The same by the next column; after the last one in the order of the view itself."""
        following = view.titles.index(self.title) + 1 if self.title in view.titles else 0
        return replace(self, title=view.titles[following] if following < len(view.titles) else "")


def headline(snapshot: Snapshot) -> str:
    """The whole in one line."""
    status = snapshot.status
    states = Counter(unit.state.title.lower() for unit in snapshot.units)
    going = ", ".join(f"{states[state]} {state}" for state in ("running", "pending", "failed") if states[state])
    units = counted(len(snapshot.units), "unit") + (f" ({going})" if going else "")
    known = mesh_view.nodes(status)
    lost = sum(node.standing == "unreachable" for node in known)
    nodes = counted(len(known), "node") + (f" ({lost} unreachable)" if lost else "")
    return f"{status.node_id}  {status.version}   {nodes}   {counted(len(_links(known)), 'link')}   {units}"


def units_view(snapshot: Snapshot, now: float) -> View:
    """All units: those that go on first, then the newest. Names have a column if there are any."""
    has_names = any(unit.name for unit in snapshot.units)
    columns = (
        *(Column("UNIT"), Column("STATE"), Column("WORK", shrinks=True), Column("AGE", right=True)),
        *(Column("OUTPUT", right=True), *([Column("NAME", shrinks=True)] if has_names else [])),
        Column("DETAIL", shrinks=True),
    )
    units = sorted(snapshot.units, key=lambda unit: (unit.ended, -(seconds_of(unit.began_at) or 0.0)))
    return View(columns, tuple(_unit_row(unit, now, has_names=has_names) for unit in units))


def nodes_view(snapshot: Snapshot, now: float) -> View:
    """All nodes that are known, that which is asked first."""
    columns = (
        *(Column("NODE"), Column("STATE"), Column("VIA"), Column("HOPS", right=True), Column("COST", right=True)),
        *(Column("LAST SEEN"), Column("LINKS", shrinks=True), Column("WORK TYPES", shrinks=True)),
    )
    return View(columns, tuple(_node_row(node, now) for node in mesh_view.nodes(snapshot.status)))


def links_view(snapshot: Snapshot, now: float) -> View:
    """All links of the mesh, each once, those of the node that is asked first."""
    columns = (Column("NODE"), Column("LINKED WITH"), Column("COST", right=True), Column("KNOWN TO"))
    return View(
        columns, tuple(_link_row(ends, costs) for ends, costs in _links(mesh_view.nodes(snapshot.status)).items())
    )


def _unit_row(unit: UnitStatus, now: float, *, has_names: bool) -> ViewRow:
    began = seconds_of(unit.began_at)
    age = _LAST if began is None else max(0.0, now - began)
    name = (unit.name,) if has_names else ()
    cells = (
        Cell(unit.unit_id),
        state_cell(unit.state),
        Cell(unit.work),
        Cell("" if began is None else span(age)),
        Cell(size_text(unit.stdout_size)),
        *map(Cell, name),
        Cell(unit.detail),
    )
    return ViewRow(
        unit.unit_id, cells, (unit.unit_id, unit.state, unit.work, age, unit.stdout_size, *name, unit.detail)
    )


def _node_row(node: KnownNode, now: float) -> ViewRow:
    route, seen = node.route, parse_moment(node.last_seen)
    via, hops, cost = (route.via, route.hops, route.cost) if route else ("", None, None)
    links, work_types = ", ".join(sorted(node.links)), work_types_text(node.work_types)
    cells = (
        Cell(node.node_id),
        Cell(node.standing, STANDING_COLOURS[node.standing]),
        Cell(via),
        Cell(count_text(hops)),
        Cell(cost_text(cost)),
        Cell("" if seen is None else ago(seen, now)),
        Cell(links),
        Cell(work_types),
    )
    values = (node.node_id, node.standing, via, _number(hops), _number(cost), -(seen or 0.0), links, work_types)
    return ViewRow(node.node_id, cells, values)


def _link_row(ends: tuple[str, str], costs: Sequence[float | None]) -> ViewRow:
    one, other = ends
    known = [cost for cost in costs if cost is not None]
    same = len(set(known)) == 1
    text = cost_text(known[0]) if same else " / ".join(map(cost_text, known))
    knowing = [end for end, cost in zip(ends, costs, strict=True) if cost is not None]
    known_to = "both" if len(knowing) == 2 else f"{knowing[0]} only"
    colour = "" if same and len(knowing) == 2 else "yellow"
    cells = (Cell(one), Cell(other), Cell(text, colour), Cell(known_to, colour))
    return ViewRow(f"{one} {other}", cells, (one, other, known[0], known_to))


def _links(nodes: Sequence[KnownNode]) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """The ends of each link, and what each of them says that it costs; the nodes' order is that of the links."""
    order = {node.node_id: number for number, node in enumerate(nodes)}
    by_id = {node.node_id: node.links for node in nodes}
    last = len(order)
    pairs = {
        (one, other) if order[one] < order.get(other, last) else (other, one)
        for one, links in by_id.items()
        for other in links
    }
    return {
        (one, other): (by_id[one].get(other), by_id.get(other, {}).get(one))
        for one, other in sorted(pairs, key=lambda pair: (order[pair[0]], order.get(pair[1], last), pair[1]))
    }


def _number(value: float | None) -> float:
    return _LAST if value is None else value
