from __future__ import annotations

import asyncio
import logging

import pytest
from event_loops import EventLoop
from virtual_time import run_in_virtual_time

from receptor.backends.dialling import Dialer


class Defective(Dialer):
    async def dial(self) -> bool:
        raise UnicodeError("label empty or too long")


class Patient(Dialer):
    async def dial(self) -> bool:
        await asyncio.Event().wait()
        return True


class Scripted(Dialer):
    """Has links that last so many seconds; where there is none, nobody answers."""

    def __init__(self, links: list[float | None]) -> None:
        super().__init__("tcp-peer foo:1", redial=True)
        self._links = links
        self.pauses: list[float] = []
        self._ended: float | None = None

    async def dial(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._ended is not None:
            self.pauses.append(round(now - self._ended, 2))
        link = self._links.pop(0) if self._links else None
        if link is not None:
            await asyncio.sleep(link)
        self._ended = asyncio.get_running_loop().time()
        if link is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return True


def pauses_of(links: list[float | None], seconds: float) -> list[float]:
    """The pauses before each dial but the first within that time."""

    async def main() -> list[float]:
        dialer = Scripted(links)
        await dialer.start()
        await asyncio.sleep(seconds)
        await dialer.stop()
        return dialer.pauses

    return run_in_virtual_time(main())


def test_who_does_not_answer_is_dialled_soon_and_then_more_and_more_seldom() -> None:
    assert pauses_of([], 75) == [0.5, 0.75, 1.12, 1.69, 2.53, 3.8, 5.7, 8.54, 12.81, 19.22]
    assert pauses_of([], 200)[-3:] == [20.0, 20.0, 20.0]


def test_a_link_that_has_lasted_is_made_again_soon() -> None:
    assert pauses_of([None, None, None, 60.0], 65)[:4] == [0.5, 0.75, 1.12, 0.5]


def test_a_link_that_ends_at_once_is_made_again_more_and_more_seldom() -> None:
    assert pauses_of([0.0] * 4, 5) == [0.5, 0.75, 1.12, 1.69]


def test_a_dialer_that_fails_as_none_should_says_so(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        dialer = Defective("tcp-peer a..b:1", redial=True)
        await dialer.start()
        await asyncio.gather(*_dialling(), return_exceptions=True)
        await dialer.stop()

    run(main())
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "tcp-peer a..b:1 is dialled no more: a defect of this program, please report it; restart the node to dial again"
    )
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], UnicodeError)


def test_a_dialer_that_is_stopped_says_nothing(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        dialer = Patient("tcp-peer foo:1", redial=True)
        await dialer.start()
        await asyncio.sleep(0)
        await dialer.stop()

    run(main())
    assert caplog.records == []


def _dialling() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("dial ")]
