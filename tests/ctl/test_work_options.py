from __future__ import annotations

import click
import pytest

from receptor.ctl.work_options import DURATION


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("1.5", 1.5), ("90s", 90), ("1h30m", 5400), ("7d", 604800), ("1d12h", 129600)]
)
def test_durations(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["soon", "", "0", "-5s", "d", "1d1d", "1 h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"duration|no time at all"):
        DURATION.convert(text, None, None)
