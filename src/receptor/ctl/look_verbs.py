"""``receptorctl work list`` and ``status``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import UNIT_ID, json_option, node_option, tls_client_option
from receptor.errors import CommandError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.client.fields import JsonObject
    from receptor.ctl.settings import Settings

_TABLE_HELP = "Print for people also where there is no terminal."
_JSON_HELP = "Print JSON also on a terminal."


@click.command("list", short_help="List the units of work.")
@click.option("--quiet", "-q", is_flag=True, help="Print the unit ids only, one a line.")
@node_option("List the units of this node instead of the one connected to.")
@click.option("--unit_id", metavar="UNIT", type=UNIT_ID, help="Show this unit only.")
@tls_client_option()
@json_option(_JSON_HELP)
@click.option("--table", "as_table", is_flag=True, help=_TABLE_HELP)
@click.pass_obj
def list_units(
    settings: Settings,
    quiet: bool,
    node: str | None,
    unit_id: str | None,
    tlsclient: str | None,
    as_json: bool,
    as_table: bool,
) -> int:
    """Print every unit that the node knows, oldest first: a table on a terminal, JSON elsewhere.

    \b
    Examples:
      receptorctl work list
      receptorctl work list --node bar
      receptorctl work list --json | jq 'map_values(.StateName)'
    """
    if [quiet, as_json, as_table].count(True) > 1:
        return _one_form_only("--quiet, --json and --table")
    from receptor.ctl.unit_ids import whole_id

    with settings.client() as client:
        if node:
            _go_to(client, node, tlsclient or "")
        units = client.units(whole_id(client, unit_id) if unit_id else "")
    if quiet:
        for unit in units:
            terminal.say(unit)
    elif as_table or (terminal.is_terminal(sys.stdout) and not as_json):
        _show_table(settings, units)
    else:
        terminal.show_json(units)
    return 0


@click.command(short_help="Show the status of a unit.")
@click.argument("unit_id", type=UNIT_ID)
@json_option(_JSON_HELP)
@click.option("--table", "as_table", is_flag=True, help=_TABLE_HELP)
@click.pass_obj
def status(settings: Settings, unit_id: str, as_json: bool, as_table: bool) -> int:
    """Print all that the node tells of a unit: a sheet on a terminal, JSON elsewhere.

    \b
    Examples:
      receptorctl work status t1BlAB18
      receptorctl work status t1 --json | jq .StateName
    """
    if as_json and as_table:
        return _one_form_only("--json and --table")
    from receptor.ctl.unit_ids import whole_id

    with settings.client() as client:
        unit_id = whole_id(client, unit_id)
        answer = client.unit_status(unit_id)
    if as_json or not (as_table or terminal.is_terminal(sys.stdout)):
        terminal.show_json(answer)
        return 0
    from receptor.client.unit_replies import UnitStatus
    from receptor.ctl.unit_tables import sheet, show_sheet

    show_sheet(sheet(UnitStatus.parse(answer, unit_id)))
    return 0


def _show_table(settings: Settings, answers: JsonObject) -> None:
    from receptor.client.unit_replies import parse_units
    from receptor.ctl.unit_tables import show_units

    if answers or not terminal.is_terminal(sys.stdout):
        show_units(parse_units(answers))
    else:
        terminal.tell(f"No units of work. To make one: {settings.command_line('work', 'submit', '--help')}")


def _go_to(client: ControlClient, node: str, tls_client: str) -> None:
    try:
        client.go_to(node, tls_client)
    except CommandError as error:
        from receptor.ctl.hints import meant_on

        raise CommandError(f"{error}{meant_on(client, node)}") from error


def _one_form_only(options: str) -> int:
    terminal.fail(f"{options} exclude each other; use one of them")
    return terminal.EXIT_FAILED
