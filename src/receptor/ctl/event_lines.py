"""Events as lines for people, and which of them they want. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from receptor.client.replies import Event
from receptor.ctl.state_cells import state_cell
from receptor.ctl.tables import Cell

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


def event_cells(event: Event, *, for_a_person: bool) -> list[Cell]:
    """Time, name and details of an event; for a person the time is the one on the wall, without the day."""
    name = Cell(f"{event.name:<{_WIDEST_NAME}}", _COLOURS.get(event.name, ""))
    return [Cell(_time_text(event, for_a_person), "bright_black"), name, *_details(event)]


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
    yield Cell(event.unit_id)
    if event.state is not None:
        yield state_cell(event.state)
    name = f" {event.unit_name!r}" if event.unit_name else ""
    place = f" on {event.remote_node}" if event.remote_node else ""
    yield Cell(f"{event.work_type}{name}{place}")
    if event.detail:
        yield Cell(f"({event.detail})", "bright_black")
