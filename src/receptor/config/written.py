"""Actions as somebody wrote them, in a file or on the command line, and their reading into typed actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from receptor.config.actions import ACTIONS
from receptor.config.keys import Action, Key, keys_of
from receptor.config.kind import Written
from receptor.config.problems import Problems, meant
from receptor.errors import ConfigurationError


class WrittenValue(msgspec.Struct, frozen=True):
    """A value and its key; without a key it is that of the action's main one. ``place`` begins error messages."""

    key: str | None
    value: Written
    place: str


class WrittenAction(msgspec.Struct, frozen=True):
    """An action and its values; ``place`` begins error messages: ``file:line`` or the word.

    ``grows``: a key that takes a list may be there several times, as on the command line.
    """

    name: str
    place: str
    values: tuple[WrittenValue, ...] = ()
    grows: bool = False


def find_action(name: str, place: str) -> type[Action]:
    """The class of the action of that name, in any letter case; raises ConfigurationError if there is none."""
    action = ACTIONS.get(name.lower())
    if action is None:
        hint = meant(name.lower(), ACTIONS, "'receptor --help' lists the actions")
        raise ConfigurationError(f"{place}: there is no action {name!r}; {hint}")
    return action


def read_action(written: WrittenAction) -> Action:
    """The typed action; raises one ConfigurationError that tells all that is wrong with it."""
    action = find_action(written.name, written.place)
    name, keys = action.about.name, keys_of(action)
    values: dict[str, object] = {}
    problems = Problems()
    for one in written.values:
        with problems.noted():
            key = _find_key(name, keys, one)
            value, before = _read_value(key, one), values.get(key.attribute)
            if written.grows and isinstance(value, frozenset) and isinstance(before, frozenset):
                value |= before
            elif key.attribute in values:
                raise ConfigurationError(f"{one.place}: {name} has {key.name!r} twice")
            values[key.attribute] = value
    problems.raise_if_any()
    missing = [repr(key.name) for key in keys if key.required and key.attribute not in values]
    if missing:
        raise ConfigurationError(f"{written.place}: {name} needs {' and '.join(missing)}")
    make: Callable[..., Action] = action
    return make(**values)


def _find_key(action: str, keys: Iterable[Key], written: WrittenValue) -> Key:
    if written.key is None:
        return _main_key(action, keys, written.place)
    by_name = {key.name: key for key in keys}
    name = written.key.lower()
    if name in by_name:
        return by_name[name]
    hint = meant(name, by_name, f"its keys: {', '.join(by_name)}")
    raise ConfigurationError(f"{written.place}: {action} has no key {written.key!r}; {hint}")


def _main_key(action: str, keys: Iterable[Key], place: str) -> Key:
    for key in keys:
        if key.main:
            return key
    names = ", ".join(key.name for key in keys)
    raise ConfigurationError(f"{place}: {action} takes no value without a key; its keys: {names}")


def _read_value(key: Key, written: WrittenValue) -> object:
    try:
        return key.kind.value(written.value)
    except ValueError as error:
        raise ConfigurationError(f"{written.place}: {key.name} must be {key.kind.expects}, not {error}") from None
