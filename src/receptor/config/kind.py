"""What a kind of values is: how text as written becomes a value, and how that looks to an editor.

Everything is read from its text, so that ``0600``, ``yes`` or ``123`` mean what the key says they mean and not
what YAML takes them for; nor does the command line need rules of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

WrittenMap: TypeAlias = dict[str, str | None]
Written: TypeAlias = str | list[str | WrittenMap | None] | WrittenMap | None
"""A value as written: a scalar's text, a map of them, a list of both, or nothing. None stands for what is deeper."""

Schema: TypeAlias = Mapping[str, object]
"""Keywords of JSON Schema (draft 2020-12)."""

ANY_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
"""What YAML may take a text for that is written without quotes."""

_LONGEST_SHOWN = 60
_USER_IN_URL = re.compile("//.*@", re.DOTALL)
"""There may be a password in it, or what should be one."""


def any_case(texts: Iterable[str]) -> str:
    """A regular expression for these texts, of letters, digits and dashes, in any letter case."""
    either = ("".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in text) for text in texts)
    return f"^(?:{'|'.join(either)})$"


def one_of(choices: Iterable[str]) -> Schema:
    """How one of these texts looks, which editors propose; it may be in any letter case."""
    choices = list(choices)
    return {"anyOf": [{"enum": choices}, {"type": "string", "pattern": any_case(choices)}]}


def named(values: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    """How a map looks that has these keys, in any letter case; values and required keys only in lower case."""
    return {
        "type": "object",
        "properties": values,
        "if": {"propertyNames": {"pattern": "^[^A-Z]*$"}},
        "then": {"propertyNames": {"enum": list(values)}, "required": list(required)},
        "else": {"propertyNames": {"pattern": any_case(values)}},
    }


class Kind(msgspec.Struct, frozen=True, eq=False):
    """A kind of value.

    ``expects`` ends the sentence "the value must be ...". ``read`` makes the value of one text and raises
    ValueError if it is not of this kind; ``write`` is its opposite, for help. With ``many``, a key takes a list
    or a map of such values; with ``maps`` it takes a list of maps, and ``read`` gets each of them. ``schema``
    tells editors how one value looks; it may allow more than ``read`` does, but never less.
    """

    expects: str
    read: Callable[..., object]
    write: Callable[..., str] = str
    many: Literal["", "list", "map", "maps"] = ""
    schema: Schema = msgspec.field(default_factory=lambda: ANY_SCALAR)

    def value(self, written: Written) -> object:
        """The value; for ``many`` a frozenset of values or a read-only mapping to them; a tuple for ``maps``.

        A list may also be a text with commas between its values. Lists and maps may be the text of JSON, for the
        command line. Raises ValueError, whose text shows what is not of this kind.
        """
        if self.many and isinstance(written, str) and written.startswith(("[", "{")):
            written = _from_json(written)
        match self.many, written:
            case "", str():
                return self._one(written, written)
            case "list", str():
                return frozenset(self._one(text.strip(), written) for text in written.split(","))
            case "list", list():
                return frozenset(self._one(text, text) for text in _texts(written, written))
            case "map", dict():
                texts = zip(written, _texts(written, written.values()), strict=True)
                return MappingProxyType({key: self._one(text, f"{key}: {text}") for key, text in texts})
            case "maps", list():
                return tuple(self._map(entry) for entry in written)
        raise ValueError(_shown(written))

    def _one(self, text: str, shown: str) -> object:
        try:
            return self.read(text)
        except ValueError:
            raise ValueError(_shown(shown)) from None

    def _map(self, entry: str | WrittenMap | None) -> object:
        if not isinstance(entry, dict):
            raise ValueError(f"a list with {_shown(entry)} in it")
        texts = dict(zip(entry, _texts(entry, entry.values()), strict=True))
        try:
            return self.read(texts)
        except ValueError as error:
            raise ValueError(f"{_shown(_as_flow(texts))} ({error})") from None


def _from_json(text: str) -> Written:
    """The list or map of texts in JSON; its numbers stay as written."""
    from json import loads  # few configurations pay for its import

    try:
        decoded = loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise ValueError(_shown(text)) from None
    if isinstance(decoded, dict):
        return _map_of_texts(decoded)
    return [_map_of_texts(entry) if isinstance(entry, dict) else _text_or_none(entry) for entry in decoded]


def _map_of_texts(decoded: dict[str, object]) -> WrittenMap:
    return {key: _text_or_none(entry) for key, entry in decoded.items()}


def _text_or_none(entry: object) -> str | None:
    return entry if isinstance(entry, str) else None


def _texts(written: Written, entries: Collection[str | WrittenMap | None]) -> list[str]:
    texts = [entry for entry in entries if isinstance(entry, str)]
    if len(texts) != len(entries):
        raise ValueError(f"{_shown(written)} with nested or empty entries")
    return texts


def _shown(written: Written) -> str:
    if isinstance(written, str):
        written = _USER_IN_URL.sub("//...@", written)
        return repr(written if len(written) <= _LONGEST_SHOWN else f"{written[:_LONGEST_SHOWN]}...")
    if written is None:
        return "nothing"
    return "a list" if isinstance(written, list) else "a map"


def _as_flow(texts: dict[str, str]) -> str:
    return ", ".join(f"{key}: {text}" for key, text in texts.items())
