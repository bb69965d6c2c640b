from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("90s", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("5.s", 5),
        ("1h2m3s4ms5us6ns", 3723.004005006),
        ("1µs", 1e-6),
        ("1μs", 1e-6),
        ("30m1h", 5400),
        ("-1m", -60),
        ("+1m", 60),
        (" 5s\n", 5),
    ],
)
def test_go_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", "-", "5", "0.0", "s", ".s", "1d", "1S", "5 s", "1h-30m", "--5s", "-+5s", "1e3s", "inf", "nan", "٣s", "1_0s"],
)
def test_what_is_no_duration_is_refused_with_advice(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration; write it like 1h30m, 90s or 1\.5h"):
        parse_duration(text)


def test_a_text_without_end_is_neither_searched_nor_shown_whole() -> None:
    with pytest.raises(ValueError) as refusal:
        parse_duration("1s" * 1_000_000)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-0.0, "0s"),
        (1e-10, "0s"),
        (1e-9, "1ns"),
        (1.5e-6, "1.5µs"),
        (0.000_999_999, "999.999µs"),
        (0.001, "1ms"),
        (0.012_345, "12.345ms"),
        (0.999_999_999_9, "1s"),
        (1.5, "1.5s"),
        (60, "1m0s"),
        (90, "1m30s"),
        (3600, "1h0m0s"),
        (5400.25, "1h30m0.25s"),
        (-90, "-1m30s"),
        (360_000, "100h0m0s"),
    ],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_what_was_written_reads_the_same(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds / 1e9)) == pytest.approx(nanoseconds / 1e9, abs=1e-10)


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError as refusal:
        assert "is not a duration" in str(refusal)  # noqa: PT017 (both ways are right)
