from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from pathlib import Path

import pytest
from event_loops import EventLoop
from notified import notified
from virtual_time import run_in_virtual_time

from receptor.systemd import Systemd, take_systemd

SOMEBODY_ELSE = str(os.getpid() + 1)
"""As the number of a process."""


def test_it_is_told_at_a_path(short_folder: Path) -> None:
    with notified(f"{short_folder}/notify") as systemd:
        Systemd(systemd.address, None).tell(READY=1, STATUS="all is well")
        assert systemd.next(0) == {"READY": "1", "STATUS": "all is well"}


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_it_is_told_at_an_abstract_name(short_folder: Path) -> None:
    with notified(f"@{short_folder}/notify") as systemd:
        Systemd(systemd.address, None).tell(STOPPING=1)
        assert systemd.next(0) == {"STOPPING": "1"}


def test_nobody_is_told_where_nobody_listens() -> None:
    nobody = take_systemd({})
    assert not nobody.listens
    nobody.tell(READY=1)


def test_a_lost_socket_is_logged_once_and_ends_nothing(short_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = Systemd(f"{short_folder}/notify", None)
    told.tell(READY=1, STATUS="all is well")
    told.tell(READY=1)
    (line,) = caplog.messages
    assert line.startswith("systemd can't be told READY=1: [Errno 2]")
    with notified(f"{short_folder}/notify") as systemd:
        told.tell(READY=1)
        assert systemd.next(0) == {"READY": "1"}
    told.tell(READY=1)
    assert len(caplog.messages) == 2, "it was reached in between"


def test_the_variables_are_taken_out_of_the_environment() -> None:
    environment = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "10", "WATCHDOG_PID": "1", "PATH": "/bin"}
    assert take_systemd(environment).listens
    assert environment == {"PATH": "/bin"}


def test_another_kind_of_socket_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not take_systemd({"NOTIFY_SOCKET": "vsock:2:1234"}).listens
    assert "vsock:2:1234" in caplog.text


def feed(address: str, **environment: str) -> None:
    """Keep it informed for 15.5 seconds, which pass at once."""

    async def main() -> None:
        informed = take_systemd({"NOTIFY_SOCKET": address, **environment})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(informed.keep_informed(lambda: "0 links"), 15.5)

    run_in_virtual_time(main())


@pytest.mark.parametrize(("seconds", "times"), [(4, 8), (8, 4), (60, 4)])
def test_the_watchdog_is_fed_at_half_its_time_and_every_5_seconds(short_folder: Path, seconds: int, times: int) -> None:
    with notified(f"{short_folder}/notify") as systemd:
        feed(systemd.address, WATCHDOG_USEC=f"{seconds}000000", WATCHDOG_PID=str(os.getpid()))
        assert systemd.next(0) == {"WATCHDOG": "1", "STATUS": "0 links"}
        for _ in range(times - 1):
            assert systemd.next(0) == {"WATCHDOG": "1"}
        with pytest.raises(BlockingIOError):
            systemd.next(0)


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "10000", "WATCHDOG_PID": SOMEBODY_ELSE}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}],
)
def test_a_watchdog_of_nobody_or_of_somebody_else_is_not_fed(short_folder: Path, environment: dict[str, str]) -> None:
    with notified(f"{short_folder}/notify") as systemd:
        feed(systemd.address, **environment)
        assert systemd.next(0) == {"STATUS": "0 links"}
        with pytest.raises(BlockingIOError):
            systemd.next(0)


def test_a_loop_that_hangs_lets_the_watchdog_starve(short_folder: Path, run: EventLoop) -> None:
    async def hang() -> None:
        informed = Systemd(systemd.address, 0.01)
        feeding = asyncio.create_task(informed.keep_informed(lambda: ""))
        await asyncio.sleep(0)
        assert systemd.next(0) == {"WATCHDOG": "1"}
        with pytest.raises(TimeoutError):
            systemd.next(0.05)  # blocks the loop
        feeding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feeding

    with notified(f"{short_folder}/notify") as systemd:
        run(hang())


def test_a_systemd_that_takes_nothing_more_keeps_the_loop_from_nothing(short_folder: Path, run: EventLoop) -> None:
    with notified(f"{short_folder}/notify") as systemd:
        full = Systemd(systemd.address, 0.0001)

        async def overfeed() -> None:
            feeding = asyncio.create_task(full.keep_informed(lambda: ""))
            began = time.monotonic()
            await asyncio.sleep(0.1)
            assert time.monotonic() - began < 1.0
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding

        run(overfeed())
        assert systemd.next(0) == {"WATCHDOG": "1"}
