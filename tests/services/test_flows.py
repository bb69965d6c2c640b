from __future__ import annotations

import asyncio

from event_loops import ImpatientLoop

from receptor.services.flows import IDLE_TIME, Flows


def test_the_idle_are_forgotten_and_the_busy_are_not() -> None:
    closed: list[str] = []

    async def main() -> None:
        table: Flows[int, str] = Flows(closed.append, lambda key: key, most=100)
        table.add(1, "idle")
        table.add(2, "busy")
        await asyncio.sleep(IDLE_TIME * 0.6)
        assert table.use(2) == "busy"
        await asyncio.sleep(IDLE_TIME * 0.6)
        assert closed == ["idle"]
        assert table.use(1) is None
        assert table.use(2) == "busy"
        await asyncio.sleep(IDLE_TIME * 1.2)
        assert closed == ["idle", "busy"]
        assert len(table) == 0
        table.add(3, "later")
        await asyncio.sleep(IDLE_TIME * 1.2)
        assert closed == ["idle", "busy", "later"]

    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        runner.run(main())


def test_one_too_many_takes_the_place_of_the_longest_idle() -> None:
    closed: list[int] = []

    async def main() -> None:
        table: Flows[int, int] = Flows(closed.append, lambda key: key, most=3)
        for number in range(3):
            table.add(number, number)
        table.use(0)
        table.add(3, 3)
        assert closed == [1]
        table.clear()
        assert sorted(closed) == [0, 1, 2, 3]

    asyncio.run(main())


def test_who_has_the_most_makes_room_for_the_others() -> None:
    closed: list[str] = []

    async def main() -> None:
        table: Flows[tuple[str, int], str] = Flows(closed.append, lambda key: key[0], most=4)
        table.add(("modest", 0), "modest")
        for number in range(10):
            table.add(("greedy", number), f"greedy {number}")
        table.add(("other", 0), "other")
        assert closed == [f"greedy {number}" for number in range(8)]
        assert table.use(("modest", 0)) == "modest"
        for number in range(4):
            table.forget(("greedy", 6 + number))
        for number in range(3):
            table.add(("new", number), f"new {number}")
        assert closed[-1] == "new 0"
        table.clear()

    asyncio.run(main())
