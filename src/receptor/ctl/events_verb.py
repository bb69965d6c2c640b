"""``receptorctl events``: what happens on a node, a line each, as it happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import NODE_ID, UNIT_ID, json_option
from receptor.ctl.tables import Cell
from receptor.errors import CommandError, UnreachableError

if TYPE_CHECKING:
    from receptor.client.replies import Event
    from receptor.ctl.settings import Settings

_LOST = "events.lost"
_COLOURS: Mapping[str, str] = {
    "link.up": "green",
    "link.down": "red",
    "node.reachable": "green",
    "node.unreachable": "red",
    "service.added": "blue",
    "service.removed": "magenta",
    "unit.created": "cyan",
    "unit.changed": "cyan",
    "unit.released": "cyan",
    _LOST: "yellow",
}
_WIDEST_NAME = max(map(len, _COLOURS))


@dataclass(frozen=True)
class Filter:
    """Which events are wanted; an empty text or tuple wants all. Those that were lost are always told."""

    kinds: tuple[str, ...] = ()
    node: str = ""
    unit: str = ""

    def wants(self, event: Event) -> bool:
        if event.name == _LOST:
            return True
        return (
            (not self.kinds or event.name.partition(".")[0] in self.kinds)
            and (not self.node or self.node in (event.node_id, event.remote_node))
            and (not self.unit or event.unit_id.startswith(self.unit))
        )


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
    wanted = Filter(kinds, node or "", unit or "")
    for event in _follow(settings):
        if not wanted.wants(event):
            continue
        if as_json:
            terminal.show_json_line(event.fields)
        else:
            terminal.say_cells(event_cells(event, for_a_person=terminal.is_terminal(sys.stdout)))
    return 0


def event_cells(event: Event, *, for_a_person: bool) -> list[Cell]:
    """Time, name and details of an event; for a person the time is the one on the wall, without the day."""
    name = Cell(f"{event.name:<{_WIDEST_NAME}}", _COLOURS.get(event.name, ""))
    return [Cell(_time_text(event, for_a_person), "bright_black"), name, *_details(event)]


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


def _time_text(event: Event, for_a_person: bool) -> str:
    if event.time is None:
        return "-"
    return event.time.astimezone().strftime("%H:%M:%S") if for_a_person else str(event.fields["Time"])


def _details(event: Event) -> Iterator[Cell]:
    match event.name.partition(".")[0]:
        case "unit":
            yield from _unit_details(event)
        case "link":
            yield Cell(f"{event.node_id} cost={event.cost:g}")
        case "node":
            yield Cell(f"{event.node_id} via {event.via}" if event.via else event.node_id)
        case "service":
            yield Cell(f"{event.service} of {event.node_id}")
        case "events":
            yield Cell(f"{event.count} events were lost, since they came faster than they were read")
        case _:
            texts = (f"{key}={value}" for key, value in event.fields.items() if key not in ("Time", "Event"))
            yield Cell(" ".join(texts))


def _unit_details(event: Event) -> Iterator[Cell]:
    from receptor.ctl.state_colours import STATE_COLOURS

    yield Cell(event.unit_id)
    if event.state is not None:
        yield Cell(event.state.title, STATE_COLOURS[event.state])
    name = f" {event.unit_name!r}" if event.unit_name else ""
    place = f" on {event.remote_node}" if event.remote_node else ""
    yield Cell(f"{event.work_type}{name}{place}")
    if event.detail:
        yield Cell(f"({event.detail})", "bright_black")
