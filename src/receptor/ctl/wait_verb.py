"""``receptorctl work wait``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import UNIT_ID, json_option
from receptor.ctl.time_limit import TimeIsUp, time_limit
from receptor.ctl.work_options import STATES, exit_code_option, timeout_option, unit_states

if TYPE_CHECKING:
    from receptor.client.watching import UnitNews
    from receptor.ctl.settings import Settings
    from receptor.ctl.waiting import Goal, Wait

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
    from receptor.client.outage import PATIENCE
    from receptor.ctl.live_line import spinner
    from receptor.ctl.outage import Outage
    from receptor.ctl.unit_ids import whole_ids
    from receptor.ctl.waiting import Goal, Wait, named

    goal = Goal(unit_states(state for state in states if state != _ENDED), _ENDED in states or not states)
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
        is_met = arrival.status is not None and goal.is_met(arrival.status.state)
        if not is_met:
            code = terminal.EXIT_FAILED
        if own_code and arrival.status is not None and arrival.status.ended:
            code = arrival.status.shell_exit_code or code
        if first:
            break
    return code


def _show(arrival: UnitNews, *, as_json: bool) -> None:
    if arrival.status is None or arrival.answer is None:
        terminal.fail(f"unknown work unit {arrival.unit_id}; 'receptorctl work list' shows the units of this node")
        if as_json:
            terminal.show_json_line({"UnitID": arrival.unit_id, "Error": "unknown work unit"})
    elif as_json:
        terminal.show_json_line({"UnitID": arrival.unit_id, **arrival.answer})
    else:
        from receptor.ctl.state_cells import state_cell
        from receptor.ctl.tables import Cell

        unit = arrival.status
        terminal.say_cells([Cell(unit.unit_id), Cell(""), state_cell(unit.state), Cell(""), Cell(unit.detail)])


def _again(settings: Settings, waiting: Wait) -> str:
    return f"To wait again: {settings.command_line('work', 'wait', *waiting.states)}"
