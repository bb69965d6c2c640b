from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_control import FakeNode, fake_node
from receptorctl_runs import Receptorctl


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with fake_node() as fake:
        yield fake


@pytest.fixture
def ctl(node: FakeNode, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Receptorctl:
    """Runs receptorctl, as a function of this process, against the fake node."""
    for variable in ("RECEPTORCTL_SOCKET", "RECEPTORCTL_CONFIG", "RECEPTORCTL_TLSCLIENT"):
        monkeypatch.delenv(variable, raising=False)
    return Receptorctl(node.path, capfdbinary)
