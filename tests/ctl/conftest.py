from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_control import FakeNode, fake_node
from receptorctl_runs import Receptorctl

from receptor.ctl import finding


@pytest.fixture(autouse=True)
def _no_node_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor files of whoever runs the tests say where a node is."""
    for variable in ("RECEPTORCTL_SOCKET", "RECEPTORCTL_CONFIG", "RECEPTORCTL_TLSCLIENT", "RECEPTORCTL_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(finding, "PLACES", finding.Places((), ()))


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with fake_node() as fake:
        yield fake


@pytest.fixture
def ctl(node: FakeNode, capfdbinary: pytest.CaptureFixture[bytes]) -> Receptorctl:
    """Runs receptorctl, as a function of this process, against the fake node."""
    return Receptorctl(node.path, capfdbinary)
