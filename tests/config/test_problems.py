from __future__ import annotations

import pytest

from receptor.config.problems import Problems, meant
from receptor.errors import ConfigurationError


def test_all_problems_are_told_at_once_in_order() -> None:
    problems = Problems()
    problems.note("c.yml:1: one")
    with problems.noted():
        raise ConfigurationError("c.yml:2: two")
    with pytest.raises(ConfigurationError) as told:
        problems.raise_if_any()
    assert str(told.value) == "c.yml:1: one\nc.yml:2: two"


def test_without_problems_nothing_is_raised() -> None:
    problems = Problems()
    with problems.noted():
        pass
    problems.raise_if_any()


def test_other_errors_are_not_held_back() -> None:
    with pytest.raises(KeyError), Problems().noted():
        raise KeyError


def test_the_nearest_name_is_proposed() -> None:
    assert meant("comand", ["worktype", "command"], "look it up") == "did you mean 'command'?"
    assert meant("xyz", ["worktype", "command"], "look it up") == "look it up"
