"""The Python API: what mkdocstrings is to describe."""

from __future__ import annotations

from importlib.util import find_spec

HEAD = "# Python\n\nWhat programs import, from the docstrings of the source.\n"
MODULES = {
    "receptor.client": "Talk to nodes",
    "receptor.testing": "A mesh for tests",
}


def page() -> str:
    """The page in Markdown; a module that this version does not have is left out."""
    there = (name for name in MODULES if find_spec(name))
    return "\n".join([HEAD, *(f"## {MODULES[name]}\n\n::: {name}\n" for name in there)])
