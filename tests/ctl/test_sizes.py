from __future__ import annotations

import pytest

from receptor.ctl.sizes import size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536.5, "1.5 KiB"),
        (102_350, "100 KiB"),
        (1023 * 1024, "1.0 MiB"),
        (1_500_000_000, "1.4 GiB"),
        (2**70, "1024 EiB"),
    ],
)
def test_the_largest_unit_that_fits(count: float, text: str) -> None:
    assert size_text(count) == text
