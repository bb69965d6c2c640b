from __future__ import annotations

from datetime import UTC, datetime

import pytest
from diagnoses import NOW
from mesh_answers import three

from receptor.client.unit_replies import UnitState, UnitStatus
from receptor.ctl.top.views import Arrangement, Snapshot, View, headline, links_view, nodes_view, units_view


def unit(unit_id: str, state: int, age: float, size: int = 0, name: str = "") -> UnitStatus:
    created = datetime.fromtimestamp(NOW - age, UTC)
    return UnitStatus(UnitState(state), f"detail of {unit_id}", size, "cat", name, created_at=created, unit_id=unit_id)


UNITS = (unit("old", 2, 500, 9), unit("new", 3, 60, 2048), unit("runs", 1, 7200, 0))


def snapshot(*units: UnitStatus, **status: object) -> Snapshot:
    return Snapshot(NOW, three(**status), units)


def texts(view: View) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in view.rows]


def keys(arrangement: Arrangement) -> list[str]:
    return [row.key for row in arrangement.of(units_view(snapshot(*UNITS), NOW))]


def test_units_that_go_on_come_first_then_the_newest() -> None:
    assert texts(units_view(snapshot(*UNITS), NOW)) == [
        ["runs", "Running", "cat", "2 h", "0 B", "detail of runs"],
        ["new", "Failed", "cat", "1 min", "2.0 KiB", "detail of new"],
        ["old", "Succeeded", "cat", "8 min", "9 B", "detail of old"],
    ]


def test_names_have_a_column_if_there_are_any() -> None:
    assert "NAME" not in units_view(snapshot(*UNITS), NOW).titles
    assert "NAME" in units_view(snapshot(*UNITS, unit("x", 1, 1, name="nightly")), NOW).titles


@pytest.mark.parametrize(
    ("title", "descending", "order"),
    [
        ("AGE", False, ["new", "old", "runs"]),
        ("OUTPUT", True, ["new", "old", "runs"]),
        ("STATE", False, ["runs", "old", "new"]),
        ("UNIT", False, ["new", "old", "runs"]),
        ("NOSUCH", False, ["runs", "new", "old"]),
    ],
)
def test_sorted_by_what_the_cells_mean(title: str, descending: bool, order: list[str]) -> None:
    assert keys(Arrangement(title, descending)) == order


def test_only_rows_with_a_text() -> None:
    assert keys(Arrangement(wanted="FAIL")) == ["new"]
    assert keys(Arrangement(wanted="nothing")) == []


def test_the_next_column_after_the_last_is_none() -> None:
    view = units_view(snapshot(*UNITS), NOW)
    arrangement, seen = Arrangement(descending=True), []
    for _ in range(len(view.columns) + 1):
        arrangement = arrangement.by_next(view)
        seen.append(arrangement.title)
    assert seen == [*view.titles, ""]
    assert [one.title for one in Arrangement("AGE", True).columns(view)][3] == "AGE▼"


def test_nodes() -> None:
    assert texts(nodes_view(snapshot(), NOW)) == [
        ["foo", "self", "", "", "", "1 min ago", "bar", ""],
        ["bar", "linked", "bar", "1", "1", "55 s ago", "baz, foo", "cat"],
        ["baz", "reachable", "bar", "2", "3.5", "1 min ago", "bar", "cat, safe"],
        ["gone", "unreachable", "", "", "", "", "", ""],
    ]


def test_links_are_there_once_and_say_where_the_ends_don_t_agree() -> None:
    costs = {"foo": {"bar": 1}, "bar": {"foo": 2, "baz": 2.5}, "baz": {}}
    assert texts(links_view(snapshot(KnownConnectionCosts=costs), NOW)) == [
        ["foo", "bar", "1 / 2", "both"],
        ["bar", "baz", "2.5", "bar only"],
    ]


def test_the_whole_in_a_line() -> None:
    assert headline(snapshot(*UNITS)) == "foo  1.2   4 nodes (1 unreachable)   2 links   3 units (1 running, 1 failed)"
