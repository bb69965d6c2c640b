from __future__ import annotations

import copy
import pickle
import re

import pytest

from receptor import errors
from receptor.errors import LimitReached, ReceptorError, TimeExpired, UnitFailed, UnknownUnit, UnknownWorkType


def test_the_texts_that_clients_match_on() -> None:
    assert str(UnknownUnit("kJ3xY9aB")) == "unknown work unit kJ3xY9aB"
    assert str(UnknownWorkType("cat")) == "unknown work type cat"


@pytest.mark.parametrize(
    "error",
    [
        UnknownUnit("kJ3xY9aB"),
        UnknownWorkType("cat"),
        LimitReached("the node has 10 units"),
        UnitFailed("unit kJ3xY9aB failed", "kJ3xY9aB", 7),
        TimeExpired("over"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_goes_through_pickle_as_it_is(error: ReceptorError) -> None:
    error.add_note("a note")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))


def test_the_tree_is_as_drawn() -> None:
    assert errors.__doc__
    drawn: dict[str, str] = {}
    path: dict[int, str] = {}
    for indent, name in re.findall(r"^([ │├└─]{4,})([A-Z]\w+)", errors.__doc__, re.MULTILINE):
        path[len(indent)] = name
        drawn[name] = path.get(len(indent) - 4, "Exception")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in kinds}
