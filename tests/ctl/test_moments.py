from __future__ import annotations

import pytest

from receptor.ctl.moments import ago, parse_moment, span


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:00:00.25+01:00", 0.25),
        ("2024-05-06T07:08:09.123456789Z", 1714979289.123456),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:01:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_moments_are_read(text: str, seconds: float | None) -> None:
    assert parse_moment(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (172799, "47 h"), (172800, "2 d")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_before_and_after_now() -> None:
    assert ago(100, 160) == "1 min ago"
    assert ago(160.5, 160) == "0 s ago"  # two clocks are never quite the same
    assert ago(400, 160) == "in 4 min"
