"""The program as a whole: ``receptor.ctl.main``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_control import FakeNode, Peer, answering
from receptorctl_runs import PROGRAM, Receptorctl, environment

VERBS = [
    *("status", "nodes", "services", "routes", "events", "doctor", "top", "ping", "traceroute", "reload", "connect"),
    *("version", "work"),
]
WORK_VERBS = ["submit", "list", "status", "wait", "results", "logs", "cancel", "release", "force-release", "prune"]


def test_help_names_every_verb_and_environment_variable(ctl: Receptorctl) -> None:
    ran = ctl.bare("--help")
    assert ran.exit_code == 0
    for word in [*VERBS, "RECEPTORCTL_SOCKET", "RECEPTORCTL_CONFIG", "RECEPTORCTL_TLSCLIENT", "Examples:"]:
        assert word in ran.output.decode()


@pytest.mark.parametrize("words", [*([verb] for verb in VERBS), *(["work", verb] for verb in WORK_VERBS)])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_verb_explains_itself_without_a_socket(ctl: Receptorctl, words: list[str], option: str) -> None:
    ran = ctl.bare(*words, option)
    assert ran.exit_code == 0
    assert ran.output.decode().startswith(f"Usage: receptorctl {' '.join(words)}")


def test_every_verb_has_a_section_of_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs/receptorctl.md").read_text("utf-8")
    headings = {name for line in page.splitlines() if line.startswith("### ") for name in line[4:].split(", ")}
    wanted = {*VERBS, *(f"work {verb}" for verb in WORK_VERBS)} - {"work"}
    assert wanted <= headings


@pytest.mark.parametrize("words", [(), ("work",)])
def test_without_a_verb_help_is_shown_as_an_error(ctl: Receptorctl, words: tuple[str, ...]) -> None:
    ran = ctl.bare(*words)
    assert (ran.exit_code, ran.output) == (1, b"")
    assert ran.errors.startswith("Usage: receptorctl")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("status",), "no control socket is given"),
        (("nonsense",), "No such command 'nonsense'"),
        (("work", "nonsense"), "'receptorctl work --help' explains"),
        (("work", "results"), "Missing argument 'UNIT_ID'"),
        (("status", "--nonsense"), "No such option"),
        (("--insecureskipverify", "maybe", "status"), "maybe"),
        (("ping", "bar", "--count", "many"), "'many' is not a whole number of 0 or more"),
        (("--socket", "/nosuch.sock", "status"), "there is no socket /nosuch.sock"),
        (("--socket", "ftp://x", "status"), "'ftp://x' is no address"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(ctl: Receptorctl, words: tuple[str, ...], complaint: str) -> None:
    ran = ctl.bare(*words)
    assert (ran.exit_code, ran.output) == (1, b"")
    assert complaint in ran.errors
    assert ran.errors.startswith("ERROR: ")
    assert ran.errors.count("\n") == 1


def test_a_service_that_is_not_receptor(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(lambda peer: peer.say("220 mail.example ESMTP"))
    ran = ctl("status")
    assert ran.exit_code == 1
    assert "'220 mail.example ESMTP'" in ran.errors


def test_the_socket_out_of_the_environment(node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    node.plays(answering({}))
    monkeypatch.setenv("RECEPTORCTL_SOCKET", node.path)
    assert ctl.bare("work", "list").output == b"{}\n"


def test_ctrl_c_is_exit_code_130(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        program.send_signal(signal.SIGINT)
        peer.wait_for_hang_up()

    command = [*PROGRAM, "--socket", node.path, "ping", "bar"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        node.plays(session)
        output, errors = program.communicate(timeout=20)
    assert (program.returncode, output, errors.strip()) == (130, b"", b"")


def test_an_output_that_nobody_reads_is_exit_code_141_and_no_message(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Streaming results for work unit a1a1a1a1")
        peer.send_on(b"x" * 65536)

    node.plays(session)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*PROGRAM, "--socket", node.path, "work", "results", "a1a1a1a1"],
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=20,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["work", "submit", "--help"], ["completion", "bash"]])
def test_a_full_disk_and_a_reader_that_has_left_are_no_tracebacks(words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, *words], env=environment(), stdout=full, stderr=subprocess.PIPE, timeout=20, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"ERROR: can't write to standard output: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*PROGRAM, *words], env=environment(), stdout=writer, stderr=subprocess.PIPE, timeout=20, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_start_imports_only_what_the_command_needs(node: FakeNode) -> None:
    node.plays(answering({"NodeID": "foo"}))
    script = (
        "import sys; from receptor.ctl.main import main; code = main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--socket", node.path, "status"],
        env=environment(),
        capture_output=True,
        timeout=20,
        check=True,
    )
    heavy = {"ssl", "yaml", "asyncio", "cryptography", "msgspec", "uvloop", "qh3", "jwt", "importlib.metadata"}
    of_other_verbs = {f"receptor.ctl.{name}" for name in ("submitting", "releasing", "following", "unit_ids", "tables")}
    assert not (heavy | of_other_verbs) & set(done.stderr.decode().split())


def test_a_terminal_of_few_letters(node: FakeNode) -> None:
    node.plays(answering({"Success": True, "From": "λ", "TimeStr": "5µs"}))
    done = subprocess.run(
        [*PROGRAM, "--socket", node.path, "ping", "bar", "--count", "1"],
        env=environment(PYTHONIOENCODING="latin-1"),
        capture_output=True,
        timeout=20,
        check=True,
    )
    assert done.stdout == b"Reply from \\u03bb in 5\xb5s\n"


def test_the_environment_explains_completion() -> None:
    done = subprocess.run(
        PROGRAM, env=environment(_RECEPTORCTL_COMPLETE="bash_source"), capture_output=True, timeout=20, check=False
    )
    assert b"complete -o nosort -F _receptorctl receptorctl" in done.stdout
