"""What strangers send: good data with damage in it, JSON that is nearly right, and noise."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

noise = st.binary(max_size=200)

NASTY = [
    b"", b"\0", b"\n", b"\r\n", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\\ud800", b"\\u0000", b"\\n",
    b'"', b"'", b"{", b"}", b"[", b"]", b":", b",", b"null", b"true", b"{}", b"[]", b"-1", b"0.5", b"1e999", b"-1e-999",
    b"NaN", b"Infinity", b"18446744073709551616", b"9223372036854775808", b"../", b"\xd9\xa3",
]  # fmt: skip
"""Pieces of data at which readers are known to stumble."""

REPEATED = [(b"9", 400), (b"9", 5000), (b"x", 2000), (b"[", 3000), (b'{"a":', 3000)]
"""The same, if there are so many; hypothesis lets readers recurse deeper than usual."""


@dataclass(frozen=True)
class Edit:
    """Replaces that many bytes from a position on; positions count on from the start behind the end."""

    position: int
    removed: int
    added: bytes
    times: int = 1

    def apply(self, data: bytes) -> bytes:
        start = self.position % (len(data) + 1)
        return data[:start] + self.added * self.times + data[start + self.removed :]


positions = st.integers(0, 4095)
sizes = st.sampled_from([0, 1, 1, 2, 4, 8, 10_000])
pieces = st.binary(max_size=4) | st.sampled_from(NASTY)
edit = st.one_of(
    *[st.builds(Edit, positions, sizes, pieces)] * 8,
    st.builds(lambda position, size, piece: Edit(position, size, *piece), positions, sizes, st.sampled_from(REPEATED)),
)
edits = st.lists(edit, max_size=4)


def without_path(message: str) -> str:
    """An error's text without the path to what is wrong, which msgspec tells in full, however deep it is."""
    return re.sub(r" - at `\$[^`]*`", "", message)


def edited(data: bytes, changes: Sequence[Edit]) -> bytes:
    return reduce(lambda before, edit: edit.apply(before), changes, data)


def damaged(good: Sequence[bytes]) -> SearchStrategy[bytes]:
    """One of the good ones with some edits, or noise."""
    return st.builds(edited, st.sampled_from(good), edits) | noise


texts = st.text(max_size=12)
numbers = st.sampled_from([0, 1, 2, 7, 1000, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -1, 10**400]) | st.integers()
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)

_LEFT_OUT = object()


def like(good: Mapping[str, SearchStrategy[object]]) -> SearchStrategy[bytes]:
    """JSON objects with these keys, of which a few may be missing or have values of any kind; and other keys."""
    wrong = st.dictionaries(st.sampled_from(sorted(good)), json_values | st.just(_LEFT_OUT), max_size=2)
    others: SearchStrategy[dict[str, object]] = st.just({}) | st.dictionaries(texts, json_values, max_size=2)
    objects = st.builds(_json, others, st.fixed_dictionaries(dict(good)), st.just({}) | wrong, st.booleans())
    return objects | st.builds(edited, objects, edits)


def _json(
    others: Mapping[str, object], fields: Mapping[str, object], wrong: Mapping[str, object], ascii_only: bool
) -> bytes:
    kept = {key: value for key, value in {**others, **fields, **wrong}.items() if value is not _LEFT_OUT}
    return json.dumps(kept, ensure_ascii=ascii_only).encode()
