from __future__ import annotations

import pytest

from bench.summary import Summary, percentile


def test_a_summary_tells_the_median_and_how_far_the_samples_lie_apart() -> None:
    summary = Summary.of([4.0, 1.0, 2.0])

    assert (summary.least, summary.median, summary.most, summary.spread) == (1.0, 2.0, 4.0, 1.5)


def test_samples_of_nothing_at_all_have_no_spread() -> None:
    assert Summary.of([0.0, 0.0]).spread == 0.0


@pytest.mark.parametrize(("percent", "expected"), [(1, 1.0), (50, 10.0), (95, 19.0), (96, 20.0), (100, 20.0)])
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(percent: float, expected: float) -> None:
    assert percentile([float(n) for n in range(20, 0, -1)], percent) == expected


def test_the_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 50) == 7.0
