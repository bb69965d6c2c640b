from __future__ import annotations

import pytest

from bench.table import aligned, number


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned([["a", "b", "cc"], ["long", "1,000", ""]]) == "a         b  cc\nlong  1,000"


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.94, "99.9"), (9.994, "9.99"), (0.0, "0.00"), (-12.34, "-12.3")]
)
def test_numbers_have_as_many_digits_as_mean_something(value: float, text: str) -> None:
    assert number(value) == text
