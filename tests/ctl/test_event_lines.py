from __future__ import annotations

from receptor.client.fields import JsonObject
from receptor.client.replies import Event
from receptor.ctl.event_lines import Filter, event_cells

LINK: JsonObject = {"Time": "2026-01-31T12:00:00.123456Z", "Event": "link.up", "NodeID": "bar", "Cost": 1}
RUNNING: JsonObject = {
    "Time": "2026-01-31T12:00:00.123456Z",
    "Event": "unit.changed",
    "UnitID": "t1BlAB18",
    "State": 1,
    "WorkType": "cat",
}


def test_a_person_sees_the_time_on_the_wall_and_colours() -> None:
    time, name, _, state, *_ = event_cells(Event.parse(RUNNING), for_a_person=True)
    assert len(time.text) == len("12:00:00")
    assert (name.colour, state.colour) == ("cyan", "cyan")


def test_an_event_without_a_time() -> None:
    assert next(cell.text for cell in event_cells(Event.parse({"Event": "x.y"}), for_a_person=False)) == "-"


def test_without_a_filter_everything_is_wanted() -> None:
    assert all(Filter().wants(Event.parse(event)) for event in (LINK, RUNNING))
    assert not Filter(kinds=("unit",)).wants(Event.parse(LINK))
