"""A mesh of real nodes within a test, for code that uses Receptor (docs/testing.md).

``Mesh``   the mesh as a context manager, whatever runs the tests
``Node``   one of its nodes

pytest has it as the fixture ``receptor_mesh`` (``plugin``). The names are loaded when they are first used, since pytest
imports this for every project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receptor.testing.links import Links
    from receptor.testing.mesh import Mesh, MeshFactory, Node, NodeContents

__all__ = ["Links", "Mesh", "MeshFactory", "Node", "NodeContents"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from receptor.testing import mesh

    return getattr(mesh, name)
