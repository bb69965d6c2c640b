"""Real nodes: the processes of a daemon with release settings, linked over TCP on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import processes
from bench.control import BenchError, Session, parse_answer, submit_request, unit_of

READY_TIME = 30.0
"""Seconds in which a node must be ready, know its routes, or have stopped."""
LOOK_EVERY = 0.0005
LAST_WORK_TYPE = "true"
"""The last one in the configuration: a node that knows it knows all."""
HERE = "127.0.0.1"
PROFILER = str(Path(sys.executable).with_name("py-spy"))

Action = dict[str, dict[str, object]]


@dataclass
class Setting:
    """Whose daemon is measured, and where its nodes live."""

    daemon: Sequence[str]
    """The command that starts it."""
    client: Sequence[str]
    """The command of its control client (receptorctl)."""
    folder: Path
    """For the files of its nodes; short, for it is part of the names of sockets."""
    flames: Path | None = None
    """Where flame graphs of the daemons go, if they are wanted: their names begin so."""
    count: int = field(default=0, init=False)

    def new_folder(self) -> Path:
        """For the next node."""
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        return folder

    @property
    def blob(self) -> Path:
        """What units of the work type ``emit`` print."""
        return self.folder / "blob"


class Node:
    """One node and everything that it starts."""

    def __init__(self, setting: Setting, node_id: str, *links: Action) -> None:
        self.node_id = node_id
        self._folder = setting.new_folder()
        self.units = self._folder / "data" / node_id
        """The folder of its units."""
        self.socket = str(self._folder / "sock")
        self._setting = setting
        self._log = self._folder / "log"
        self._config = self._folder / "config.yml"
        actions: list[Action] = [
            {"node": {"id": node_id, "datadir": str(self._folder / "data")}},
            {"log-level": {"level": "info"}},
            {"control-service": {"service": "control", "filename": self.socket}},
            *work_commands(setting.blob),
            *links,
        ]
        self._config.write_text(f"---\n{json.dumps(actions)}\n")  # JSON is YAML too
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def mark(self) -> str:
        return str(self._folder)

    def start(self) -> float:
        """Start it; the seconds until its greeting was read. Raises BenchError if it never is."""
        command = [*self._wrapper(), *self._setting.daemon, "--config", str(self._config)]
        begin = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, processes.MARK: self.mark},
            )
        while not self._greets():
            if self._process.poll() is not None or time.perf_counter() - begin > READY_TIME:
                raise BenchError(f"{self.node_id} does not start; its log ends:\n{self._end_of_log()}")
            time.sleep(LOOK_EVERY)
        return time.perf_counter() - begin

    def await_routes(self, *nodes: str) -> None:
        """Wait until it knows a way to each of the nodes. Raises BenchError if that takes too long."""
        self.await_reach(set(nodes).issubset, f"found no way to {', '.join(nodes)}")

    def await_reach(self, is_right: Callable[[set[str]], bool], problem: str, look_every: float = 0.02) -> None:
        """Wait until the nodes that it knows a way to are right. Raises BenchError if that takes too long."""
        end = time.monotonic() + READY_TIME
        with Session(self.socket) as session:
            while True:
                routes = parse_answer(session.ask("status")).get("RoutingTable")
                if is_right(set(routes) if isinstance(routes, dict) else set()):
                    return
                if time.monotonic() > end:
                    raise BenchError(f"{self.node_id} {problem}")
                time.sleep(look_every)

    def await_work(self) -> None:
        """Run a first unit, as soon as the node knows its work types: some daemons greet before that."""
        end = time.monotonic() + READY_TIME
        while True:
            with Session(self.socket) as session:
                session.send(submit_request("localhost", LAST_WORK_TYPE))
                answer = session.line()
                if b"unknown work type" not in answer:
                    unit_of(answer)
                    session.send_end()
                    parse_answer(session.line())
                    return
            if time.monotonic() > end:
                raise BenchError(f"{self.node_id} does not come to know its work types")
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """Its processes, without the commands of its units."""
        return processes.of_node(self.mark)

    def kill(self) -> None:
        """End it at once, as a machine that fails does; its commands live on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Stop it and all that it has started."""
        if self._process is not None and self._process.poll() is None:
            os.kill(processes.child_of(self._process.pid, "py-spy") or self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(READY_TIME)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pid in processes.all_of(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def _greets(self) -> bool:
        try:
            with Session(self.socket) as session:
                return session.greeting == f"Receptor Control, node {self.node_id}"
        except BenchError:
            return False

    def _wrapper(self) -> list[str]:
        flames = self._setting.flames
        if flames is None:
            return []
        graph = flames.with_name(f"{flames.name}-{self._folder.name}-{self.node_id}.svg")
        return [PROFILER, "record", "--rate", "500", "--subprocesses", "--output", str(graph), "--"]

    def _end_of_log(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])


def work_commands(blob: Path) -> list[Action]:
    """The work types that the scenarios use."""
    commands = {
        "nap": ("sleep", "0.3"),
        "sleep": ("sleep", "3600"),
        "cat": ("cat", ""),
        "count": ("wc", "-c"),
        "emit": ("cat", str(blob)),
        LAST_WORK_TYPE: ("true", ""),
    }
    return [
        {"work-command": {"worktype": name, "command": command, "params": params}}
        for name, (command, params) in commands.items()
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def alone(setting: Setting) -> Iterator[Node]:
    """One node that listens for neighbours and has none; it is not started."""
    node = Node(setting, "foo", listener(free_port()))
    try:
        yield node
    finally:
        node.stop()


@contextmanager
def chain(setting: Setting, *node_ids: str) -> Iterator[list[Node]]:
    """Started nodes in a row, each linked with the next; the first and the last one know a way to all."""
    ports = [free_port() for _ in node_ids]
    nodes = [
        Node(setting, node_id, listener(port), *([peer(ports[place - 1])] if place else []))
        for place, (node_id, port) in enumerate(zip(node_ids, ports, strict=True))
    ]
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.await_work()
        nodes[0].await_routes(*node_ids[1:])
        nodes[-1].await_routes(*node_ids[:-1])
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def listener(port: int, address: str = HERE) -> Action:
    return {"tcp-listener": {"port": port, "bindaddr": address}}


def peer(port: int, address: str = HERE) -> Action:
    return {"tcp-peer": {"address": f"{address}:{port}"}}
