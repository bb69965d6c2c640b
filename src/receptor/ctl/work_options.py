"""Values and options that several verbs for units of work share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from receptor.client.unit_replies import UnitState

_Function = TypeVar("_Function", bound=Callable[..., int])

STATES = ("pending", "running", "succeeded", "failed", "canceled")
"""The states of units, by the names that options take."""

_DAYS = r"([0-9]+(?:\.[0-9]+)?)d(.*)"
_SECONDS = r"[0-9]+(?:\.[0-9]+)?"
_DAY = 86400.0


class Duration(click.ParamType[float]):
    """A duration above zero, in seconds: ``1h30m``, ``90s``, ``7d``, or a bare number of seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = _duration(str(value))
        except ValueError as error:
            self.fail(f"{error}, 7d, or 30 for seconds", param, ctx)
        if seconds <= 0:
            self.fail(f"{value} is no time at all; give more than 0", param, ctx)
        return seconds


DURATION = Duration()


def exit_code_option() -> Callable[[_Function], _Function]:
    """The option ``--exit-code``, which the function gets as ``exit_code``."""
    return click.option(
        "--exit-code", is_flag=True, help="End with the exit code of the unit's command; 128+N for signal N."
    )


def timeout_option(help: str) -> Callable[[_Function], _Function]:
    """The option ``--timeout``, which the function gets as ``timeout``, in seconds."""
    return click.option("--timeout", type=DURATION, metavar="DURATION", help=help)


def yes_option() -> Callable[[_Function], _Function]:
    """The option ``--yes``, which the function gets as ``yes``."""
    return click.option("--yes", "-y", is_flag=True, help="Don't ask.")


def unit_states(names: Iterable[str]) -> frozenset[UnitState]:
    """The states of those names."""
    from receptor.client.unit_replies import UnitState

    return frozenset(UnitState[name.upper()] for name in names)


def _duration(text: str) -> float:
    from receptor.durations import parse_duration

    if re.fullmatch(_SECONDS, text):
        return float(text)
    if days := re.fullmatch(_DAYS, text):
        return float(days[1]) * _DAY + (parse_duration(days[2]) if days[2] else 0.0)
    return parse_duration(text)
