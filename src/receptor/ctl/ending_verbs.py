"""``receptorctl work cancel``, ``release`` and ``force-release``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import RUNNING_UNIT_ID, UNIT_ID, json_option
from receptor.errors import CommandError, OperatingError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.ctl.settings import Settings

_JSON_HELP = "Print a list with a record for each unit."


@click.command(short_help="Stop units.")
@click.argument("unit_ids", nargs=-1, type=RUNNING_UNIT_ID)
@json_option(_JSON_HELP)
@click.pass_obj
def cancel(settings: Settings, unit_ids: tuple[str, ...], as_json: bool) -> int:
    """Stop units; what they have written stays.

    \b
    Examples:
      receptorctl work cancel t1BlAB18
    """
    if not unit_ids:
        return _nothing_named(as_json=as_json)
    from receptor.ctl.unit_ids import whole_ids

    with settings.client() as client:
        client.connect()
        return _end_units(client, "cancel", whole_ids(client, unit_ids), as_json=as_json)


@click.command(short_help="Stop units and delete all they have written.")
@click.option("--force", is_flag=True, help="Delete here even if the other node can't be reached.")
@click.option("--all", "everything", is_flag=True, help="Release every unit of the node.")
@click.argument("unit_ids", nargs=-1, type=UNIT_ID)
@json_option(_JSON_HELP)
@click.pass_obj
def release(settings: Settings, force: bool, everything: bool, unit_ids: tuple[str, ...], as_json: bool) -> int:
    """Stop units and delete all they have written, here and on the node where they run.

    Where just the beginning of a unit id is given, you are asked first; without a terminal that is refused.

    \b
    Examples:
      receptorctl work release t1BlAB18 87Vwqb6A
      receptorctl work release --all
    """
    return _release(settings, "force-release" if force else "release", everything, unit_ids, as_json=as_json)


@click.command("force-release", short_help="The same as release --force.")
@click.option("--all", "everything", is_flag=True, help="Release every unit of the node.")
@click.argument("unit_ids", nargs=-1, type=UNIT_ID)
@json_option(_JSON_HELP)
@click.pass_obj
def force_release(settings: Settings, everything: bool, unit_ids: tuple[str, ...], as_json: bool) -> int:
    """Release units, and delete them here even if the node where they run can't be reached.

    \b
    Examples:
      receptorctl work force-release t1BlAB18
    """
    return _release(settings, "force-release", everything, unit_ids, as_json=as_json)


def _release(settings: Settings, verb: str, everything: bool, unit_ids: tuple[str, ...], *, as_json: bool) -> int:
    if not unit_ids and not everything:
        return _nothing_named(as_json=as_json)
    with settings.client() as client:
        client.connect()
        chosen = list(client.units()) if everything else _confirmed_ids(client, unit_ids)
        if chosen is None:
            terminal.tell("Nothing is released.")
            return terminal.EXIT_FAILED
        return _end_units(client, verb, chosen, as_json=as_json)


def _confirmed_ids(client: ControlClient, texts: Sequence[str]) -> list[str] | None:
    """The unit ids to release; None if the answer is no.

    Where just the beginning is given, a slip would delete other work, so that is asked. Raises OperatingError if nobody
    can be.
    """
    from receptor.ctl.unit_ids import resolve

    meant = resolve(client, texts)
    guessed = [one.completed for one in meant if one.completed is not None]
    if guessed:
        named = ", ".join(f"{unit.unit_id} ({unit.work}, {unit.state.title})" for unit in guessed)
        if not terminal.can_ask():
            raise OperatingError(
                f"nothing is released: of {named} just the beginning is given, and nobody can be asked; give "
                "whole unit ids"
            )
        if not terminal.confirm(f"Release {named}?"):
            return None
    return list(dict.fromkeys(one.unit_id for one in meant))


def _nothing_named(*, as_json: bool) -> int:
    terminal.warn("no unit ids are given, so nothing is done")
    if as_json:
        terminal.show_json([])
    return 0


def _end_units(client: ControlClient, verb: str, unit_ids: Sequence[str], *, as_json: bool) -> int:
    """Do all that can be done, and report each unit."""
    exit_code = 0
    records: list[dict[str, str]] = []
    if not as_json:
        terminal.say("Cancelled:" if verb == "cancel" else "Released:")
    for unit_id in unit_ids:
        try:
            outcome = client.end_unit(verb, unit_id)
        except CommandError as error:
            from receptor.ctl.hints import about_unit, advised

            terminal.fail(about_unit(unit_id, advised(error)))
            records.append({"UnitID": unit_id, "Error": str(error)})
            exit_code = terminal.EXIT_FAILED
        else:
            records.append({"UnitID": unit_id, "Outcome": outcome})
            if not as_json:
                terminal.say(f"({unit_id}, {outcome})")
    if as_json:
        terminal.show_json(records)
    return exit_code
