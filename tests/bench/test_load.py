from __future__ import annotations

import os
from pathlib import Path

import pytest
from bench_node import bench_node

from bench.control import FAILED, RUNNING, SUCCEEDED, BenchError
from bench.load import Load, drive


def test_all_units_are_submitted_and_seen_to_their_ends(short_folder: Path) -> None:
    with bench_node(short_folder) as node:
        outcome = drive(node.path, Load("bar", "true", clients=3, units=10, ask_every=0.001))

    assert len(node.payloads) == 10
    assert all(unit.startswith("bartrue") for unit in node.payloads)
    assert set(node.asked.values()) == {2}
    assert len(outcome.latencies) == 10
    assert 0.001 < min(outcome.latencies) <= max(outcome.latencies) < outcome.whole


def test_each_client_has_one_unit_at_a_time(short_folder: Path) -> None:
    with bench_node(short_folder) as node:
        drive(node.path, Load("bar", "true", clients=3, units=12, ask_every=0.001))

    assert node.most_at_once <= 3


def test_it_may_be_enough_that_a_unit_runs(short_folder: Path) -> None:
    with bench_node(short_folder) as node:
        drive(node.path, Load("localhost", "sleep", clients=2, units=4, ask_every=0.001, until=RUNNING))

    assert set(node.asked.values()) == {1}


@pytest.mark.parametrize(("end", "refusal"), [(FAILED, ""), (SUCCEEDED, "ERROR: not now: too many units")])
def test_a_unit_that_fails_or_is_refused_ends_it_all_and_leaves_nothing_open(
    short_folder: Path, end: int, refusal: str
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with bench_node(short_folder, end) as node:
        node.refusal = refusal
        with pytest.raises(BenchError, match=refusal or "state 3"):
            drive(node.path, Load("bar", "true", clients=2, units=4, ask_every=0.001))
    assert len(os.listdir("/proc/self/fd")) == before
