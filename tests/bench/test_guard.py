from __future__ import annotations

import pytest

from bench.guard import BOUNDS, Bound, regressions, table
from bench.primitives import PRIMITIVES
from bench.summary import Summary

MACHINE = {each.name: Summary.of([1000.0, 500.0, 2000.0]) for each in PRIMITIVES}


@pytest.mark.parametrize(
    ("bound", "limit"),
    [
        (Bound("local-true", 10, "spawns"), 20.0),
        (Bound("local-units", 10, "spawns"), 50.0),
        (Bound("payload", 512, "cipher"), 1000.0),
        (Bound("idle-memory", 90), 90.0),
    ],
)
def test_a_bound_follows_the_slowest_that_the_machine_was(bound: Bound, limit: float) -> None:
    assert bound.limit(MACHINE) == limit


def measured(times: float) -> dict[str, Summary]:
    """All guarded figures so many times worse than allowed, but for one sample that is far worse."""
    figures = {}
    for bound in BOUNDS:
        limit = bound.limit(MACHINE)
        is_less_better = bound.figure not in {"local-units", "remote-units", "payload", "results", "local-cat"}
        value, bad = (limit * times, limit * 100) if is_less_better else (limit / times, limit / 100)
        figures[bound.figure] = Summary.of([bad, value])
    return figures


def test_one_good_sample_is_enough() -> None:
    assert regressions(measured(0.9), {}, MACHINE) == []


def test_each_figure_out_of_its_bound_is_told() -> None:
    lines = regressions(measured(1.1), {}, MACHINE)

    assert len(lines) == len(BOUNDS)
    assert lines[0].startswith("local unit true, p50: ")
    assert "at most" in lines[0]
    assert lines[0].endswith("x bare posix_spawn of true)")


def test_what_can_not_be_measured_is_a_regression() -> None:
    figures = measured(0.5)
    del figures["start"]

    assert regressions(figures, {"start": "it does not start"}, MACHINE) == [
        "node start to greeting: can't be measured: it does not start"
    ]


def test_the_table_shows_value_and_bound() -> None:
    lines = table({"idle-memory": Summary.of([91.0, 95.0])}, MACHINE).splitlines()

    assert lines[1].split() == ["memory", "of", "an", "idle", "node", "(PSS)", "MiB", "91.0", "60.0", "fixed", "NO"]
