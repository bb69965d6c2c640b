from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest

from receptor.testing.links import Links, Routes, astray, distances, pairs

ROUND = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]


@pytest.mark.parametrize(
    ("links", "nodes", "found"),
    [
        ("star", "abc", [("a", "b"), ("a", "c")]),
        ("chain", "abc", [("a", "b"), ("b", "c")]),
        ("full", "abc", [("a", "b"), ("a", "c"), ("b", "c")]),
        ("star", "", []),
        ("chain", "a", []),
        ([("c", "a")], "abc", [("c", "a")]),
    ],
)
def test_shapes_are_pairs(links: Links, nodes: str, found: list[tuple[str, str]]) -> None:
    assert list(pairs(links, nodes).values()) == found


@pytest.mark.parametrize(
    ("links", "problem"),
    [
        ([("a", "b")], "no link between 'a' and 'b' can be; the nodes of the mesh: a, c"),
        ([("a", "a")], "no link between 'a' and 'a' can be"),
        ("ring", "there is no shape 'ring'; links are pairs of node ids, or star, chain, full"),
    ],
)
def test_links_that_can_not_be(links: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        pairs(cast("Links", links), ["a", "c"])


def test_distances_are_the_shortest() -> None:
    found = distances("abcde", ROUND)
    assert found["a"] == {"b": 1, "d": 1, "c": 2}
    assert found["e"] == {}


GOOD: Mapping[str, Routes] = {
    "a": {"b": "b", "c": "d", "d": "d"},
    "b": {"a": "a", "c": "c", "d": "c"},
    "c": {"a": "b", "b": "b", "d": "d"},
    "d": {"a": "a", "b": "a", "c": "c"},
}


@pytest.mark.parametrize(
    ("routes_of_b", "wrong"),
    [
        (GOOD["b"], ""),
        ({"a": "a", "c": "c", "d": "a"}, ""),
        ({"a": "a", "c": "c"}, "b"),
        ({"a": "a", "c": "a", "d": "a"}, "b"),
        ({"a": "a", "c": "c", "d": ""}, "b"),
        ({"a": "a", "c": "c", "d": "c", "e": "c"}, "b"),
    ],
)
def test_routes_are_right_if_each_hop_is_nearer(routes_of_b: Routes, wrong: str) -> None:
    assert astray({**GOOD, "b": routes_of_b}, distances("abcd", ROUND)) == wrong
