from __future__ import annotations

from dataclasses import replace

import pytest
from diagnoses import HEALTHY, NOW, command, lines
from mesh_answers import advertisement, three

from receptor.ctl.doctor.facts import NodeFacts
from receptor.ctl.doctor.mesh_checks import check_mesh


def of_costs(costs: dict[str, dict[str, float]]) -> list[str]:
    return lines(check_mesh(replace(HEALTHY, status=three(KnownConnectionCosts=costs)), command))


def test_a_mesh_in_order() -> None:
    assert lines(check_mesh(HEALTHY, command)) == [
        "ok: 2 other nodes in reach of foo: bar, baz",
        "ok: 2 nodes answered over the mesh: bar, baz",
    ]


def test_a_node_alone_is_in_order() -> None:
    alone = three(Connections=[], RoutingTable={}, KnownConnectionCosts={}, Advertisements=[])
    assert lines(check_mesh(replace(HEALTHY, status=alone, others={}), command)) == [
        "ok: foo is alone: it has no link, and knows no other node"
    ]


def test_a_node_out_of_reach() -> None:
    status = three(Advertisements=[advertisement("gone")])
    assert lines(check_mesh(replace(HEALTHY, status=status), command))[1] == (
        "warning: gone is out of reach (heard of 1 min ago): it was there, and has no link now -> see whether gone "
        "runs, and what its log says of its links"
    )


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        (
            {"foo": {"bar": 1}, "bar": {"foo": 1, "baz": 1}, "baz": {"qux": 1}, "qux": {"baz": 1}},
            "warning: bar tells of a link with baz, and baz of none with bar, so it is not used",
        ),
        (
            {"foo": {"bar": 1}, "bar": {"foo": 1, "baz": 2.5}, "baz": {"bar": 3}},
            "warning: the link of bar and baz costs 2.5 there and 3 back",
        ),
        (
            {"foo": {"bar": 1}, "bar": {"foo": 1, "baz": -1}, "baz": {"bar": -1}},
            "problem: the link of bar with baz costs -1",
        ),
    ],
)
def test_links_that_are_odd(costs: dict[str, dict[str, float]], said: str) -> None:
    assert any(line.startswith(said) for line in of_costs(costs))


@pytest.mark.parametrize(
    ("bar", "said"),
    [
        (
            NodeFacts("bar", ping_trouble="timeout"),
            "problem: bar has a route, but answers no ping: timeout -> see how far the way leads: receptorctl "
            "traceroute bar",
        ),
        (
            NodeFacts("bar", wants_tls=True),
            "skipped: bar answers pings, and wants TLS for questions -> ask it with: receptorctl doctor "
            "--tls-client NAME",
        ),
        (
            NodeFacts("bar", trouble="may not"),
            "skipped: bar answers pings, but no questions: may not",
        ),
    ],
)
def test_nodes_that_don_t_answer(bar: NodeFacts, said: str) -> None:
    assert said in lines(check_mesh(replace(HEALTHY, others={"bar": bar}), command))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (NOW + 7200, "warning: control of baz was last advertised 2 h ago, which is too long"),
        (NOW - 600, "warning: control of baz was advertised 9 min in the future -> correct the clock of baz"),
    ],
)
def test_words_that_are_too_old_or_too_new(now: float, said: str) -> None:
    assert any(line.startswith(said) for line in lines(check_mesh(replace(HEALTHY, now=now, others={}), command)))
