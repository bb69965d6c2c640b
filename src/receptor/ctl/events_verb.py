"""``receptorctl events``: what happens on a node, a line each, as it happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import NODE_ID, UNIT_ID, json_option
from receptor.errors import CommandError, UnreachableError

if TYPE_CHECKING:
    from receptor.client.replies import Event
    from receptor.ctl.settings import Settings


@click.command(short_help="Show what happens on the node, as it happens.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(["unit", "link", "node", "service"]),
    help="Only what happens to these. May be repeated.",
)
@click.option("--node", metavar="NODE", type=NODE_ID, help="Only what concerns this node or its work.")
@click.option("--unit", metavar="UNIT", type=UNIT_ID, help="Only what happens to this unit.")
@json_option("Print each event as the node tells it, as JSON on one line.")
@click.pass_obj
def events(settings: Settings, kinds: tuple[str, ...], node: str | None, unit: str | None, as_json: bool) -> int:
    """Show from now on what happens on the node, and in the mesh as it sees it: one line an event.

    It goes on until Ctrl-C (exit code 130), or until the node ends (exit code 1). Nodes of Go tell no events.

    \b
    Examples:
      receptorctl events
      receptorctl events --kind link --kind node
      receptorctl events --json --kind unit | jq -r 'select(.StateName == "Failed").UnitID'
    """
    from receptor.ctl.event_lines import Filter, event_cells

    wanted = Filter(kinds, node or "", unit or "")
    for event in _follow(settings):
        if not wanted.wants(event):
            continue
        if as_json:
            terminal.show_json_line(event.fields)
        else:
            terminal.say_cells(event_cells(event, for_a_person=terminal.is_terminal(sys.stdout)))
    return 0


def _follow(settings: Settings) -> Iterator[Event]:
    with settings.client() as client:
        node_id = client.connect().node_id
        try:
            yield from client.events()
        except CommandError as error:
            again = settings.command_line("top")
            raise CommandError(f"{error}; '{again}' shows node {node_id} by asking again and again") from error
        except UnreachableError as error:
            raise UnreachableError(f"node {node_id} tells no more events: {error}") from error
