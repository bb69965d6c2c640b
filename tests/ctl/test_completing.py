"""Completion as shells have it: real ones, and a real node."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from example_stories import write_programs
from receptor_process import Action, NodeProcess
from receptor_process import node as node_process
from shells import Typist, typing_into

from receptor.ctl.completing import add_shells
from receptor.ctl.completion_verb import SHELLS, script
from receptor.ctl.main import receptorctl

SHELL_STARTS = {
    "bash": (["bash", "--norc", "--noprofile"], 'PS1="$ "'),
    "zsh": (["zsh", "-f"], 'PS1="$ "; autoload -U compinit; compinit -u -D'),
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    write_programs(folder)
    return folder


@pytest.fixture(scope="module")
def foo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    work: list[Action] = [
        {"work-command": {"worktype": "cat", "command": "cat"}},
        {"work-command": {"worktype": "wait", "command": "sleep", "params": "600"}},
    ]
    with node_process(tmp_path_factory.mktemp("node"), "foo", {"local-only": {}}, *work) as started:
        yield started


@pytest.fixture(scope="module")
def ended(foo: NodeProcess) -> str:
    """A unit that has ended."""
    unit_id = foo.submit("cat")
    assert foo.results(unit_id) == b""
    return unit_id


@pytest.fixture(scope="module")
def running(foo: NodeProcess) -> Iterator[str]:
    """A unit that goes on."""
    unit_id = foo.submit("wait")
    yield unit_id
    foo.ask(f"work release {unit_id}")


@pytest.fixture
def environment(programs: Path, tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}


@pytest.fixture(params=SHELL_STARTS)
def shell(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Typist]:
    command, setup = SHELL_STARTS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    with typing_into(command, environment) as typist:
        typist.type(f'{setup}; eval "$(receptorctl completion {command[0]})"; echo rea""dy\n')
        typist.sees("ready")
        yield typist


def test_tab_completes_what_is_running_on_the_node(shell: Typist, foo: NodeProcess, ended: str, running: str) -> None:
    program = f"receptorctl --socket {foo.socket}"
    for typed, completed in (
        ("receptorctl trace\t", "traceroute "),
        (f"{program} ping f\t", "ping foo "),
        (f"{program} connect foo \t", "connect foo control "),
        (f"{program} work submit --node=f\t", "--node=foo "),
        (f"{program} work submit --node foo ca\t", "foo cat "),
        (f"{program} work cancel \t", f"cancel {running} "),
        (f"{program} --config {foo.socket.parent}/foo.y\t", "foo.yml "),
        (f"cd / && {program} work res\t", "work results "),
    ):
        shell.type(typed)
        shell.sees(completed)
        shell.type("\x15")  # empties the line
    shell.type(f"{program} work results \t\t")
    for unit_id, meaning in ((ended, "Succeeded, cat"), (running, "Running, wait")):
        assert unit_id in shell.sees(meaning)


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish here")
def test_fish(foo: NodeProcess, ended: str, running: str, environment: dict[str, str]) -> None:
    def candidates(line: str) -> list[str]:
        words = ["fish", "--no-config", "-c", f'receptorctl completion fish | source; complete -C "{line}"']
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.splitlines()

    program = f"receptorctl --socket {foo.socket}"
    assert candidates("receptorctl trace") == ["traceroute\tShow the way to a node."]
    assert candidates(f"{program} work cancel ") == [f"{running}\tRunning, wait"]
    assert sorted(candidates(f"{program} work results ")) == sorted(
        [f"{running}\tRunning, wait", f"{ended}\tSucceeded, cat"]
    )
    assert candidates(f"{program} work submit --node=f") == ["--node=foo\tthis node"]


# The answers to the shells


def answer(
    line: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shell: str = "zsh", **variables: str
) -> list[str]:
    for name, value in {"_RECEPTORCTL_COMPLETE": f"{shell}_complete", "COMP_LINE": line, **variables}.items():
        monkeypatch.setenv(name, value)
    add_shells()
    capfd.readouterr()
    with pytest.raises(SystemExit):
        receptorctl.main([], prog_name="receptorctl")
    return [found for found in capfd.readouterr().out.splitlines() if found]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("receptorctl trace", ["plain\ttraceroute\tShow the way to a node."]),
        ("receptorctl 'trace", ["plain\ttraceroute\tShow the way to a node."]),
        ("receptorctl completion ", ["plain\tbash\t", "plain\tzsh\t", "plain\tfish\t"]),
        ("receptorctl --config /etc/x", ["file\t/etc/x\t"]),
        ("receptorctl --socket /nosuch.sock ping ", []),
        ("receptorctl --socket ftp://x ping ", []),
        ("receptorctl --socket /s --context lab ping ", []),
        ("receptorctl ping ", []),
    ],
)
def test_candidates(
    line: str, found: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer(line, capfd, monkeypatch) == found


@pytest.mark.parametrize(
    ("kind", "line", "found"),
    [
        ("9", "receptorctl completion ", ["bash", "zsh", "fish"]),
        ("63", "receptorctl work release --a", ["--all"]),
        ("63", "receptorctl work re", ["results  (Print the results of a unit.)"]),
    ],
)
def test_bash_shows_meanings_only_where_it_only_shows(
    kind: str, line: str, found: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = answer(line, capfd, monkeypatch, "bash", COMP_TYPE=kind, COMP_WORDBREAKS=" =:")
    values = [line.split("\t")[1] for line in shown]
    assert set(found) <= set(values)


def test_bash_gets_only_the_rest_of_a_word_that_it_has_cut(
    foo: NodeProcess, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"receptorctl --socket={foo.socket} work submit --node=f"
    assert answer(line, capfd, monkeypatch, "bash", COMP_WORDBREAKS=" =:") == ["plain\tfoo\tthis node"]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_says_how_to_install_it(shell: str) -> None:
    assert f"receptorctl completion {shell} > " in script(shell)
