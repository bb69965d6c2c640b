from __future__ import annotations

import asyncio
import re
import time

import msgspec

from receptor.events import MOST_KEPT, Event, Events, LinkEvent, LostEvents, ServiceEvent, Told, now_text
from receptor.netceptor.messages import parse_time


def service(name: str) -> ServiceEvent:
    return ServiceEvent(now_text(), "service.added", "bar", name)


def everything(_event: Event) -> bool:
    return True


def test_each_follower_takes_what_has_happened_since_in_order() -> None:
    async def main() -> None:
        events = Events()
        events.publish(service("before"))
        with events.followed(everything) as one:
            first, second = service("a"), service("b")
            events.publish(first)
            with events.followed(everything) as other:
                events.publish(second)
                assert await other.take() == [second]
            assert await one.take() == [first, second]

    asyncio.run(main())


def test_a_follower_waits_until_something_happens() -> None:
    async def main() -> None:
        events = Events()
        with events.followed(everything) as follower:
            taking = asyncio.create_task(follower.take())
            await asyncio.sleep(0)
            assert not taking.done()
            events.publish(service("a"))
            assert len(await taking) == 1

    asyncio.run(main())


def test_cancelling_a_follower_that_waits_loses_nothing() -> None:
    async def main() -> None:
        events = Events()
        with events.followed(everything) as follower:
            taking = asyncio.create_task(follower.take())
            await asyncio.sleep(0)
            events.publish(service("a"))
            taking.cancel()
            await asyncio.wait([taking])
            assert len(await follower.take()) == 1

    asyncio.run(main())


def test_only_what_is_wanted_is_told() -> None:
    async def main() -> None:
        events = Events()
        with events.followed(lambda event: isinstance(event, LinkEvent)) as follower:
            events.publish(service("a"))
            link = LinkEvent(now_text(), "link.up", "bar", 1)
            events.publish(link)
            assert await follower.take() == [link]

    asyncio.run(main())


def test_a_follower_that_lags_keeps_the_oldest_and_learns_how_many_it_has_lost() -> None:
    async def main() -> None:
        events = Events()
        with events.followed(everything) as follower:
            for number in range(MOST_KEPT + 7):
                events.publish(service(f"s{number}"))
            *kept, lost = await follower.take()
            assert [event.service for event in kept if isinstance(event, ServiceEvent)] == [
                f"s{number}" for number in range(MOST_KEPT)
            ]
            assert isinstance(lost, LostEvents)
            assert lost.count == 7
            events.publish(service("later"))
            (later,) = await follower.take()
            assert isinstance(later, ServiceEvent)

    asyncio.run(main())


def test_nobody_follows_after_the_block() -> None:
    async def main() -> None:
        events = Events()
        assert not events.are_followed
        with events.followed(everything):
            assert events.are_followed
        assert not events.are_followed

    asyncio.run(main())


def test_the_end_of_the_node_ends_those_who_follow_once_they_have_taken_all() -> None:
    async def main() -> None:
        events = Events()
        with events.followed(everything) as follower:
            events.publish(service("last"))
            events.close()
            assert len(await follower.take()) == 1
            assert await follower.take() == []
        with events.followed(everything) as late:
            assert await late.take() == []

    asyncio.run(main())


def test_an_event_tells_when_and_what() -> None:
    told: list[Told] = [service("control"), LostEvents(now_text(), 3)]
    for event in told:
        fields = msgspec.json.decode(msgspec.json.encode(event))
        assert {"Time", "Event"} <= fields.keys()


def test_the_time_has_six_decimals() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", now_text())
    assert abs(parse_time(now_text()) / 1e9 - time.time()) < 5
