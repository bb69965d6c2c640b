from __future__ import annotations

import click
import pytest

from receptor.ctl.parameters import WHOLE_NUMBER


def test_whole_numbers() -> None:
    assert WHOLE_NUMBER.convert("0", None, None) == 0
    assert WHOLE_NUMBER.convert("020", None, None) == 20
    assert WHOLE_NUMBER.convert(4, None, None) == 4


@pytest.mark.parametrize("text", ["-3", "x", "", "1.5", "²", "٣"])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a whole number of 0 or more"):
        WHOLE_NUMBER.convert(text, None, None)
