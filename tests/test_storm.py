"""Storms over simulated meshes; see ``storm.py`` for what happens in them, what must hold, and how to replay one.

STORM_SEED, STORM_NODES and STORM_STEPS choose another storm than the two small ones of every run.
"""

from __future__ import annotations

import os

import pytest
import storm
from storm import Storm, shortest

CHOSEN = os.environ.get("STORM_SEED")
STORMS = [(int(CHOSEN), 300, 60)] if CHOSEN else [(1, 25, 150), (2, 60, 30)]


@pytest.mark.parametrize(("seed", "nodes", "steps"), STORMS)
def test_a_mesh_finds_its_ways_again_after_every_storm(seed: int, nodes: int, steps: int) -> None:
    storm.run(seed, int(os.environ.get("STORM_NODES", nodes)), int(os.environ.get("STORM_STEPS", steps)))


def test_the_same_seed_makes_the_same_storm() -> None:
    logs = []
    for seed in (7, 7, 8):
        small = Storm(seed, 12)
        for _ in range(20):
            small.step()
        logs.append(small.log)
    assert logs[0] == logs[1] != logs[2]


def test_a_failure_tells_how_to_replay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Storm) -> None:
        raise AssertionError("something is wrong")

    monkeypatch.setattr(Storm, "check_always", fail)
    with pytest.raises(AssertionError, match=r"(?s)something is wrong.*replay it with: python tests/storm.py 3 12 20"):
        storm.run(3, 12, 20)


def test_shortest_ways_are_those_of_least_cost() -> None:
    costs = {"a": {"b": 5.0, "c": 1.0}, "b": {"a": 5.0, "c": 1.0}, "c": {"a": 1.0, "b": 1.0}, "d": {}}
    assert shortest(costs, "a") == {"a": 0.0, "b": 2.0, "c": 1.0}
    assert shortest(costs, "d") == {"d": 0.0}
