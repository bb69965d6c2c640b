from __future__ import annotations

import asyncio
import logging

import pytest
from event_loops import EventLoop

from receptor.backends.dialling import Dialer


class Defective(Dialer):
    async def dial(self) -> bool:
        raise UnicodeError("label empty or too long")


class Patient(Dialer):
    async def dial(self) -> bool:
        await asyncio.Event().wait()
        return True


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
