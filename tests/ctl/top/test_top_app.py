"""The screen, by textual's pilot, against a node of our own making."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fake_control import fake_node
from live_node import LiveNode, a_unit
from textual.pilot import Pilot
from textual.widgets import RichLog, Static

from receptor.ctl.settings import Settings
from receptor.ctl.top.app import Top
from receptor.ctl.top.dialogs import Help, Output, Question
from receptor.ctl.top.rows_view import RowsView

PATIENCE = 20.0
Story = Callable[[Pilot[None], Top, LiveNode], Awaitable[None]]


def watched(story: Story, *, connections: int = 2, size: tuple[int, int] = (100, 24), units: int = 3) -> LiveNode:
    """Play the story at a screen that shows a node with so many units."""
    live = LiveNode()
    live.units = {f"u{number:04}": a_unit(detail=f"detail {number}") for number in range(units)}
    live.output = b"hello\nworld\x1b[2J\n"

    async def play(path: str) -> None:
        app = Top(Settings(socket=path), 3600.0)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: len(rows(app).rows) == units)
            await story(pilot, app, live)
            live.end()

    with fake_node() as node:
        node.plays(*[live.session] * connections)
        asyncio.run(asyncio.wait_for(play(node.path), PATIENCE))
    return live


async def until(pilot: Pilot[None], is_so: Callable[[], bool]) -> None:
    while not is_so():
        await pilot.pause(0.01)


def rows(app: Top, tab: str = "units") -> RowsView:
    return app.query_one(f"#{tab}-rows", RowsView)


def shown(app: Top, widget: str) -> str:
    return str(app.screen.query_one(widget, Static).render())


def test_what_changes_is_shown_when_it_happens() -> None:
    async def story(pilot: Pilot[None], app: Top, live: LiveNode) -> None:
        live.units["u0003"] = a_unit(3)
        live.tell()
        await until(pilot, lambda: len(rows(app).rows) == 4)
        assert shown(app, "#headline").endswith("4 units (3 running, 1 failed)")

    watched(story)


def test_tabs_order_and_filter() -> None:
    async def story(pilot: Pilot[None], app: Top, live: LiveNode) -> None:
        await pilot.press("2")
        assert [row.key for row in rows(app, "nodes").rows] == ["foo", "bar", "baz", "gone"]
        await pilot.press("tab")
        assert [row.key for row in rows(app, "links").rows] == ["foo bar", "bar baz"]
        await pilot.press("1", "s", "S")
        assert [row.key for row in rows(app).rows] == ["u0002", "u0001", "u0000"]
        await pilot.press("slash", *"l 1", "enter")
        assert [row.key for row in rows(app).rows] == ["u0001"]
        assert shown(app, "#state").endswith("; only those with 'l 1': 1")
        await pilot.press("escape")
        assert len(rows(app).rows) == 3

    watched(story)


@pytest.mark.parametrize(("key", "subcommand", "left"), [("c", "cancel", 3), ("x", "release", 2)])
def test_a_unit_is_ended_after_a_question(key: str, subcommand: str, left: int) -> None:
    async def story(pilot: Pilot[None], app: Top, live: LiveNode) -> None:
        await pilot.press("down", key)
        assert isinstance(app.screen, Question)
        await pilot.press("n")
        assert live.units["u0001"]["State"] == 1
        await pilot.press(key, "y")
        await until(pilot, lambda: "u0001" not in live.units or live.units["u0001"]["State"] == 4)
        await until(pilot, lambda: len(rows(app).rows) == left)

    watched(story, connections=3)


def test_the_output_of_a_unit() -> None:
    async def story(pilot: Pilot[None], app: Top, live: LiveNode) -> None:
        await pilot.press("enter")
        assert isinstance(app.screen, Output)
        await until(pilot, lambda: "the end of its output" in shown(app, "#output-title"))
        assert [line.text for line in app.screen.query_one(RichLog).lines] == ["hello", "world [2J"]
        await pilot.press("escape")
        assert not isinstance(app.screen, Output)

    watched(story, connections=3)


def test_the_keys_are_explained() -> None:
    async def story(pilot: Pilot[None], app: Top, live: LiveNode) -> None:
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        await pilot.press("escape")
        await pilot.press("2", "o")
        assert "choose a unit first" in " ".join(one.message for one in app._notifications)

    watched(story)


def test_the_cursor_stays_with_its_unit_among_a_thousand() -> None:
    async def story(pilot: Pilot[None], app: Top, live: LiveNode) -> None:
        await pilot.press("end")
        assert rows(app).chosen == "u0999"
        await pilot.press("pageup", "pagedown", "up")
        chosen = rows(app).chosen
        del live.units["u0000"]
        live.tell()
        await until(pilot, lambda: len(rows(app).rows) == 999)
        assert rows(app).chosen == chosen

    watched(story, units=1000, size=(40, 10))


def test_a_lost_node_is_shown_until_it_is_back() -> None:
    async def story(pilot: Pilot[None], app: Top, live: LiveNode) -> None:
        app.post_message(Top.Lost("nobody listens"))
        await until(pilot, lambda: "trying to reach it again: nobody listens" in shown(app, "#state"))
        await pilot.press("r")
        await until(pilot, lambda: shown(app, "#state") == "live")

    watched(story)


def test_q_leaves() -> None:
    async def story(pilot: Pilot[None], app: Top, live: LiveNode) -> None:
        await pilot.press("q")
        assert app.return_code == 0

    watched(story)
