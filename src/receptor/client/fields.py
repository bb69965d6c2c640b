"""Reading the JSON of a node's answer: each field with its type, or PeerError."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

from receptor.errors import PeerError

if TYPE_CHECKING:
    from datetime import datetime

JsonObject: TypeAlias = dict[str, object]
"""One answer as it came, for those who pass it on as JSON."""

_Kind = TypeVar("_Kind")


def field_of(fields: JsonObject, name: str, kind: type[_Kind]) -> _Kind:
    """The field if it is of that kind, the kind's empty value if it is missing."""
    return as_kind(fields.get(name), name, kind)


def as_kind(value: object, name: str, kind: type[_Kind]) -> _Kind:
    """The value if it is of that kind, the kind's empty value for a missing one."""
    if value is None:
        return kind()
    if isinstance(value, kind):
        return value
    raise PeerError(f"the node's answer has a {name} that is no {kind.__name__}; is its version compatible?")


def as_number(value: object, name: str) -> float:
    return value if isinstance(value, int) else as_kind(value, name, float)


def number_if_any(fields: JsonObject, name: str) -> int | None:
    return None if fields.get(name) is None else field_of(fields, name, int)


def time_if_any(fields: JsonObject, name: str) -> datetime | None:
    """A time in RFC 3339; None if it is missing, or the zero time of existing nodes."""
    text = field_of(fields, name, str)
    if not text or text.startswith("0001-"):
        return None
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise PeerError(f"the node's answer has a {name} that is no time: {text[:60]!r}") from error
    if moment.tzinfo is None:
        raise PeerError(f"the node's answer has a {name} without a time zone: {text[:60]!r}")
    return moment


def as_list(value: object, name: str) -> list[object]:
    return as_kind(value, name, list)


def as_object(value: object, name: str) -> JsonObject:
    return as_kind(value, name, dict)
