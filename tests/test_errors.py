from __future__ import annotations

import re

from receptor import errors
from receptor.errors import UnknownUnit, UnknownWorkType


def test_the_texts_that_clients_match_on() -> None:
    assert str(UnknownUnit("kJ3xY9aB")) == "unknown work unit kJ3xY9aB"
    assert str(UnknownWorkType("cat")) == "unknown work type cat"


def test_the_tree_is_as_drawn() -> None:
    assert errors.__doc__
    drawn: dict[str, str] = {}
    path: dict[int, str] = {}
    for indent, name in re.findall(r"^([ │├└─]{4,})([A-Z]\w+)", errors.__doc__, re.MULTILINE):
        path[len(indent)] = name
        drawn[name] = path.get(len(indent) - 4, "Exception")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in kinds}
