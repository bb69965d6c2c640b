from __future__ import annotations

import pytest

from receptor.client import outage
from receptor.ctl.outage import Outage
from receptor.errors import UnreachableError

GONE = UnreachableError("it is gone")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.0)


def test_patience_ends(capfd: pytest.CaptureFixture[str]) -> None:
    away = Outage(patience=0.0)
    away.wait(GONE)
    with pytest.raises(UnreachableError, match="it is gone"):
        away.wait(GONE)
    assert capfd.readouterr().err == "Lost the node, and trying to reach it again: it is gone\n"


def test_each_outage_counts_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    away = Outage(patience=0.0)
    away.is_over()
    for _ in range(3):
        away.wait(GONE)
        away.is_over()
    assert capfd.readouterr().err.splitlines()[1] == "The node is back."


def test_without_a_limit_something_else_ends_it() -> None:
    away = Outage(patience=None)
    for _ in range(10):
        away.wait(GONE)
