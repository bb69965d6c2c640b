"""Whether a unit came to the end that was foretold. Pure functions of what was found."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from enum import Enum

from receptor.client.unit_replies import CANCELED, FAILED, SUCCEEDED, UnitStatus
from tools.chaos.nodes import NodeHistory
from tools.chaos.worker import Plan

TOLD_WITHIN = 10.0
"""Seconds in which a node must tell that a unit was taken down, once it runs and can know it."""

_SLACK = 2.0
"""Seconds by which what several threads noted may be out of order."""
_TAKEN_DOWN = re.compile(r"\b(killed|vanished|gone|nobody)\b")
_WHILE_STARTING = "while it started this one"
_CANCEL_SIGNALS = tuple(f"signal: {name}" for name in ("interrupt", "terminated", "killed"))


class End(Enum):
    """What became of a unit; the values are titles for people."""

    NOT_ACKNOWLEDGED = "not acknowledged"
    AS_PLANNED = "ended as planned"
    CANCELLED = "cancelled"
    RELEASED = "released half-way"
    TAKEN_DOWN = "taken down with the runner"
    BAD = "bad"


@dataclass(frozen=True)
class Facts:
    """What was found of a unit when all had been left in peace."""

    plan: Plan
    is_acknowledged: bool
    is_ordered: bool
    runs: int
    bad_payloads: int
    """How many of the runs got something else than the payload."""
    status: UnitStatus | None
    """None if the node does not know it."""
    output: bytes
    still_running: int
    """Processes of it."""
    started: float
    """Unix seconds of its start, or of its submission if that is unknown."""
    told: float
    """When the executing node wrote down its end; 0 if that is unknown."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The end of a unit, and what is wrong with it."""

    end: End
    lost: str = ""
    doubled: str = ""
    wrong: str = ""


def judge(facts: Facts, history: NodeHistory) -> Verdict:
    """The verdict on a unit that ran on the node with that history."""
    doubled = f"it ran {facts.runs} times" if facts.runs > 1 else ""
    lost, wrong, end = "", "", End.NOT_ACKNOWLEDGED
    if facts.is_acknowledged:
        end, lost, wrong = _judge_end(facts, history)
    if facts.bad_payloads:
        wrong = "it ran with another payload than was sent"
    wrong = "; ".join(filter(None, (wrong, *facts.notes)))
    return Verdict(End.BAD if lost or doubled or wrong else end, lost, doubled, wrong)


def planned_end(plan: Plan) -> tuple[int, str]:
    """State and detail of a unit that nothing happens to."""
    if plan.signal is not None:
        return FAILED, f"signal: {(signal.strsignal(plan.signal) or '').lower()}"
    return (FAILED if plan.code else SUCCEEDED), f"exit status {plan.code}"


def _judge_end(facts: Facts, history: NodeHistory) -> tuple[End, str, str]:
    """The end, why it is lost, and what is wrong with it."""
    plan, status = facts.plan, facts.status
    if status is None:
        if facts.is_ordered and plan.order == "release":
            # The executing node may still be stopping it; what outlives that is found when all is cleared away.
            return End.RELEASED, "", ""
        return End.BAD, "the node does not know it any more", ""
    if facts.is_ordered and plan.order == "release":
        return End.BAD, "", f"it was released, but is still there: {_told(status)}"
    if not status.ended:
        return End.BAD, f"it has not ended: {_told(status)}", ""
    if (status.state, status.detail) == planned_end(plan) and not plan.is_endless:
        if not facts.runs:
            return End.BAD, f"it never ran, but the node says: {_told(status)}", ""
        return End.AS_PLANNED, "", _other_output(facts)
    if facts.is_ordered and (status.state == CANCELED or status.detail in _CANCEL_SIGNALS):
        return End.CANCELLED, "", _torn_output(facts) or _remains(facts)
    if status.state == FAILED and _TAKEN_DOWN.search(status.detail) and not status.detail.startswith("signal: "):
        return End.TAKEN_DOWN, "", _torn_output(facts) or _remains(facts) or _unexcused(facts, history)
    return End.BAD, "", f"it ended otherwise than planned ({_told_end(plan)}): {_told(status)}"


def _other_output(facts: Facts) -> str:
    wanted = facts.plan.output()
    if facts.output == wanted:
        return ""
    same = next((at for at, pair in enumerate(zip(facts.output, wanted, strict=False)) if pair[0] != pair[1]), None)
    where = "the end of the shorter one" if same is None else f"byte {same}"
    return f"its output of {len(facts.output)} bytes differs from the expected {len(wanted)} from {where} on"


def _torn_output(facts: Facts) -> str:
    assert facts.status
    if not facts.plan.output().startswith(facts.output):
        return f"its output of {len(facts.output)} bytes is not how the expected output begins"
    if len(facts.output) != facts.status.stdout_size:
        return f"its output has {len(facts.output)} bytes, but the node says {facts.status.stdout_size}"
    return ""


def _remains(facts: Facts) -> str:
    return f"{facts.still_running} processes of it still run" if facts.still_running else ""


def _unexcused(facts: Facts, history: NodeHistory) -> str:
    """Why a unit must not have been given up, or not so late; empty if that is by design."""
    assert facts.status
    cause = why_given_up(history, facts.started, facts.told, _WHILE_STARTING in facts.status.detail)
    if cause is None:
        return f"it was given up though its end could be learnt: {_told(facts.status)}"
    waited = longest_wait(history, cause, facts.told)
    if waited > TOLD_WITHIN:
        return f"that it was given up was told only after {waited:.1f} s: {_told(facts.status)}"
    return ""


def why_given_up(history: NodeHistory, started: float, told: float, while_starting: bool) -> float | None:
    """When what happened from which on nobody could learn the end of a command any more; None if nothing did.

    That is the kill of a runner that the daemon had only found. If it had started the runner itself, it learns the
    ends in its place, but only as long as it lives; and never if the runner died in the very act of starting.
    """
    for kill in history.runner_kills:
        if not started - _SLACK <= kill.time <= told + _SLACK:
            continue
        if not kill.is_daemons_child or while_starting:
            return kill.time
        for end in history.daemon_ends:
            if kill.time - _SLACK <= end <= told + _SLACK:
                return max(kill.time, end)
    return None


def longest_wait(history: NodeHistory, cause: float, told: float) -> float:
    """The longest time that the daemon ran in one go between the two, without telling."""
    runs = [min(end, told) - max(begin, cause) for begin, end in history.daemon_runs]
    return max([0.0, *runs])


def _told(status: UnitStatus) -> str:
    return f"state {status.state}, {status.detail!r}"


def _told_end(plan: Plan) -> str:
    state, detail = planned_end(plan)
    return f"state {state}, {detail!r}" + (", but endless until it is cancelled" if plan.is_endless else "")
