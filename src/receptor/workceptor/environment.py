"""The environment that a submitter gives to a command (``secret_env``): what it may be. No error tells a value."""

from __future__ import annotations

import re

import msgspec

from receptor.errors import CommandError

SECRET_ENV = "secret_env"
"""The parameter that holds it: a JSON object, names to texts. As all that begin with ``secret_``, it is never shown."""

LARGEST_ENVIRONMENT = 64 * 1024
"""Bytes of names and values together, with two for each variable."""

RESERVED = "RECEPTOR_"
"""How the names begin that are the node's own: by one of them it finds all that a unit has started."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LONGEST_SHOWN = 60


def parse_environment(text: str) -> dict[str, str]:
    """The variables in such a parameter; none if it is empty. Raises CommandError if a command can't have them."""
    if not text:
        return {}
    try:
        variables = msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.MsgspecError, RecursionError):
        raise CommandError(f"{SECRET_ENV} must be a JSON object whose values are all texts") from None
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            raise CommandError(
                f"{SECRET_ENV}: {name[:_LONGEST_SHOWN]!r} can't be the name of a variable; use letters, digits and _"
            )
        if name.startswith(RESERVED):
            raise CommandError(f"{SECRET_ENV}: {name[:_LONGEST_SHOWN]!r} is for the node alone, as all {RESERVED}...")
        if "\0" in value:
            raise CommandError(f"{SECRET_ENV}: the value of {name[:_LONGEST_SHOWN]!r} holds a NUL character")
    size = sum(len(name) + len(value.encode()) + 2 for name, value in variables.items())
    if size > LARGEST_ENVIRONMENT:
        raise CommandError(
            f"{SECRET_ENV} has {size} bytes, more than {LARGEST_ENVIRONMENT}; send large data as the payload"
        )
    return variables
