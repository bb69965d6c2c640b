"""What an action and its keys are: how each is written, what it does and what it is without being given."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import ClassVar

from receptor.config.kind import Kind


@dataclass(frozen=True, slots=True)
class About:
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


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an action: ``name`` as written (in lower case), ``attribute`` as the class calls it.

    A bare scalar in place of keys is the value of the action's ``main`` key. ``default`` is as people would
    write or say it, empty if there is none to speak of.
    """

    attribute: str
    name: str
    kind: Kind
    help: str
    main: bool
    required: bool
    default: str


@dataclass(frozen=True, slots=True)
class Action:
    """The base of all actions."""

    about: ClassVar[About]


def written(name: str, kind: Kind, help: str, *, main: bool = False, default: str = "") -> dict[str, object]:
    """Metadata of a field: its key as written. ``default`` puts the field's default in words where needed."""
    return {"name": name, "kind": kind, "help": help, "main": main, "default": default}


def keys_of(action: type[Action]) -> tuple[Key, ...]:
    """The action's keys: the main one, then those that it needs, then the rest, as its class has them."""
    keys = []
    for one in fields(action):
        words = dict(one.metadata)
        kind: Kind = words["kind"]
        if one.default not in (MISSING, None):
            words["default"] = words["default"] or kind.write(one.default)
        required = one.default is MISSING and one.default_factory is MISSING
        keys.append(Key(attribute=one.name, required=required, **words))
    return tuple(sorted(keys, key=lambda key: (not key.main, not key.required)))
