"""What differs between two configurations of a node, as far as a running node can't take it over."""

from __future__ import annotations

import msgspec

from receptor.config.configuration import Configuration
from receptor.config.keys import Action


def changes_that_need_a_restart(running: Configuration, wanted: Configuration) -> list[str]:
    """The names of the actions that were changed, added or removed; not of backends, which a node takes over."""
    running, wanted = _without_backends(running), _without_backends(wanted)
    names: list[str] = []
    for field in Configuration.__struct_fields__:
        old, new = _actions(getattr(running, field)), _actions(getattr(wanted, field))
        if old != new:
            changed = [action for action in (*old, *new) if (action in old) != (action in new)]
            names += dict.fromkeys(_name(action, field) for action in changed or old)
    return list(dict.fromkeys(names))


def _without_backends(configuration: Configuration) -> Configuration:
    return msgspec.structs.replace(configuration, listeners=(), peers=(), local_only=False)


def _actions(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _name(action: object, field: str) -> str:
    return action.about.name if isinstance(action, Action) else field.replace("_", "-")
