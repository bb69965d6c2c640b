"""Checks of the units of work: those that wait in vain, those that nobody releases, those that failed lately."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf

from receptor.client.unit_replies import FAILED, PENDING, UnitStatus
from receptor.ctl.doctor.facts import Facts
from receptor.ctl.doctor.findings import Area, Finding, listed, ok, problem, skipped, warning
from receptor.ctl.meant import nearest
from receptor.ctl.mesh_view import KnownNode, nodes
from receptor.ctl.moments import seconds_of, span
from receptor.ctl.plain_text import counted

LONG_PENDING = 60.0
"""Seconds after which a unit that has not begun deserves a look, if there is a reason for it."""

LATELY = 3600.0
"""Seconds for which a failure is told of."""

MANY_ENDED = 100
"""Ended units that nobody releases."""

_AREA = Area.WORK
_MOST_TOLD = 5


def check_work(facts: Facts, command: Callable[..., str]) -> Iterator[Finding]:
    """All units of the node; ``command`` makes a command line for people from the words of a verb."""
    if facts.status is None:
        return
    if facts.units_trouble:
        yield skipped(_AREA, f"the units can't be looked at: {facts.units_trouble}")
        return
    troubled = list(_check_waiting(facts, command))
    yield from troubled
    yield from _check_failed(facts, command)
    yield from _check_ended(facts, command)
    going = sum(not unit.ended for unit in facts.units)
    if not troubled:
        yield ok(_AREA, f"{counted(len(facts.units), 'unit')}, {going} of them pending or running")


def _check_waiting(facts: Facts, command: Callable[..., str]) -> Iterator[Finding]:
    assert facts.status is not None
    by_id = {node.node_id: node for node in nodes(facts.status)}
    reasons: dict[tuple[str, str], list[UnitStatus]] = {}
    for unit in facts.units:
        reason = None if unit.ended else _why_stuck(unit, by_id, facts.now)
        if reason is not None:
            reasons.setdefault(reason, []).append(unit)
    for (why, hope), units in reasons.items():
        ids = [unit.unit_id for unit in units]
        give_up = command("work", "cancel", *ids[:_MOST_TOLD])
        yield warning(
            _AREA,
            f"{counted(len(ids), 'unit')} {why}{_age(units, facts.now)}: {listed(ids)}",
            f"{hope}, or give up: {give_up}",
        )


def _why_stuck(unit: UnitStatus, by_id: Mapping[str, KnownNode], now: float) -> tuple[str, str] | None:
    """Why it can't go on, and what would help; None if nothing keeps it."""
    began = seconds_of(unit.began_at)
    if not unit.remote_node or (began is not None and now - began < LONG_PENDING):
        return None
    waits = "waiting for" if unit.state == PENDING else "running on"
    node = by_id.get(unit.remote_node)
    if node is None:
        meant = nearest(unit.remote_node, by_id)
        guess = f", where {meant} is" if meant else ""
        return f"{waits} {unit.remote_node}, a node that nobody knows{guess}", f"start {unit.remote_node}"
    if node.standing == "unreachable":
        return f"{waits} {unit.remote_node}, which is out of reach", f"bring {unit.remote_node} back"
    offered = [one.name for one in node.work_types]
    if unit.state == PENDING and node.services and unit.work_type not in offered:
        return (
            f"{waits} {unit.remote_node}, which does not offer {unit.work_type}",
            f"configure it on {node.node_id}",
        )
    return None


def _age(units: list[UnitStatus], now: float) -> str:
    oldest = min((began for unit in units if (began := seconds_of(unit.began_at)) is not None), default=None)
    return "" if oldest is None else f" (made {span(now - oldest)} ago{', the oldest' if len(units) > 1 else ''})"


def _check_failed(facts: Facts, command: Callable[..., str]) -> Iterator[Finding]:
    failed = [unit for unit in facts.units if unit.state == FAILED and _ended_ago(unit, facts.now) < LATELY]
    unsigned = [unit for unit in failed if "needs a signature" in unit.detail]
    if unsigned:
        one = unsigned[-1]
        yield problem(
            _AREA,
            f"{counted(len(unsigned), 'unit')} refused for lack of a signature by {one.remote_node}: "
            f"{listed(unit.unit_id for unit in unsigned)}",
            f"submit {one.work_type} with --signwork; this node needs work-signing for that, with a key that "
            f"{one.remote_node} trusts",
        )
    others = [unit for unit in failed if unit not in unsigned]
    if others:
        last = min(others, key=lambda unit: _ended_ago(unit, facts.now))
        when = span(_ended_ago(last, facts.now))
        yield warning(
            _AREA,
            f"{counted(len(others), 'unit')} failed in the last hour, the last {when} ago: "
            f"{last.unit_id} ({last.work}: {last.detail})",
            f"see what it has written: {command('work', 'results', last.unit_id)}",
        )


def _ended_ago(unit: UnitStatus, now: float) -> float:
    """How many seconds ago the unit ended; endless if nobody has noted it."""
    ended = seconds_of(unit.ended_at)
    return inf if ended is None else now - ended


def _check_ended(facts: Facts, command: Callable[..., str]) -> Iterator[Finding]:
    ended = [unit for unit in facts.units if unit.ended]
    if len(ended) > MANY_ENDED:
        size = sum(unit.stdout_size for unit in ended) >> 20
        yield warning(
            _AREA,
            f"{len(ended)} units have ended and were never released; their output takes {size} MiB",
            f"release those that nobody needs: {command('work', 'prune', '--help')}",
        )
