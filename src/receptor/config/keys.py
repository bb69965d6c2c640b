"""What an action and its keys are: how each is written, what it does and what it is without being given."""

from __future__ import annotations

from functools import cache
from typing import ClassVar, cast

import msgspec

from receptor.config.kind import Kind


class About(msgspec.Struct, frozen=True):
    """What people are told of an action: its name as written, what it does, an example in YAML.

    ``once``: a configuration may hold it only once.
    """

    name: str
    help: str
    example: str
    once: bool = False

    @property
    def map_key(self) -> str:
        """Its key in a configuration that is a map: a plural where a configuration may hold it several times."""
        return self.name if self.once or self.name.endswith("s") else f"{self.name}s"


class Key(msgspec.Struct, frozen=True):
    """A key of an action: ``name`` as written (in lower case), ``attribute`` as the class calls it.

    A bare scalar in place of keys is the value of the action's ``main`` key. ``default`` is as people would
    write or say it, empty if there is none to speak of; ``value`` is what it stands for, None if there is none.
    """

    attribute: str
    name: str
    kind: Kind
    help: str
    main: bool
    required: bool
    default: str
    value: object


class Action(msgspec.Struct, frozen=True):
    """The base of all actions: structs whose fields are annotated with what is ``written`` for them."""

    about: ClassVar[About]


class _Words(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    help: str
    main: bool
    default: str


def written(name: str, kind: Kind, help: str, *, main: bool = False, default: str = "") -> _Words:
    """Annotates a field: its key as written. ``default`` puts the field's default in words where needed."""
    return _Words(name, kind, help, main, default)


@cache
def keys_of(action: type[Action]) -> tuple[Key, ...]:
    """The action's keys: the main one, then those that it needs, then the rest, as its class has them.

    Annotations are evaluated here and not when their modules are imported: who uses three actions pays for three.
    """
    return tuple(sorted(map(_key, msgspec.structs.fields(action)), key=lambda key: (not key.main, not key.required)))


def _key(field: msgspec.structs.FieldInfo) -> Key:
    words = cast("_Words", field.type.__metadata__[0])
    value = None if field.required else field.default
    default = words.default
    if not (default or value is None or words.kind.many):
        default = words.kind.write(value)
    return Key(field.name, words.name, words.kind, words.help, words.main, field.required, default, value)
