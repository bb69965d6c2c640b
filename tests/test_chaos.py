"""``make chaos`` (tools/chaos): its short form, that it clears away, and that it sees what is wrong."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import eventually, pids_with

from receptor.client.unit_replies import CANCELED, FAILED, RUNNING, SUCCEEDED, UnitState, UnitStatus

if TYPE_CHECKING:
    from tools.chaos.links import Link, Relays
    from tools.chaos.nodes import NodeHistory
    from tools.chaos.verdict import Verdict
    from tools.chaos.worker import Plan

PROJECT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "tools.chaos"]
PATIENCE = 600.0
"""Seconds; a run bounds all its waits itself, and lasts some fifteen if all is well."""
SEED = 21
STARTED, TOLD = 1000.0, 1030.0


@pytest.fixture(autouse=True)
def _tools_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT)


# The whole


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT / "src"), "TMPDIR": str(folder)}


def test_units_end_as_foretold_whatever_dies_meanwhile(short_folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--units", "30", "--seconds", "6", "--seed", str(SEED)],
        cwd=PROJECT, env=environment(short_folder), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"submitted +30\n", done.stdout)
    assert re.search(
        r"lost +0\ndoubled +0\nwrong output +0\nleft-over processes +0\nleft-over folders +0\n", done.stdout
    )
    assert_nothing_left(short_folder)


def test_whoever_breaks_it_off_finds_nothing_left(short_folder: Path) -> None:
    command = [*COMMAND, "--units", "10", "--seconds", "60"]
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment(short_folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        eventually(lambda: list(short_folder.glob("chaos-*/data/bar/*/status")), PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert_nothing_left(short_folder)


def assert_nothing_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert pids_with(str(folder)) == []


# The verdicts


def plan(
    *, order: str = "", is_endless: bool = False, code: int = 0, signal_number: signal.Signals | None = None
) -> Plan:
    from tools.chaos.worker import Plan

    made = Plan(SEED, 1)
    made.order, made.is_endless, made.code, made.signal, made.output_size = order, is_endless, code, signal_number, 1000
    return made


def history(
    *, runner_kill: float | None = None, is_daemons_child: bool = False, daemon_end: float | None = None
) -> NodeHistory:
    from tools.chaos.nodes import NodeHistory, RunnerKill

    made = NodeHistory(daemon_runs=[(0.0, daemon_end or 2000.0)])
    if runner_kill is not None:
        made.runner_kills.append(RunnerKill(runner_kill, is_daemons_child))
    if daemon_end is not None:
        made.daemon_ends.append(daemon_end)
        made.daemon_runs.append((daemon_end + 1, 2000.0))
    return made


def verdict(
    made: Plan,
    state: int | None,
    detail: str = "",
    output: bytes | None = None,
    *,
    runs: int = 1,
    bad_payloads: int = 0,
    still_running: int = 0,
    is_acknowledged: bool = True,
    past: NodeHistory | None = None,
) -> Verdict:
    from tools.chaos.verdict import Facts, judge

    output = made.output() if output is None else output
    facts = Facts(
        plan=made,
        is_acknowledged=is_acknowledged,
        is_ordered=made.order != "",
        runs=runs,
        bad_payloads=bad_payloads,
        status=None if state is None else UnitStatus(UnitState(state), detail, len(output)),
        output=output,
        still_running=still_running,
        started=STARTED,
        told=TOLD,
    )
    return judge(facts, past or history())


def test_a_unit_is_to_end_as_planned() -> None:
    assert verdict(plan(), SUCCEEDED, "exit status 0").end.value == "ended as planned"
    assert verdict(plan(code=3), FAILED, "exit status 3").end.value == "ended as planned"
    assert verdict(plan(signal_number=signal.SIGKILL), FAILED, "signal: killed").end.value == "ended as planned"
    assert "otherwise than planned" in verdict(plan(), FAILED, "exit status 1").wrong
    assert "otherwise than planned" in verdict(plan(), FAILED, "signal: killed").wrong
    assert "otherwise than planned" in verdict(plan(), CANCELED, "Canceled").wrong


@pytest.mark.parametrize("change", [b"", b"x"], ids=["cut short", "changed"])
def test_every_byte_of_the_output_counts(change: bytes) -> None:
    assert "differs" in verdict(plan(), SUCCEEDED, "exit status 0", plan().output()[:-1] + change).wrong


def test_what_has_not_ended_or_is_unknown_is_lost() -> None:
    assert "has not ended" in verdict(plan(), RUNNING, "Running: PID 5").lost
    assert "does not know it" in verdict(plan(), None).lost
    assert "never ran" in verdict(plan(), SUCCEEDED, "exit status 0", runs=0).lost


def test_whether_acknowledged_or_not_it_runs_once_at_most_and_with_its_whole_payload() -> None:
    assert verdict(plan(), SUCCEEDED, "exit status 0", runs=2).doubled
    assert verdict(plan(), None, is_acknowledged=False, runs=2).doubled
    assert verdict(plan(), None, is_acknowledged=False, runs=1).end.value == "not acknowledged"
    assert "another payload" in verdict(plan(), None, is_acknowledged=False, bad_payloads=1).wrong


def test_a_cancelled_unit_keeps_what_it_wrote_and_leaves_nothing_running() -> None:
    endless = plan(order="cancel", is_endless=True)
    begin = endless.output()[:100]
    assert verdict(endless, CANCELED, "Canceled", begin).end.value == "cancelled"
    assert verdict(endless, CANCELED, "Canceled", b"").end.value == "cancelled"
    assert "not how the expected output begins" in verdict(endless, CANCELED, "Canceled", b"else").wrong
    assert "still run" in verdict(endless, CANCELED, "Canceled", begin, still_running=1).wrong
    assert verdict(endless, SUCCEEDED, "exit status 0").wrong
    assert verdict(plan(order="cancel"), SUCCEEDED, "exit status 0").end.value == "ended as planned"


def test_a_released_unit_is_gone() -> None:
    assert verdict(plan(order="release"), None).end.value == "released half-way"
    assert "still there" in verdict(plan(order="release"), SUCCEEDED, "exit status 0").wrong


def test_a_unit_may_be_given_up_with_its_runner_only_where_nobody_can_learn_its_end() -> None:
    def given_up(
        past: NodeHistory, reason: str = "process 5 is gone, and nobody is left who saw how it ended"
    ) -> Verdict:
        return verdict(plan(), FAILED, reason, b"", past=past)

    assert given_up(history(runner_kill=1025.0)).end.value == "taken down with the runner"
    assert "could be learnt" in given_up(history()).wrong
    assert "could be learnt" in given_up(history(runner_kill=900.0)).wrong
    assert "could be learnt" in given_up(history(runner_kill=1025.0, is_daemons_child=True)).wrong
    lost_with_daemon = history(runner_kill=1020.0, is_daemons_child=True, daemon_end=1025.0)
    assert given_up(lost_with_daemon).end.value == "taken down with the runner"
    killed_in_the_act = "the runner of commands was killed while it started this one; nobody knows whether it ran"
    assert not given_up(history(runner_kill=1025.0, is_daemons_child=True), killed_in_the_act).wrong


def test_that_a_unit_was_given_up_is_told_within_seconds_of_the_daemon_running() -> None:
    gone = "process 5 is gone, and nobody is left who saw how it ended"
    assert "only after 25.0 s" in verdict(plan(), FAILED, gone, b"", past=history(runner_kill=1005.0)).wrong
    restarted = history(runner_kill=1005.0, daemon_end=1006.0)
    restarted.daemon_runs[1] = (1025.0, 2000.0)
    assert not verdict(plan(), FAILED, gone, b"", past=restarted).wrong


# The links


@contextmanager
def link_to(server: socket.socket) -> Iterator[tuple[Relays, Link, socket.socket, socket.socket]]:
    """A link, and both ends of a connection over it."""
    from tools.chaos.links import Relays

    relays = Relays()
    link = relays.open("link", server.getsockname()[1])
    with socket.create_connection(("127.0.0.1", link.port), 10) as dialled, server.accept()[0] as accepted:
        accepted.settimeout(10)
        yield relays, link, dialled, accepted
    relays.close()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        yield listening


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(100):
        received += data
    return received


def test_a_link_breaks_at_the_byte_that_was_asked_for(server: socket.socket) -> None:
    with link_to(server) as (relays, link, dialled, accepted):
        relays.do(lambda: link.cut(7, reset=False))
        dialled.sendall(b"before")
        assert accepted.recv(100) == b"before"
        dialled.sendall(b"after")
        assert read_all(accepted) == b"a"


def test_a_link_breaks_soon_if_nothing_passes(server: socket.socket) -> None:
    with link_to(server) as (relays, link, _, accepted):
        relays.do(lambda: link.cut(7, reset=True))
        with pytest.raises(ConnectionResetError):
            accepted.recv(100)


def test_a_stalled_link_passes_on_in_the_end_what_it_kept(server: socket.socket) -> None:
    from tools.chaos.links import UP

    with link_to(server) as (relays, link, dialled, accepted):
        relays.do(lambda: link.stall(UP))
        dialled.sendall(b"kept")
        accepted.sendall(b"the other way")
        assert dialled.recv(100) == b"the other way"
        accepted.setblocking(False)
        with pytest.raises(BlockingIOError):
            accepted.recv(100)
        accepted.settimeout(10)
        relays.do(link.stall)
        assert accepted.recv(100) == b"kept"


def test_a_refusing_link_ends_connections_and_takes_no_more(server: socket.socket) -> None:
    with link_to(server) as (relays, link, dialled, accepted):
        relays.do(lambda: link.refuse(True))
        assert read_all(accepted) == b""
        assert read_all(dialled) == b""
        with socket.create_connection(("127.0.0.1", link.port), 10) as refused:
            assert read_all(refused) == b""
