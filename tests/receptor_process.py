"""The command ``receptor`` of this tree as a process: run to its end, or as a node that tests talk to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from commands import eventually, pids_with

import receptor

COMMAND = [sys.executable, "-m", "receptor"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(receptor.__file__).parents[1])}
PATIENCE = 20.0

Action = dict[str, dict[str, object]]
Answer = dict[str, object]


def run_receptor(*words: str | bytes | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run([*COMMAND, *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


class Client:
    """A connection to a control service, after its greeting."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")
        self.greeting = self.line()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, command: str | dict[str, str]) -> None:
        text = command if isinstance(command, str) else json.dumps(command)
        self._socket.sendall(text.encode() + b"\n")

    def line(self) -> str:
        return self._file.readline().decode().removesuffix("\n")

    def answer(self) -> Answer:
        line = self.line()
        assert line.startswith("{"), line
        fields: Answer = json.loads(line)
        return fields

    def ask(self, command: str | dict[str, str]) -> Answer:
        self.send(command)
        return self.answer()

    def end(self, payload: bytes = b"") -> None:
        """Send the payload and close our direction."""
        self._socket.sendall(payload)
        self._socket.shutdown(socket.SHUT_WR)

    def rest(self) -> bytes:
        return self._file.read()


class Answering:
    """A node that tests talk to, wherever it runs."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def client(self) -> Client:
        return Client(self.socket)

    def ask(self, command: str | dict[str, str]) -> Answer:
        with self.client() as client:
            return client.ask(command)

    def submit(self, work_type: str, payload: bytes = b"", node: str = "localhost") -> str:
        with self.client() as client:
            client.send(f"work submit {node} {work_type}")
            assert client.line().startswith("Work unit created with ID ")
            client.end(payload)
            answer = client.answer()
        assert answer["result"] == "Job Started"
        return str(answer["unitid"])

    def results(self, unit_id: str) -> bytes:
        with self.client() as client:
            client.send(f"work results {unit_id}")
            assert client.line() == f"Streaming results for work unit {unit_id}"
            return client.rest()


class NodeProcess(Answering):
    """A node: its configuration, its process and its log, in one folder."""

    def __init__(self, folder: Path, node_id: str, actions: Sequence[Action]) -> None:
        super().__init__(folder / f"{node_id}.sock")
        self.folder = folder
        self.node_id = node_id
        self.log = folder / f"{node_id}.log"
        self._config = folder / f"{node_id}.yml"
        self.configure(*actions)
        self.process = self._spawn()

    def configure(self, *actions: Action, **of_the_node: object) -> None:
        """Write the configuration file. The node takes it over at its next start or reload."""
        everything = [
            {"node": {"id": self.node_id, "datadir": str(self.folder / "data"), **of_the_node}},
            {"log-level": {"level": "debug"}},
            {"control-service": {"filename": self.socket.name}},
            *actions,
        ]
        self.write(yaml.safe_dump(everything))

    def write(self, configuration: str) -> None:
        """Have just that text in the configuration file."""
        self._config.write_text(configuration)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*COMMAND, "--config", self._config], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=log,
                cwd=self.folder,
            )  # fmt: skip

    def start_again(self) -> None:
        """Start it once more, with the same configuration, and wait until it is ready."""
        assert self.process.poll() is not None
        self.process = self._spawn()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        eventually(self._greets, PATIENCE)

    def _greets(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            with self.client() as client:
                return client.greeting == f"Receptor Control, node {self.node_id}"
        except OSError:
            return False

    def wait_for_route_to(self, *nodes: str) -> None:
        def has_routes() -> bool:
            table = self.ask("status")["RoutingTable"]
            assert isinstance(table, dict)
            return table.keys() >= set(nodes)

        eventually(has_routes, PATIENCE)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def started_node(folder: Path, node_id: str, *actions: Action) -> Iterator[NodeProcess]:
    """A node that was just started; whatever is left of it at the end is killed."""
    node = NodeProcess(folder, node_id, actions)
    try:
        yield node
    finally:
        if node.process.poll() is None:
            node.end()
        for pid in pids_with(str(folder / "data" / node_id)):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def node(folder: Path, node_id: str, *actions: Action) -> Iterator[NodeProcess]:
    """A node that is ready."""
    with started_node(folder, node_id, *actions) as started:
        started.wait_until_ready()
        yield started
