from __future__ import annotations

import pytest
from event_loops import EventLoop
from running_mesh import dialling, listening, routes, running

from receptor.events import Follower, LinkEvent, NodeEvent, ServiceEvent, Told


@pytest.fixture
def run() -> EventLoop:
    return EventLoop("uvloop")


async def heard(follower: Follower, *wanted: tuple[str, ...]) -> None:
    """Take events until all of these have come, in whatever order, and no others."""
    missing = list(wanted)
    while missing:
        for event in await follower.take():
            missing.remove(brief(event))


def brief(event: Told) -> tuple[str, ...]:
    match event:
        case LinkEvent():
            return event.event, event.node_id, f"{event.cost:g}"
        case NodeEvent():
            return event.event, event.node_id, event.via
        case ServiceEvent():
            return event.event, event.node_id, event.service
        case _:
            raise AssertionError(event)


def test_links_nodes_and_services_are_told_as_they_come_and_go(run: EventLoop) -> None:
    async def main() -> None:
        async with (
            running("foo") as foo,
            running("hop") as hop,
            running("bar") as bar,
            listening(hop) as port,
            dialling(bar, port),
        ):
            await routes(hop, {"bar"})
            with foo.events.followed(lambda _: True) as follower:
                async with dialling(foo, port):
                    await heard(
                        follower,
                        ("link.up", "hop", "1"),
                        ("node.reachable", "hop", "hop"),
                        ("node.reachable", "bar", "hop"),
                    )
                    bar.advertise("control", {"type": "Control Service"})
                    await heard(follower, ("service.added", "bar", "control"))
                    bar.advertise("control", {"type": "Control Service"})
                    foo.advertise("echo", {})
                    await heard(follower, ("service.added", "foo", "echo"))
                    bar.withdraw("control")
                    foo.withdraw("echo")
                    await heard(follower, ("service.removed", "bar", "control"), ("service.removed", "foo", "echo"))
                await hop.stop()
                await heard(
                    follower,
                    ("link.down", "hop", "1"),
                    ("node.unreachable", "hop", "hop"),
                    ("node.unreachable", "bar", "hop"),
                )

    run(main())


def test_who_follows_later_hears_of_what_happens_later(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo, listening(foo) as port, running("bar") as bar, dialling(bar, port):
            await routes(foo, {"bar"})
            with foo.events.followed(lambda _: True) as follower:
                foo.advertise("echo", {})
                await heard(follower, ("service.added", "foo", "echo"))
                await bar.stop()
                await heard(follower, ("link.down", "bar", "1"), ("node.unreachable", "bar", "bar"))

    run(main())
