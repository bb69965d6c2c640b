from __future__ import annotations

from bench.figures import FIGURES
from bench.guard import BOUNDS
from bench.scenarios import SCENARIOS

LATENCY, RATE, FREE = FIGURES["local-true"], FIGURES["local-units"], FIGURES["remote-true"]


def test_latencies_have_to_be_low_and_rates_high() -> None:
    assert LATENCY.is_met_by(5.0)
    assert not LATENCY.is_met_by(5.1)
    assert RATE.is_met_by(350)
    assert not RATE.is_met_by(349)


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    assert FREE.is_met_by(1.0) is None


def test_better_means_faster_or_more() -> None:
    assert LATENCY.times_better(5.0, than=10.0) == 2
    assert RATE.times_better(100.0, than=200.0) == 0.5
    assert LATENCY.times_better(0.0, than=1.0) == float("inf")


def test_each_figure_is_measured_by_one_scenario() -> None:
    assert sorted(name for scenario in SCENARIOS for name in scenario.figures) == sorted(FIGURES)


def test_what_is_guarded_is_measured() -> None:
    assert {bound.figure for bound in BOUNDS} <= set(FIGURES)
