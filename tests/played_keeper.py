"""Who keeps units in tests: it only notes what it is told."""

from __future__ import annotations

from receptor.workceptor.unit import Unit


class PlayedKeeper:
    """Notes the ids of the units that have ended and of those that are gone."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.forgotten: list[str] = []
        self.changed: list[str] = []

    def unit_ended(self, unit: Unit) -> None:
        self.ended.append(unit.unit_id)

    def unit_removed(self, unit: Unit) -> None:
        self.forgotten.append(unit.unit_id)

    def unit_changed(self, unit: Unit) -> None:
        self.changed.append(unit.unit_id)
