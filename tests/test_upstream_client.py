"""The client that people have, receptorctl from PyPI with its class ReceptorControl, drives our nodes unchanged."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from environments import commands_of_environment

FOO = """
- node: {{id: foo, datadir: {folder}/data}}
- tcp-listener: {{port: {port}, bindaddr: 127.0.0.1}}
- control-service: {{service: control, filename: {folder}/foo.sock}}
- work-command: {{worktype: upper, command: tr, params: a-z A-Z}}
- work-command: {{worktype: fail, command: bash, params: '-c "echo before; exit 7"'}}
"""

BAR = """
- node: {{id: bar, datadir: {folder}/data}}
- tcp-peer: {{address: 127.0.0.1:{port}}}
- control-service: {{service: control}}
- work-command: {{worktype: upper, command: tr, params: a-z A-Z}}
- work-command: {{worktype: args, command: echo, allowruntimeparams: true}}
- work-command: {{worktype: nap, command: bash, params: '-c "echo on; exec sleep 600"'}}
"""

# As ansible-runner and AWX use the class; it prints what it got.
SCRIPT = """
import io, json, sys
from receptorctl.socket_interface import ReceptorControl

rc = ReceptorControl(sys.argv[1])
got = {"node": rc.simple_command("status")["NodeID"], "pong": rc.simple_command("ping bar")["Success"]}
submitted = rc.submit_work("upper", io.BytesIO(b"hello"), node="bar", ttl="5m")
got["result"] = submitted["result"]
connection, results = rc.get_work_results(submitted["unitid"], return_socket=True, return_sockfile=True)
got["output"] = results.read().decode()
connection.close()
got["rest"] = rc.get_work_results(submitted["unitid"], startpos=2).read().decode()
got["status"] = rc.simple_command("work status " + submitted["unitid"])
with_params = rc.submit_work("args", "", node="bar", params={"params": "one two"})
got["params"] = rc.get_work_results(with_params["unitid"]).read().decode()
nap = rc.submit_work("nap", b"", node="bar")["unitid"]
got["cancelled"] = list(rc.simple_command("work cancel " + nap).values()) == [nap]
got["released"] = list(rc.simple_command("work release " + nap).values()) == [nap]
try:
    rc.simple_command("work status nosuch12")
except RuntimeError as error:
    got["error"] = str(error)
print(json.dumps(got))
"""


@pytest.fixture(scope="module")
def upstream() -> Path:
    """The folder of commands of an environment that holds the upstream client; made once, then kept."""
    return commands_of_environment("upstream_client")


@dataclass(frozen=True)
class Client:
    """The upstream client, talking to foo."""

    commands: Path
    socket: Path

    def run(self, *words: str, payload: str = "", expected_code: int = 0) -> str:
        """Run receptorctl; return its standard output, and its standard error if it is to fail."""
        done = subprocess.run(
            [self.commands / "receptorctl", "--socket", self.socket, *words],
            input=payload,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == expected_code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout + (done.stderr if expected_code else "")

    def submit(self, *words: str, payload: str = "") -> str:
        said = self.run("work", "submit", *words, "--payload", "-", payload=payload)
        match = re.fullmatch(r"Result: Job Started\nUnit ID: (\w+)\n", said)
        assert match, said
        return match[1]

    def unit(self, unit_id: str) -> dict[str, object]:
        listed: dict[str, dict[str, object]] = json.loads(self.run("work", "list", "--unit_id", unit_id))
        return listed[unit_id]


@pytest.fixture(scope="module")
def client(upstream: Path) -> Iterator[Client]:
    with tempfile.TemporaryDirectory(prefix="receptor-") as name, ExitStack() as nodes:
        folder, port = Path(name), free_port()
        found = Client(upstream, folder / "foo.sock")
        # foo is there before bar starts, so that bar's first dial reaches it.
        for node, text, shown in (("foo", FOO, "upper"), ("bar", BAR, "nap")):
            (folder / f"{node}.yml").write_text(text.format(folder=folder, port=port))
            nodes.enter_context(running(folder, node))
            end = time.monotonic() + 30
            while not (found.socket.exists() and shown in found.run("status")):
                assert time.monotonic() < end, logs(folder)
                time.sleep(0.05)
        yield found


@contextmanager
def running(folder: Path, node: str) -> Iterator[None]:
    """A node of ours for the time of a with statement."""
    receptor = [sys.executable, "-m", "receptor"]
    with (folder / f"{node}.log").open("w") as log:
        process = subprocess.Popen([*receptor, "--config", folder / f"{node}.yml"], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def logs(folder: Path) -> str:
    return "\n".join(f"{log.name}:\n{log.read_text()}" for log in sorted(folder.glob("*.log")))


def test_status_shows_the_mesh(client: Client) -> None:
    text = client.run("status")
    assert "Node ID: foo" in text
    work_types = re.search(r"^bar +(\w+, .*)$", text, re.MULTILINE)
    assert work_types
    assert set(work_types[1].split(", ")) == {"args", "nap", "upper"}
    assert json.loads(client.run("status", "--json"))["RoutingTable"] == {"bar": "bar"}


def test_ping_and_traceroute(client: Client) -> None:
    assert re.fullmatch(r"Reply from bar in [\d.]+\S+\n", client.run("ping", "bar", "--count", "1"))
    assert re.fullmatch(r"0: foo in .+\n1: bar in .+\n", client.run("traceroute", "bar"))
    assert "ERROR" in client.run("ping", "nowhere", "--count", "1", expected_code=2)


def test_version(client: Client) -> None:
    assert re.search(r"receptor +\S+", client.run("version"))


@pytest.mark.parametrize("where", [[], ["--node", "bar"]], ids=["here", "on another node"])
def test_work_with_a_payload(client: Client, where: list[str]) -> None:
    assert client.run("work", "submit", "upper", *where, "-f", "--payload", "-", payload="hi\n") == "HI\n"
    unit = client.submit("upper", *where, payload="hello\nyou\n")
    assert client.run("work", "results", unit) == "HELLO\nYOU\n"
    assert client.unit(unit)["StateName"] == "Succeeded"
    assert unit in client.run("work", "list", "--quiet").split()


def test_parameters_at_run_time(client: Client) -> None:
    said = client.run("work", "submit", "args", "--node", "bar", "--no-payload", "-f", "--rm", "one", "two")
    assert said.startswith("one two\n")


def test_failed_work_fails_the_client(client: Client) -> None:
    said = client.run("work", "submit", "fail", "--no-payload", "-f", expected_code=1)
    assert said.startswith("before\n")
    assert "exit status 7" in said


def test_cancel_and_release(client: Client) -> None:
    unit = client.submit("nap", "--node", "bar")
    assert client.run("work", "cancel", unit) == f"Cancelled:\n({unit}, cancelled)\n"
    assert client.unit(unit)["StateName"] == "Canceled"
    assert client.run("work", "release", unit) == f"Released:\n({unit}, released)\n"
    assert unit not in client.run("work", "list", "--quiet")


def test_what_is_unknown_is_refused(client: Client) -> None:
    unknown_type = client.run("work", "submit", "nosuch", "--no-payload", expected_code=101)
    assert "unknown work type nosuch" in unknown_type
    assert "unknown work unit nosuch12" in client.run("work", "results", "nosuch12", expected_code=1)


def check_what_the_script_says(output: str) -> None:
    got = json.loads(output)
    status = got.pop("status")
    assert status["StateName"] == "Succeeded"
    assert status["Detail"] == "exit status 0"
    assert status["ExtraData"]["RemoteNode"] == "bar"
    assert "unknown work unit nosuch12" in got.pop("error")
    assert got == {
        "node": "foo",
        "pong": True,
        "result": "Job Started",
        "output": "HELLO",
        "rest": "LLO",
        "params": "one two\n",
        "cancelled": True,
        "released": True,
    }


def test_the_class_receptor_control(upstream: Path, client: Client) -> None:
    script: list[str | Path] = [upstream / "python", "-c", SCRIPT, client.socket]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    check_what_the_script_says(done.stdout)
