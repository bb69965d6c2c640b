from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from recordings import DATA_FOLDER

from receptor.netceptor.highwayhash import name_hash


def test_names_hash_as_existing_nodes_hash_them() -> None:
    recorded = json.loads((DATA_FOLDER / "highwayhash.json").read_text("utf-8"))
    assert {name: f"{name_hash(name):016x}" for name in recorded} == recorded


@given(st.text(st.characters(), max_size=100))
def test_any_text_has_a_hash_of_64_bits(name: str) -> None:
    assert 0 <= name_hash(name) < 2**64
