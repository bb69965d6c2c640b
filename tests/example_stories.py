"""The stories in ``examples/*/README.md``: commands and what they print, played in a copy of the folder.

A story is what the ``console`` blocks of its page hold: lines that begin with ``$`` are typed, the others are what is
then shown. ``...`` stands for anything within a line, and on a line of its own for any number of lines. A command that
ends with ``&`` goes on until the end of the story. The next one is typed when it has shown what the page says, and, if
it starts a node, when all nodes have found each other.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import IO

from commands import eventually
from receptor_process import ENVIRONMENT, Client

PATIENCE = 20.0
START_OF_A_NODE = re.compile(r"receptor --config (\w+)\.yml")
PORT = re.compile(r"\b\d{5}\b")
DIALLED, LISTENED = re.compile(r":(\d{5})\b"), re.compile(r"port: (\d{5})\b")
TERMINAL_CODES = re.compile(r"\x1b\[[?0-9;]*[a-z]|\r")
Links = dict[str, set[str]]
PROGRAMS = {"receptor": "receptor.cli.main", "receptorctl": "receptor.ctl.main"}
PROGRAM = """#!{python}
from {module} import run
run()
"""


@dataclass(frozen=True)
class Command:
    """One command of a story."""

    line: str
    output: str
    """What the page shows."""

    @property
    def goes_on(self) -> bool:
        return self.line.endswith(" &")

    @property
    def node(self) -> str | None:
        """The id of the node that it starts."""
        started = START_OF_A_NODE.match(self.line)
        return started[1] if started and self.goes_on else None

    def check(self, shown: str) -> None:
        """Raises AssertionError if something else than on the page is shown."""
        assert self.is_told_by(shown), f"$ {self.line}\n{shown}\nThe page has instead:\n{self.output}"

    def is_told_by(self, shown: str) -> bool:
        """Whether this, as a terminal shows it, is the output of the page."""
        lines = self.output.splitlines()
        pattern = "".join("(.*\n)*" if line == "..." else _any_of_dots(line) + "\n" for line in lines)
        lines_shown = TERMINAL_CODES.sub("", shown).splitlines()
        return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines_shown)) is not None


def _any_of_dots(line: str) -> str:
    return ".*".join(map(re.escape, line.split("...")))


def commands_of(page: str) -> list[Command]:
    """The commands of a page, in order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for typed in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = typed.partition("\n")
            found.append(Command(line, output))
    return found


def write_programs(folder: Path) -> None:
    """Put receptor and receptorctl of this tree, and python3, into a folder."""
    for name, module in PROGRAMS.items():
        program = folder / name
        program.write_text(PROGRAM.format(python=sys.executable, module=module))
        program.chmod(0o700)
    (folder / "python3").symlink_to(sys.executable)


def play(example: Path, programs: Path) -> None:
    """Play the story of an example in a folder of its own. Raises AssertionError where something else is shown."""
    # Paths of Unix sockets must be short.
    with tempfile.TemporaryDirectory(prefix="r-") as short_folder:
        folder = Path(short_folder, example.name)
        shutil.copytree(example, folder, ignore=shutil.ignore_patterns("data", "tls", "*.sock*", "*.log"))
        use_free_ports(folder)
        with stage(folder, programs) as story:
            for command in commands_of((folder / "README.md").read_text()):
                story.go_on_with(command)
            for started in story.running:
                started.command.check(started.shown())


def use_free_ports(folder: Path) -> None:
    """Replace the ports of the example, which are all the numbers with five digits in its files."""
    files = [file for file in folder.iterdir() if file.is_file()]
    ports = {port for file in files for port in PORT.findall(file.read_text())}
    instead = dict(zip(sorted(ports), free_ports(len(ports)), strict=True))
    for file in files:
        file.write_text(PORT.sub(lambda port: instead[port[0]], file.read_text()))


def free_ports(count: int) -> list[str]:
    """Ports that are free for TCP and UDP."""
    ports: list[str] = []
    with ExitStack() as probes:
        while len(ports) < count:
            tcp = probes.enter_context(socket.create_server(("127.0.0.1", 0)))
            udp = probes.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue  # Taken for UDP; the next one will do.
            ports.append(str(tcp.getsockname()[1]))
    return ports


@dataclass
class Running:
    """A command that goes on."""

    command: Command
    process: subprocess.Popen[bytes]
    log: Path

    def shown(self) -> str:
        return self.log.read_text()

    def has_shown_what_the_page_has(self) -> bool:
        assert self.process.poll() is None, f"{self.command.line} has ended: {self.shown()}"
        return self.command.is_told_by(self.shown())

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()


@dataclass
class Stage:
    """Where a story is played."""

    folder: Path
    environment: dict[str, str]
    running: list[Running] = field(default_factory=list)

    def go_on_with(self, command: Command) -> None:
        """Type a command, and see whether it shows what the page says."""
        if command.goes_on:
            self._start(command)
        else:
            command.check(self._run(command.line))

    def _run(self, line: str) -> str:
        with self._shell(line, subprocess.PIPE) as process:
            try:
                shown, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return shown.decode(errors="replace")

    def _start(self, command: Command) -> None:
        log = self.folder / f"{len(self.running)}.log"
        with log.open("wb") as output:
            started = Running(command, self._shell(f"exec {command.line.removesuffix(' &')}", output), log)
        self.running.append(started)
        eventually(started.has_shown_what_the_page_has, PATIENCE)
        eventually(self._nodes_know_each_other, PATIENCE)

    def _nodes_know_each_other(self) -> bool:
        for started in self.running:
            assert started.process.poll() is None, f"{started.command.line} has ended: {started.shown()}"
        nodes = [started.command.node for started in self.running if started.command.node]
        links = self._links_of(nodes)
        return all(links_known_to(self.folder / f"{node}.sock") == links for node in reversed(nodes))

    def _links_of(self, nodes: Sequence[str]) -> Links:
        """Which nodes are linked with which: those of which one dials a port that the other listens on."""
        texts = {node: (self.folder / f"{node}.yml").read_text() for node in nodes}
        links: Links = {}
        for one, other in permutations(nodes, 2):
            if set(DIALLED.findall(texts[one])) & set(LISTENED.findall(texts[other])):
                links.setdefault(one, set()).add(other)
                links.setdefault(other, set()).add(one)
        return links

    def _shell(self, line: str, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def links_known_to(path: Path) -> Links | None:
    """The links of the whole mesh as a node knows them; None while it starts, or lacks routes."""
    try:
        with Client(path) as client:
            status = client.ask("status")
    except OSError:
        return None
    known, routes = status["KnownConnectionCosts"], status["RoutingTable"]
    assert isinstance(known, dict)
    assert isinstance(routes, dict)
    has_routes = known.keys() <= {status["NodeID"], *routes}
    return {node: set(costs) for node, costs in known.items()} if has_routes else None


@contextmanager
def stage(folder: Path, programs: Path) -> Iterator[Stage]:
    """A stage for a folder; what was started on it is ended in the end."""
    path = f"{programs}{os.pathsep}{ENVIRONMENT['PATH']}"
    story = Stage(folder, {**ENVIRONMENT, "PATH": path, "HOME": str(folder), "PYTHONUNBUFFERED": "1"})
    try:
        yield story
    finally:
        with ExitStack() as ends:
            for started in story.running:
                ends.callback(started.end)
