from __future__ import annotations

import re

import pytest
from jsonschema import Draft202012Validator

from receptor.config.kind import ANY_SCALAR, Kind, Schema, any_case, named, one_of


def accepts(schema: Schema, value: object) -> bool:
    return Draft202012Validator(schema).is_valid(value)


def test_a_kind_says_nothing_of_how_its_text_looks_unless_told() -> None:
    assert Kind("text", str).schema is ANY_SCALAR
    scalars: list[object] = ["a", "", 1, 2.5, True]
    others: list[object] = [None, [], {}]
    assert all(accepts(ANY_SCALAR, value) for value in scalars)
    assert not any(accepts(ANY_SCALAR, value) for value in others)


def test_a_text_with_commas_is_a_list() -> None:
    numbers = Kind("a list of numbers", int, many="list")
    assert numbers.value("1, 2,3") == frozenset({1, 2, 3})
    assert numbers.value(["1", "2"]) == frozenset({1, 2})
    with pytest.raises(ValueError, match=r"^'1,x'$"):
        numbers.value("1,x")


def test_a_comma_in_a_single_value_is_part_of_it() -> None:
    assert Kind("text", str).value("a, b") == "a, b"
    assert Kind("texts", str, many="list").value(["a, b"]) == frozenset({"a, b"})


@pytest.mark.parametrize("text", ["tcp-peer", "TCP-Peer", "id2"])
def test_any_letter_case(text: str) -> None:
    assert re.search(any_case(["tcp-peer", "id2"]), text)


@pytest.mark.parametrize("text", ["tcp-peers", "xtcp-peer", "tcp_peer", "id", ""])
def test_other_texts_in_any_letter_case(text: str) -> None:
    assert not re.search(any_case(["tcp-peer", "id2"]), text)


def test_one_of_some_texts() -> None:
    schema = one_of(iter(["accept", "drop"]))
    assert all(accepts(schema, text) for text in ("accept", "drop", "Drop", "ACCEPT"))
    assert not any(accepts(schema, value) for value in ("burn", 1, None))


def test_a_map_with_named_values() -> None:
    schema = named({"port": {"type": "integer"}, "bindaddr": {"type": "string"}}, ["port"])
    assert accepts(schema, {"port": 1, "bindaddr": "::"})
    assert accepts(schema, {"Port": 1, "BindAddr": "::"})
    assert not accepts(schema, {"bindaddr": "::"})
    assert not accepts(schema, {"port": "x"})
    assert not accepts(schema, {"port": 1, "cost": 2})
    assert not accepts(schema, {"Port": 1, "Cost": 2})
    assert not accepts(schema, ["port"])
