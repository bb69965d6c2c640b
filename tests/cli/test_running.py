from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from notified import Notified, notified
from receptor_process import ENVIRONMENT, Action, NodeProcess, started_node

LOCAL_ONLY: Action = {"local-only": {}}
ENV: Action = {"work-command": {"worktype": "env", "command": "env"}}


@pytest.fixture
def systemd(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notified]:
    """Nodes of the test take this for the systemd that has started them, with a watchdog of 0.2 s."""
    with notified(f"{short_folder}/notify") as systemd:
        monkeypatch.setitem(ENVIRONMENT, "NOTIFY_SOCKET", systemd.address)
        monkeypatch.setitem(ENVIRONMENT, "WATCHDOG_USEC", "200000")
        yield systemd


@pytest.fixture
def foo(short_folder: Path, systemd: Notified) -> Iterator[NodeProcess]:
    """A node whose readiness has been told, and nothing else yet."""
    with started_node(short_folder, "foo", LOCAL_ONLY, ENV) as foo:
        assert systemd.next() == {"READY": "1"}
        yield foo


def take_all(systemd: Notified) -> None:
    """Take all that comes. Raises TimeoutError once nothing has come for longer than the watchdog has patience."""
    while True:
        systemd.next(0.5)


def test_systemd_follows_a_node_from_ready_to_stopping(foo: NodeProcess, systemd: Notified) -> None:
    with foo.client() as client:
        assert client.greeting == "Receptor Control, node foo", "clients are greeted as soon as that is said"
    systemd.until(WATCHDOG="1", STATUS="0 links, 0 nodes in reach, 0 units")
    environment = foo.results(foo.submit("env")).decode()
    assert "RECEPTOR_UNIT=" in environment
    assert "NOTIFY_SOCKET" not in environment
    assert "WATCHDOG" not in environment
    systemd.until(STATUS="0 links, 0 nodes in reach, 1 unit")
    assert foo.end() == 0
    systemd.until(STOPPING="1")


def test_a_reload_begins_and_ends(foo: NodeProcess, systemd: Notified) -> None:
    before = time.monotonic_ns() // 1000
    foo.process.send_signal(signal.SIGHUP)
    told = systemd.until(RELOADING="1")
    assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    systemd.until(READY="1")
    foo.write("- nonsense")
    assert foo.ask("reload")["Success"] is False
    systemd.until(RELOADING="1")
    systemd.until(READY="1")
    systemd.until(STATUS="0 links, 0 nodes in reach, 0 units; the last reload was refused, see the log")


def test_a_node_that_hangs_starves_the_watchdog(foo: NodeProcess, systemd: Notified) -> None:
    systemd.until(WATCHDOG="1")
    os.kill(foo.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            take_all(systemd)
    finally:
        os.kill(foo.process.pid, signal.SIGCONT)
    systemd.until(WATCHDOG="1")


def test_a_node_that_can_not_start_is_never_ready(short_folder: Path, systemd: Notified) -> None:
    (short_folder / "data").write_text("a file")
    with started_node(short_folder, "foo", LOCAL_ONLY) as foo:
        assert foo.process.wait(20) == 1
    with pytest.raises(BlockingIOError):
        systemd.next(0)
