"""Unit ids as people type them: whole, or just the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receptor.errors import CommandError, ConfigurationError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.client.unit_replies import UnitStatus

LENGTH = 8
"""Characters of the unit ids that nodes make."""

_MOST_NAMED = 10


@dataclass(frozen=True)
class Meant:
    """The unit id that a text means, and the unit's details if the text is just the beginning of it."""

    unit_id: str
    completed: UnitStatus | None = None


def whole_id(client: ControlClient, text: str) -> str:
    """The unit id that the text means, as ``resolve`` tells."""
    return resolve(client, [text])[0].unit_id


def whole_ids(client: ControlClient, texts: Sequence[str]) -> list[str]:
    """The unit ids that the texts mean, each once, as ``resolve`` tells."""
    return list(dict.fromkeys(meant.unit_id for meant in resolve(client, texts)))


def resolve(client: ControlClient, texts: Sequence[str]) -> list[Meant]:
    """What each text means. The node is asked for its units only if one is shorter than a unit id, and once.

    A text with which no unit id begins stands for itself, so that the node says that there is no such unit. Raises
    CommandError that names the units if several begin with a text, ConfigurationError if it is empty.
    """
    if not all(texts):
        raise ConfigurationError("a unit id is empty; is a variable of your script not set?")
    if all(len(text) >= LENGTH for text in texts):
        return [Meant(text) for text in texts]
    from receptor.client.unit_replies import parse_units

    units = parse_units(client.units())
    return [Meant(text) if len(text) >= LENGTH else _meant(text, units) for text in texts]


def _meant(text: str, units: Sequence[UnitStatus]) -> Meant:
    candidates = [unit for unit in units if unit.unit_id.startswith(text)]
    if not candidates or any(unit.unit_id == text for unit in candidates):
        return Meant(text)
    if len(candidates) > 1:
        named = ", ".join(f"{unit.unit_id} ({unit.work}, {unit.state.title})" for unit in candidates[:_MOST_NAMED])
        more = f" and {len(candidates) - _MOST_NAMED} more" if len(candidates) > _MOST_NAMED else ""
        raise CommandError(f"{len(candidates)} unit ids begin with {text}: {named}{more}; type more of it")
    return Meant(candidates[0].unit_id, candidates[0])
