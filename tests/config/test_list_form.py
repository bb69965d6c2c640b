from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from receptor.config.list_form import FORM, actions_of_list
from receptor.config.written import WrittenAction, WrittenValue
from receptor.errors import ConfigurationError


def actions(content: str) -> list[WrittenAction]:
    root = yaml.compose(content, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.SequenceNode)
    return actions_of_list(Path("c.yml"), root)


def test_actions_in_their_order_with_their_lines() -> None:
    assert actions("- node:\n    id: foo\n\n- local-only\n- log-level: debug\n- trace:\n") == [
        WrittenAction("node", "c.yml:1", (WrittenValue("id", "foo", "c.yml:2"),)),
        WrittenAction("local-only", "c.yml:4"),
        WrittenAction("log-level", "c.yml:5", (WrittenValue(None, "debug", "c.yml:5"),)),
        WrittenAction("trace", "c.yml:6"),
    ]


def test_a_list_of_nothing() -> None:
    assert actions("[]") == []


def test_all_that_is_no_action_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as told:
        actions("- []\n- node: foo\n- {}\n- ~\n- node: [foo]\n")
    assert str(told.value).splitlines() == [
        f"c.yml:1: this is no action; {FORM}",
        f"c.yml:3: this is no action; {FORM}",
        f"c.yml:4: this is no action; {FORM}",
        "c.yml:5: node takes a value or keys with values, not a list",
    ]


def test_keys_beside_their_action_are_told() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^c\.yml:2: 'node' and 'id' are at one level; begin each action with"
    ):
        actions("- node:\n  id: foo\n")
