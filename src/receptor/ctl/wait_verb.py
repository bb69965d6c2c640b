"""``receptorctl work wait``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import UNIT_ID, json_option
from receptor.ctl.time_limit import TimeIsUp, time_limit
from receptor.ctl.unit_ids import whole_ids
from receptor.ctl.work_options import STATES, exit_code_option, timeout_option

if TYPE_CHECKING:
    from receptor.ctl.settings import Settings
    from receptor.ctl.waiting import Arrival, Goal, Wait

_ENDED = "ended"


@click.command(short_help="Wait until units have ended, or are in some other state.")
@click.argument("unit_ids", metavar="UNIT...", nargs=-1, required=True, type=UNIT_ID)
@click.option(
    "--for",
    "states",
    multiple=True,
    type=click.Choice([*(state for state in STATES if state != "pending"), _ENDED], case_sensitive=False),
    help="Wait for this state; may be repeated. Without it, for the end.",
)
@click.option("--any", "first", is_flag=True, help="Wait for the first of the units only.")
@timeout_option("Stop waiting after that time, such as 90s or 1h30m, with exit code 124.")
@exit_code_option()
@json_option("Print each unit as a line of JSON as soon as it is there.")
@click.pass_obj
def wait(
    settings: Settings,
    unit_ids: tuple[str, ...],
    states: tuple[str, ...],
    first: bool,
    timeout: float | None,
    exit_code: bool,
    as_json: bool,
) -> int:
    """Wait until units have ended, and print each as it ends: its id, its state and what is known of its end.

    The exit code is 0 if all have succeeded, 1 if one has not, 124 after --timeout. With --for it is 0 if all got into
    one of the states named. The units go on, whatever becomes of the wait. Meanwhile the node may be started again: it
    is given 60 seconds, or what is left of --timeout.

    \b
    Examples:
      receptorctl work wait t1BlAB18
      receptorctl work wait --for running --timeout 30s t1BlAB18
      receptorctl work wait --any t1BlAB18 87Vwqb6A
    """
    if exit_code and len(unit_ids) > 1:
        terminal.fail("--exit-code is that of one unit, and there are more; wait for each by itself")
        return terminal.EXIT_FAILED
    from receptor.ctl.live_line import spinner
    from receptor.ctl.outage import PATIENCE, Outage
    from receptor.ctl.waiting import Goal, Wait, named

    goal = Goal(frozenset(STATES[state] for state in states if state in STATES), _ENDED in states or not states)
    with settings.client() as client:
        client.connect()
        waiting = Wait(client, whole_ids(client, unit_ids), goal, Outage(None if timeout else PATIENCE))
        try:
            with time_limit(timeout), spinner(waiting.summary):
                return _report(waiting, goal, first=first, own_code=exit_code, as_json=as_json)
        except TimeIsUp:
            terminal.fail(f"the time is up, and these go on: {named(waiting.states)}. {_again(settings, waiting)}")
            return terminal.EXIT_TIMED_OUT
        except KeyboardInterrupt:
            terminal.tell_after_interrupt(f"No longer waiting. {_again(settings, waiting)}")
            return terminal.EXIT_INTERRUPTED


def _report(waiting: Wait, goal: Goal, *, first: bool, own_code: bool, as_json: bool) -> int:
    """Print each unit as it arrives; the exit code."""
    code = 0
    for arrival in waiting.arrivals():
        _show(arrival, as_json=as_json)
        is_met = arrival.details is not None and goal.is_met(arrival.details.state)
        if not is_met:
            code = terminal.EXIT_FAILED
        if own_code and arrival.details is not None and arrival.details.has_ended:
            code = arrival.details.own_exit_code or code
        if first:
            break
    return code


def _show(arrival: Arrival, *, as_json: bool) -> None:
    if arrival.details is None or arrival.answer is None:
        terminal.fail(f"unknown work unit {arrival.unit_id}; 'receptorctl work list' shows the units of this node")
        if as_json:
            terminal.show_json_line({"UnitID": arrival.unit_id, "Error": "unknown work unit"})
    elif as_json:
        terminal.show_json_line({"UnitID": arrival.unit_id, **arrival.answer})
    else:
        from receptor.ctl.tables import Cell
        from receptor.ctl.unit_tables import state_cell

        unit = arrival.details
        terminal.say_cells([Cell(unit.unit_id), Cell(""), state_cell(unit), Cell(""), Cell(unit.detail)])


def _again(settings: Settings, waiting: Wait) -> str:
    return f"To wait again: {settings.command_line('work', 'wait', *waiting.states)}"
