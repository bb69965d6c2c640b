"""The pytest plugin: the fixture ``receptor_mesh``. Every pytest of an environment loads it, and nothing else by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from receptor.testing import Links, Mesh, MeshFactory, NodeContents


@pytest.fixture
def receptor_mesh() -> Iterator[MeshFactory]:
    """Makes meshes of real Receptor nodes that end with the test: receptor_mesh({"foo": {}, "bar": {"cat": "cat"}})."""
    with ExitStack() as meshes:

        def make(nodes: Mapping[str, NodeContents], *, links: Links = "star") -> Mesh:
            from receptor.testing.mesh import Mesh

            return meshes.enter_context(Mesh(nodes, links=links))

        yield make
