"""``receptorctl work``: units of work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.following import follow
from receptor.ctl.parameters import RUNNING_UNIT_ID, UNIT_ID, node_option
from receptor.ctl.submit_verb import submit
from receptor.errors import CommandError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.ctl.settings import Settings


@click.group(
    short_help="Submit, watch, cancel and release units of work.",
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.pass_context
def work(context: click.Context) -> None:
    """Submit, watch, cancel and release units of work.

    \b
    Examples:
      receptorctl work submit echoint --node bar --no-payload
      receptorctl work results t1BlAB18
    """
    if context.invoked_subcommand is None:
        terminal.show_help(context)


work.add_command(submit)


@work.command("list", short_help="List the units of work.")
@click.option("--quiet", "-q", is_flag=True, help="Print the unit ids only, one a line.")
@node_option("List the units of this node instead of the one connected to.")
@click.option("--unit_id", metavar="UNIT", type=UNIT_ID, help="Show this unit only.")
@click.option(
    "--tls-client",
    "tlsclient",
    metavar="NAME",
    help="Reach the other node with this tls-client of the node connected to.",
)
@click.pass_obj
def list_units(settings: Settings, quiet: bool, node: str | None, unit_id: str | None, tlsclient: str | None) -> int:
    """Print the status of every unit that the node knows, as JSON.

    \b
    Examples:
      receptorctl work list
      receptorctl work list --node bar --quiet
    """
    with settings.client() as client:
        if node:
            client.go_to(node, tlsclient or "")
        units = client.units(unit_id or "")
    if not quiet:
        terminal.show_json(units)
        return 0
    for unit in units:
        terminal.say(unit)
    return 0


@work.command(short_help="Show the status of a unit.")
@click.argument("unit_id", type=UNIT_ID)
@click.pass_obj
def status(settings: Settings, unit_id: str) -> int:
    """Print the status of a unit as JSON.

    \b
    Examples:
      receptorctl work status t1BlAB18
    """
    with settings.client() as client:
        terminal.show_json(client.unit_status(unit_id))
    return 0


@work.command(short_help="Print the results of a unit.")
@click.argument("unit_id", type=UNIT_ID)
@click.pass_obj
def results(settings: Settings, unit_id: str) -> int:
    """Print what a unit has written so far, and go on until it has ended.

    Ctrl-C leaves the unit running. The exit code is 1 if the unit failed.

    \b
    Examples:
      receptorctl work results t1BlAB18
    """
    with settings.client() as client:
        client.connect()
        return follow(client, settings, unit_id)


@work.command(short_help="Stop units.")
@click.argument("unit_ids", nargs=-1, type=RUNNING_UNIT_ID)
@click.pass_obj
def cancel(settings: Settings, unit_ids: tuple[str, ...]) -> int:
    """Stop units; what they have written stays.

    \b
    Examples:
      receptorctl work cancel t1BlAB18
    """
    if not unit_ids:
        return _nothing_named()
    with settings.client() as client:
        return _end_units(client, "cancel", unit_ids)


@work.command(short_help="Stop units and delete all they have written.")
@click.option("--force", is_flag=True, help="Delete here even if the other node can't be reached.")
@click.option("--all", "everything", is_flag=True, help="Release every unit of the node.")
@click.argument("unit_ids", nargs=-1, type=UNIT_ID)
@click.pass_obj
def release(settings: Settings, force: bool, everything: bool, unit_ids: tuple[str, ...]) -> int:
    """Stop units and delete all they have written, here and on the node where they run.

    \b
    Examples:
      receptorctl work release t1BlAB18 87Vwqb6A
      receptorctl work release --all
    """
    return _release(settings, "force-release" if force else "release", everything, unit_ids)


@work.command("force-release", short_help="The same as release --force.")
@click.option("--all", "everything", is_flag=True, help="Release every unit of the node.")
@click.argument("unit_ids", nargs=-1, type=UNIT_ID)
@click.pass_obj
def force_release(settings: Settings, everything: bool, unit_ids: tuple[str, ...]) -> int:
    """Release units, and delete them here even if the node where they run can't be reached.

    \b
    Examples:
      receptorctl work force-release t1BlAB18
    """
    return _release(settings, "force-release", everything, unit_ids)


def _release(settings: Settings, verb: str, everything: bool, unit_ids: tuple[str, ...]) -> int:
    if not unit_ids and not everything:
        return _nothing_named()
    with settings.client() as client:
        return _end_units(client, verb, tuple(client.units()) if everything else unit_ids)


def _nothing_named() -> int:
    terminal.warn("no unit ids are given, so nothing is done")
    return 0


def _end_units(client: ControlClient, verb: str, unit_ids: tuple[str, ...]) -> int:
    """Do all that can be done, and report each unit."""
    client.connect()
    exit_code = 0
    terminal.say("Cancelled:" if verb == "cancel" else "Released:")
    for unit_id in unit_ids:
        try:
            terminal.say(f"({unit_id}, {client.end_unit(verb, unit_id)})")
        except CommandError as error:
            terminal.fail(f"{unit_id}: {error}")
            exit_code = terminal.EXIT_FAILED
    return exit_code
