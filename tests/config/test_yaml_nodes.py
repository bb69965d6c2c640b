from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from receptor.config.written import WrittenValue
from receptor.config.yaml_nodes import is_nothing, place, text, values
from receptor.errors import ConfigurationError

PATH = Path("c.yml")


def node(content: str) -> yaml.Node:
    root = yaml.compose(content, Loader=yaml.SafeLoader)
    assert root is not None
    return root


@pytest.mark.parametrize("written", ["123", "yes", "0x1F", "1.50", "2024-01-01", "0660", "12:30"])
def test_text_is_taken_as_written(written: str) -> None:
    assert text(PATH, node(written)) == written


@pytest.mark.parametrize("content", ["[a]", "{a: b}", "~", "null", '"a\\0b"'])
def test_what_is_no_text_is_told_with_its_place(content: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^c\.yml:2: "):
        text(PATH, node(f"---\n{content}"))


@pytest.mark.parametrize(("content", "nothing"), [("~", True), ("null", True), ("'null'", False), ("0", False)])
def test_nothing(content: str, nothing: bool) -> None:
    assert is_nothing(node(content)) is nothing


def test_places_are_lines() -> None:
    assert place(PATH, node("# comment\n\n- a\n")) == "c.yml:3"


def test_values_have_the_lines_of_their_keys() -> None:
    assert values(PATH, "node", node("id: foo\nlist:\n  - a\n  - {b: 1}\nmap:\n  c: ~\n  d: [e]\nno:\n")) == (
        WrittenValue("id", "foo", "c.yml:1"),
        WrittenValue("list", ["a", {"b": "1"}], "c.yml:2"),
        WrittenValue("map", {"c": None, "d": None}, "c.yml:5"),
        WrittenValue("no", None, "c.yml:8"),
    )


def test_one_value_or_none() -> None:
    assert values(PATH, "node", node("foo")) == (WrittenValue(None, "foo", "c.yml:1"),)
    assert values(PATH, "node", node("~")) == ()
    with pytest.raises(ConfigurationError, match=r"^c\.yml:1: node takes a value or keys with values, not a list$"):
        values(PATH, "node", node("[foo]"))
