"""What ``work prune`` does once it knows which units are meant."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receptor.client.unit_replies import UnitStatus, parse_units
from receptor.ctl import terminal
from receptor.ctl.hints import about_unit
from receptor.ctl.live_line import spinner
from receptor.ctl.node_time import node_time
from receptor.ctl.plain_text import counted
from receptor.ctl.pruning import Choice, choose
from receptor.ctl.sizes import size_text
from receptor.ctl.unit_tables import show_units
from receptor.errors import CommandError, UnknownUnit

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.client.fields import JsonObject
    from receptor.ctl.settings import Settings

_RELEASED = "released"


def prune_units(settings: Settings, choice: Choice, *, dry_run: bool, force: bool, yes: bool, as_json: bool) -> int:
    """Release the units of that choice, once a person who sits there agrees; the exit code."""
    with settings.client() as client:
        now = node_time(client) if choice.older_than is not None else None
        chosen = choose(parse_units(client.units()), choice, time.time() if now is None else now)
        if chosen.of_unknown_age:
            terminal.warn(
                f"{_counted(chosen.of_unknown_age)} left alone, as the node does not tell when they began or ended; "
                "release them by their unit ids"
            )
        if dry_run:
            return _show_dry_run(chosen.units, as_json=as_json)
        if not (yes or _is_wanted(chosen.units, as_json=as_json)):
            terminal.tell("Nothing is released.")
            return terminal.EXIT_FAILED
        pruned: list[_Pruned] = []
        try:
            _release_all(client, chosen.units, choice, pruned, force=force)
        finally:
            _report(pruned, as_json=as_json)
    return terminal.EXIT_FAILED if any(one.error for one in pruned) else 0


@dataclass(frozen=True)
class _Pruned:
    """What became of a unit: the node's word for it, or its error."""

    unit: UnitStatus
    outcome: str = ""
    error: str = ""

    def record(self) -> JsonObject:
        said: JsonObject = {"Outcome": self.outcome} if self.outcome else {"Error": self.error}
        return {"UnitID": self.unit.unit_id, "StdoutSize": self.unit.stdout_size} | said


def _is_wanted(units: Sequence[UnitStatus], *, as_json: bool) -> bool:
    """Whether a person who sits there agrees; where there is none, nobody disagrees."""
    if not units or not terminal.can_ask():
        return True
    if terminal.is_terminal(sys.stdout) and not as_json:
        show_units(units)
    return terminal.confirm(f"Release {_counted(units)} with {size_text(_size(units))} of output?")


def _show_dry_run(units: Sequence[UnitStatus], *, as_json: bool) -> int:
    if as_json:
        records = [{"UnitID": unit.unit_id, "StdoutSize": unit.stdout_size} for unit in units]
        terminal.show_json({"DryRun": True, "FreedBytes": _size(units), "Units": records})
        return 0
    if units:
        show_units(units)
    terminal.say(f"Would release {_counted(units)} with {size_text(_size(units))} of output.")
    return 0


def _release_all(
    client: ControlClient, units: Sequence[UnitStatus], choice: Choice, pruned: list[_Pruned], *, force: bool
) -> None:
    """Release what can be released; what became of each is appended, as far as it gets."""
    done = 0
    with spinner(lambda: f"Releasing unit {done + 1} of {len(units)}"):
        for unit in units:
            try:
                outcome = _release(client, unit, choice, force=force)
            except CommandError as error:
                pruned.append(_Pruned(unit, error=str(error)))
            else:
                pruned += [_Pruned(unit, outcome)] if outcome else []
            done += 1


def _release(client: ControlClient, unit: UnitStatus, choice: Choice, *, force: bool) -> str:
    """What came of it; empty if the unit is none of those any more that are wanted."""
    try:
        if not unit.ended and UnitStatus.parse(client.unit_status(unit.unit_id)).state not in choice.states:
            return ""
        return client.end_unit("force-release" if force else "release", unit.unit_id)
    except UnknownUnit:  # somebody else has released it meanwhile
        return ""


def _report(pruned: Sequence[_Pruned], *, as_json: bool) -> None:
    released = [one.unit for one in pruned if one.outcome == _RELEASED]
    if as_json:
        records = [one.record() for one in pruned]
        terminal.show_json({"DryRun": False, "FreedBytes": _size(released), "Units": records})
    else:
        for one in pruned:
            if one.outcome:
                terminal.say(f"({one.unit.unit_id}, {one.outcome})")
        terminal.say(f"Released {_counted(released)} with {size_text(_size(released))} of output.")
    for one in pruned:
        if one.error:
            terminal.fail(about_unit(one.unit.unit_id, one.error))
    pending = [one.unit for one in pruned if one.outcome not in ("", _RELEASED)]
    if pending:
        terminal.warn(
            f"{_counted(pending)} will be released when their nodes can be reached; --force deletes them here at once"
        )


def _counted(units: Sequence[UnitStatus]) -> str:
    return counted(len(units), "unit")


def _size(units: Sequence[UnitStatus]) -> int:
    return sum(unit.stdout_size for unit in units)
