from __future__ import annotations

import pytest

from receptor.ctl.meant import nearest


@pytest.mark.parametrize(
    ("given", "meant"),
    [("bay", "baz"), ("BAR", "bar"), ("nowhere", ""), ("controler-1", "controller-1"), ("", "")],
)
def test_the_name_that_was_meant(given: str, meant: str) -> None:
    assert nearest(given, ["bar", "baz", "gopher", "controller-1"]) == meant
