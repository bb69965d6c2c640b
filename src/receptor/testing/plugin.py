"""The pytest plugin: the fixture ``receptor_mesh``. Loaded by every pytest of an environment, so it costs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from receptor.testing.mesh import Mesh, NodeContents, Shape


class MeshFactory(Protocol):
    """What the fixture ``receptor_mesh`` is, for annotations."""

    def __call__(self, nodes: Mapping[str, NodeContents], *, links: Shape | Iterable[tuple[str, str]] = "star") -> Mesh:
        """A running mesh; see ``receptor.testing.Mesh``."""


@pytest.fixture
def receptor_mesh() -> Iterator[MeshFactory]:
    """Makes meshes of real Receptor nodes that end with the test: receptor_mesh({"foo": {}, "bar": {"cat": "cat"}})."""
    with ExitStack() as meshes:

        def make(nodes: Mapping[str, NodeContents], *, links: Shape | Iterable[tuple[str, str]] = "star") -> Mesh:
            from receptor.testing.mesh import Mesh  # only who uses the fixture pays for its import

            return meshes.enter_context(Mesh(nodes, links=links))

        yield make
