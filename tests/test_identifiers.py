from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor.identifiers import is_localhost, is_service_name, is_unit_id, random_name


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "LOCALHOST"])
def test_localhost_in_any_letter_case(name: str) -> None:
    assert is_localhost(name)


@pytest.mark.parametrize("name", ["", "local", "localhost ", "localhost.", "foo"])
def test_other_nodes_are_not_localhost(name: str) -> None:
    assert not is_localhost(name)


@pytest.mark.parametrize("text", ["a", "kJ3xY9aB", "_x", "a-b_c", "x" * 64])
def test_unit_ids(text: str) -> None:
    assert is_unit_id(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "-rf", "a.b", "x\0y", "a b", "abc\n", "é", "٣", "x" * 65],
)
def test_what_could_climb_or_hide_is_no_unit_id(text: str) -> None:
    assert not is_unit_id(text)


@pytest.mark.parametrize("text", ["control", "a", "12345678", "µµµµ"])
def test_service_names(text: str) -> None:
    assert is_service_name(text)


@pytest.mark.parametrize("text", ["", "123456789", "µµµµµ", "a\0", "\ud800\ud800\ud800"])
def test_what_does_not_fit_a_packet_is_no_service_name(text: str) -> None:
    assert not is_service_name(text)


@given(st.integers(), st.integers(min_value=1, max_value=64))
def test_a_random_name_may_be_a_unit_id(seed: int, length: int) -> None:
    name = random_name(random.Random(seed), length)
    assert len(name) == length
    assert is_unit_id(name)


def test_random_names_are_services_and_differ() -> None:
    rng = random.Random(1)
    names = {random_name(rng) for _ in range(1000)}
    assert len(names) == 1000
    assert all(is_service_name(name) for name in names)
