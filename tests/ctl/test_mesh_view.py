from __future__ import annotations

import pytest
from mesh_answers import three

from receptor.ctl import mesh_view
from receptor.ctl.mesh_view import Route


def test_the_cost_of_a_route_is_that_of_the_whole_way() -> None:
    assert mesh_view.routes(three()) == [Route("bar", "bar", 1, 1), Route("baz", "bar", 3.5, 2)]


def test_the_cheapest_way_counts_and_not_the_shortest() -> None:
    costs = {"foo": {"bar": 1, "baz": 9}, "bar": {"foo": 1, "baz": 1}, "baz": {"bar": 1, "foo": 9}}
    assert mesh_view.routes(three(KnownConnectionCosts=costs))[1] == Route("baz", "bar", 2, 2)


@pytest.mark.parametrize(
    ("far_end", "expected"),
    [
        ({}, Route("baz", "bar", None, None)),
        (None, Route("baz", "bar", 3.5, 2)),
    ],
)
def test_a_link_counts_if_the_far_end_says_so_or_was_not_heard(
    far_end: dict[str, float] | None, expected: Route
) -> None:
    costs: dict[str, dict[str, float]] = {"foo": {"bar": 1}, "bar": {"foo": 1, "baz": 2.5}}
    if far_end is not None:
        costs["baz"] = far_end
    assert mesh_view.routes(three(KnownConnectionCosts=costs))[1] == expected


def test_every_node_that_was_heard_of_is_a_node() -> None:
    nodes = mesh_view.nodes(three())
    assert [(one.node_id, one.standing) for one in nodes] == [
        ("foo", "self"),
        ("bar", "linked"),
        ("baz", "reachable"),
        ("gone", "unreachable"),
    ]
    bar = nodes[1]
    assert (bar.services, bar.last_seen) == (("control", "shell"), "2026-01-31T12:00:05Z")
    assert [one.name for one in bar.work_types] == ["cat"]
    assert nodes[3].as_json()["Via"] is None


def test_services_are_in_order_and_their_tags_readable() -> None:
    services = mesh_view.services(three())
    assert [(one.node_id, one.name, one.kind) for one in services] == [
        ("bar", "control", "stream"),
        ("bar", "shell", "stream TLS"),
        ("baz", "control", "stream"),
        ("foo", "control", "stream"),
    ]
    assert services[2].tags_text == "multiplex, type=Control Service"


def test_a_node_alone() -> None:
    alone = three(Connections=[], RoutingTable={}, KnownConnectionCosts={}, Advertisements=[])
    assert [one.node_id for one in mesh_view.nodes(alone)] == ["foo"]
    assert mesh_view.routes(alone) == []
    assert mesh_view.services(alone) == []
