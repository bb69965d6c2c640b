"""Which units ``work prune`` takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from receptor.client.unit_replies import ENDED, UnitState, UnitStatus
from receptor.ctl.moments import seconds_of


@dataclass(frozen=True)
class Choice:
    """What is wanted: units in one of those states; None where nothing is said of it.

    ``older_than`` is in seconds since the end of a unit, or since its beginning if it still goes on; ``keep`` so many
    of the newest.
    """

    states: frozenset[UnitState] = ENDED
    work_type: str | None = None
    older_than: float | None = None
    keep: int = 0


@dataclass(frozen=True)
class Chosen:
    """The units to release, oldest first, and those that are left alone as their node does not tell their age."""

    units: tuple[UnitStatus, ...]
    of_unknown_age: tuple[UnitStatus, ...]


def choose(units: Iterable[UnitStatus], choice: Choice, now: float) -> Chosen:
    """The units that are wanted; ``now`` in seconds since 1970."""
    candidates = [
        unit
        for unit in units
        if unit.state in choice.states and (choice.work_type is None or unit.work_type == choice.work_type)
    ]
    if choice.older_than is None and not choice.keep:
        return Chosen(tuple(candidates), ())
    dated = sorted(
        ((moment, unit) for unit in candidates if (moment := _moment(unit)) is not None), key=lambda pair: pair[0]
    )
    beyond = dated[: max(0, len(dated) - choice.keep)]
    latest = now if choice.older_than is None else now - choice.older_than
    return Chosen(
        tuple(unit for moment, unit in beyond if moment <= latest),
        tuple(unit for unit in candidates if _moment(unit) is None),
    )


def _moment(unit: UnitStatus) -> float | None:
    """When the unit ended, or began if it has not ended, in seconds since 1970."""
    return seconds_of(unit.ended_at if unit.ended else unit.began_at)
