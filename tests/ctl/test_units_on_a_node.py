"""Verbs against a real node, which is killed and started again: those for units of work, ``events`` and ``doctor``."""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from receptor_process import ENVIRONMENT, NodeProcess
from receptor_process import node as ready_node
from receptorctl_runs import PROGRAM, Receptorctl
from shown_certificates import shown_by

from receptor.ctl.doctor import work_checks

WAIT_FOR = "until test -e {gate}; do sleep 0.02; done"


@pytest.fixture(scope="module")
def foo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("units")
    shown = shown_by("foo", days=9)
    (folder / "foo.pem").write_bytes(shown.certificate + shown.key)
    with ready_node(
        folder,
        "foo",
        {"tls-server": {"name": "mesh", "cert": "foo.pem", "key": "foo.pem", "skipreceptornamescheck": True}},
        {"local-only": {}},
        {"work-command": {"worktype": "script", "command": "bash"}},
    ) as node:
        yield node


def start(node: NodeProcess, *words: str) -> subprocess.Popen[str]:
    return start_program(node, "work", *words)


def start_program(node: NodeProcess, *words: str) -> subprocess.Popen[str]:
    command = [*PROGRAM, "--socket", str(node.socket), *words]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(node: NodeProcess, *words: str) -> tuple[int, str, str]:
    process = start(node, *words)
    output, errors = process.communicate(timeout=20)
    return process.returncode, output, errors


def test_waits_and_followers_bear_with_a_restart(foo: NodeProcess, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo before; {WAIT_FOR.format(gate=gate)}; echo after; exit 7"
    _, unit_id, _ = run(foo, "submit", "script", "-l", script, "-q")
    unit_id = unit_id.strip()
    follower = start(foo, "logs", "-f", unit_id[:7])
    done = foo.submit("script", b"true")
    assert run(foo, "wait", done)[0] == 0
    waiter = start(foo, "wait", "--timeout", "30s", done, unit_id)
    assert follower.stdout is not None
    assert waiter.stdout is not None
    assert follower.stdout.readline() == "before\n"
    assert waiter.stdout.readline() == f"{done}  Succeeded  exit status 0\n"
    foo.end(signal.SIGKILL)
    for process in (follower, waiter):
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Lost the node")
    foo.start_again()
    gate.touch()
    output, errors = follower.communicate(timeout=20)
    assert (follower.returncode, output) == (1, "after\n")
    assert errors == f"The node is back.\nERROR: unit {unit_id} failed: exit status 7\n"
    output, _ = waiter.communicate(timeout=20)
    assert (waiter.returncode, output) == (1, f"{unit_id}  Failed  exit status 7\n")


def test_the_first_of_several(foo: NodeProcess, tmp_path: Path) -> None:
    slow = foo.submit("script", WAIT_FOR.format(gate=tmp_path / "gate").encode())
    quick = foo.submit("script", b"true")
    code, output, _ = run(foo, "wait", "--any", "--json", slow, quick)
    assert (code, json.loads(output)["UnitID"]) == (0, quick)
    assert run(foo, "wait", "--for", "running", slow)[:2] == (0, f"{slow}  Running  {status(foo, slow)['Detail']}\n")
    assert run(foo, "cancel", slow)[0] == 0
    assert run(foo, "wait", slow)[0] == 1


def test_the_end_of_a_long_output(foo: NodeProcess) -> None:
    unit_id = foo.submit("script", b"seq 1 200000")
    assert run(foo, "wait", unit_id)[0] == 0
    assert run(foo, "logs", "--tail", "2", unit_id)[1] == "199999\n200000\n"
    assert run(foo, "logs", "--tail", "100000", unit_id)[1].startswith("100001\n")
    assert run(foo, "logs", unit_id)[1] == run(foo, "results", unit_id)[1]


def test_pruning_leaves_what_runs_and_what_is_young(foo: NodeProcess, tmp_path: Path) -> None:
    running = foo.submit("script", WAIT_FOR.format(gate=tmp_path / "gate").encode())
    old = foo.submit("script", b"echo done")
    run(foo, "wait", old)
    young = foo.submit("script", b"echo done")
    run(foo, "wait", young)
    assert run(foo, "prune", "--older-than", "1h", "--dry-run")[1].startswith("Would release 0 units")
    code, output, _ = run(foo, "prune", "--keep", "1", "--json")
    assert code == 0
    assert old in [unit["UnitID"] for unit in json.loads(output)["Units"]]
    assert set(run(foo, "list", "-q")[1].split()) == {running, young}
    assert run(foo, "release", running)[0] == 0


def test_a_list_tells_names_and_when_units_were_made(foo: NodeProcess) -> None:
    unit_id = run(foo, "submit", "script", "-l", "true", "--name", "nightly run", "-q", "--wait")[1].strip()
    header, *lines = run(foo, "list", "--table")[1].splitlines()
    assert header.split() == ["UNIT", "NAME", "STATE", "WORK", "CREATED", "OUTPUT", "DETAIL"]
    told = status(foo, unit_id)
    cells = (unit_id, "nightly run", "Succeeded", "script", told["Created"], "0 B", "exit status 0")
    assert [re.split(r"  +", line) for line in lines if unit_id in line] == [list(cells)]
    assert f"Created:    {told['Created']}" in run(foo, "status", unit_id, "--table")[1].splitlines()


def test_events_of_a_unit_as_they_happen(foo: NodeProcess) -> None:
    with start_program(foo, "events", "--kind", "unit") as following:
        assert following.stdout is not None
        while not select.select([following.stdout], [], [], 0.1)[0]:
            foo.submit("script", b"true")  # whenever the node has begun to tell, this tells that it has
        unit_id = foo.submit("script", b"exit 7")
        told = []
        for line in following.stdout:
            if unit_id in line:
                told.append(line.rstrip())
            if f"{unit_id} Failed" in line:
                break
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130
    assert re.fullmatch(rf"20\S+Z unit.created +{unit_id} Pending script( \(.*\))?", told[0])
    assert re.fullmatch(rf"20\S+Z unit.changed +{unit_id} Failed script \(exit status 7\)", told[-1])


def test_doctor(foo: NodeProcess, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_checks, "LONG_PENDING", 0.0)
    stuck = run(foo, "submit", "script", "-n", "--node", "nosuch", "-q")[1].strip()
    ran = Receptorctl(str(foo.socket), capfdbinary)("doctor", "--json")
    assert run(foo, "release", "--force", stuck)[0] == 0
    report = json.loads(ran.output)
    found = {(one["Area"], one["Verdict"]): one["Text"] for one in report["Findings"]}
    assert (ran.exit_code, report["Verdict"]) == (2, "warning")
    assert found["Clocks", "ok"] == "foo's clock agrees with this machine's"
    assert "certificate of foo for tls-server mesh (CN=foo" in found["Certificates", "warning"]
    assert "expires in 8 d" in found["Certificates", "warning"]
    [waiting] = [one["Text"] for one in report["Findings"] if stuck in one["Text"]]
    assert waiting.startswith("1 unit waiting for nosuch, a node that nobody knows (made ")


def status(node: NodeProcess, unit_id: str) -> dict[str, object]:
    return node.ask(f"work status {unit_id}")
