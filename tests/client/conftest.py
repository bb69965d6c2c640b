from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_control import FakeNode, fake_node


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with fake_node() as fake:
        yield fake
