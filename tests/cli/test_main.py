from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from receptor_process import COMMAND, ENVIRONMENT, run_receptor

import receptor
from receptor.config.actions import ACTIONS


def test_version() -> None:
    done = run_receptor("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{receptor.__version__}\n", "")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["--node", "id=foo", "--help"]])
def test_help(words: list[str]) -> None:
    done = run_receptor(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "receptor --config FILE" in done.stdout
    assert all(action in done.stdout for action in ACTIONS)


def test_the_schema() -> None:
    done = run_receptor("--schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["title"] == "Configuration of a Receptor node"


def test_the_sample() -> None:
    done = run_receptor("--sample")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n- node:\n" in done.stdout


@pytest.mark.parametrize("tool", ["init", "certs", "systemd"])
def test_each_tool_has_help(tool: str) -> None:
    done = run_receptor(tool, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: receptor {tool} ")
    assert "Examples:" in done.stdout


def test_a_check_starts_nothing(tmp_path: Path) -> None:
    file, data = tmp_path / "receptor.yml", tmp_path / "data"
    file.write_text(f"version: 2\nnode: {{id: foo, datadir: {data}}}\nlocal-only: true\n")
    done = run_receptor("--check", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file} is a good configuration of node foo: local-only\n"
    assert not data.exists()


def test_a_check_tells_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "receptor.yml"
    file.write_text(f"- node: {{id: foo, datadir: {tmp_path}}}\n- local-only\n- audit: {tmp_path}/no/a.log\n")
    done = run_receptor("--check", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"receptor: {file}: the audit file {tmp_path}/no/a.log can't be made")


def test_certificates_are_made_and_no_node_runs(tmp_path: Path) -> None:
    file = tmp_path / "ca.yml"
    file.write_text(
        f"- cert-init: {{commonname: us, bits: 2048, outcert: {tmp_path}/a.crt, outkey: {tmp_path}/a.key}}\n"
    )
    done = run_receptor("--config", file)
    assert (done.returncode, done.stderr) == (0, "")
    request = [f"outreq={tmp_path}/foo.req", f"outkey={tmp_path}/foo.key"]
    done = run_receptor("--cert-makereq", "commonname=foo", "nodeid=foo", "dnsname=a", "dnsname=b", *request)
    assert (done.returncode, done.stderr) == (0, "")
    assert {one.name for one in tmp_path.iterdir()} == {"ca.yml", "a.crt", "a.key", "foo.req", "foo.key"}


def test_certs(tmp_path: Path) -> None:
    done = run_receptor("certs", "node", "foo", "--ca", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "foo.crt").exists()
    done = run_receptor("certs", "nonsense")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("receptor: ")


def test_help_of_an_action() -> None:
    done = run_receptor("--help", "tcp-listener")
    assert (done.returncode, done.stderr) == (0, "")
    assert "bindaddr" in done.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--help", "nonsense"], "there is no action 'nonsense'"),
        (["--nonsense"], "there is no action 'nonsense'"),
        (["nonsense"], "to read a file write --config nonsense"),
        ([b"\xff\xfe"], "is not UTF-8 text"),
        (["--node", "foo"], "nothing to do: no backends are configured"),
        (["--config"], "needs one file after it"),
        (
            ["--config", "/nosuch/receptor.yml"],
            "/nosuch/receptor.yml: the configuration file can't be read: No such file or directory; correct",
        ),
        (["--config", "/"], "/: the configuration file can't be read: Is a directory"),
        (["--node", "foo", "--local-only", "--log-level", "loud"], "'loud'"),
        (["--node", "foo", "--local-only", "--work-signing", "/nosuch/key.pem"], "/nosuch/key.pem: there is no such"),
    ],
)
def test_what_is_wrong_is_told_and_not_as_a_traceback(words: list[str | bytes], reason: str) -> None:
    done = run_receptor(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert all(line.startswith("receptor: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (b"- node: {id: foo\n", ["receptor.yml:2: not valid YAML"]),
        (b"\xff\xfe\x00", ["receptor.yml"]),
        (b"", ["receptor.yml"]),
        (
            b"- local-only\n- nonsense: 1\n- tcp-peer:\n",
            ["receptor.yml:2: there is no action", "receptor.yml:3: tcp-peer"],
        ),
        (b"[" * 100_000, ["receptor.yml"]),
        (b"a: &a [*a]\n", ["receptor.yml"]),
    ],
    ids=["half", "no text", "empty", "two mistakes", "deep", "endless"],
)
def test_a_bad_file_is_told_with_its_lines(tmp_path: Path, text: bytes, reasons: list[str]) -> None:
    file = tmp_path / "receptor.yml"
    file.write_bytes(text)
    done = run_receptor("--config", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    for line, reason in zip(done.stderr.splitlines(), reasons, strict=True):
        assert line.startswith(f"receptor: {tmp_path}/{reason}")


@pytest.mark.parametrize("output", ["head -c 1", "true"])
def test_a_reader_that_has_seen_enough_is_no_error(output: str) -> None:
    script = f"set -o pipefail; {sys.executable} -m receptor --help | {output}"
    done = subprocess.run(["bash", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "--help"], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=20
        )
    assert done.returncode == 1
    assert done.stderr == "receptor: can't write to standard output: No space left on device\n"


def test_an_interrupt_before_the_node_starts_is_quiet(tmp_path: Path) -> None:
    fifo = tmp_path / "receptor.yml"
    os.mkfifo(fifo)
    process = subprocess.Popen([*COMMAND, "--config", fifo], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    with fifo.open("w"):  # which waits until it reads
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, "")
