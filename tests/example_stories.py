"""The stories that pages tell: what is typed and what it prints, played in a folder of their own.

A story is what the ``console`` blocks of a page hold (``page_blocks``): lines that begin with ``$`` are typed, the
others are what is then shown. ``...`` stands for anything within a line, and on a line of its own for any number of
lines. A command that ends with ``&`` goes on until ``kill '%?PART'``, or the end of the story. The next one is typed
when it has shown what the page says, and, if it starts a node, when all nodes have found each other. All is typed into
one shell, as it were: variables and the folder stay. Ids of units are those that the page has told after ``Unit ID:``.
Blocks with the name of a file are written into it when their turn comes.

Each run has ports of its own in place of 2220 to 2229 and of all numbers with five digits, and its folder in place of
``/tmp``.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import IO

from commands import eventually
from page_blocks import Block, Command, blocks_of, example_of, steps_of
from receptor_process import ENVIRONMENT, Client

PATIENCE = 60.0
PORT = re.compile(r"\b(?:\d{5}|222[0-9])\b")
DIALLED, LISTENED = re.compile(r":(\d{5})\b"), re.compile(r"port[:=] ?(\d{5})\b")
JOB = re.compile(r"'%\?([\w.]+)'")
KILL = re.compile(r"kill((?: '%\?[\w.]+')+)")
Links = dict[str, set[str]]
PROGRAMS = {"receptor": "receptor.cli.main", "receptorctl": "receptor.ctl.main"}
PROGRAM = """#!{python}
from {module} import run
run()
"""
IN_ONE_SHELL = """
[ -e {state} ] && . {state} && cd "$PWD"
set -a
trap 'export -p > {state}' EXIT
"""


def write_programs(folder: Path) -> None:
    """Put receptor and receptorctl of this tree, and python3, into a folder."""
    for name, module in PROGRAMS.items():
        program = folder / name
        program.write_text(PROGRAM.format(python=sys.executable, module=module))
        program.chmod(0o700)
    (folder / "python3").symlink_to(sys.executable)


def play(page: Path, examples: Path, programs: Sequence[Path]) -> None:
    """Play the story of a page, in a copy of the example that it belongs to or names.

    Raises AssertionError where something else is shown.
    """
    text = page.read_text()
    example = page.parent.name if page.is_relative_to(examples) else example_of(text)
    # Paths of Unix sockets must be short.
    with tempfile.TemporaryDirectory(prefix="r-") as short_folder:
        folder = Path(short_folder, page.stem)
        if example:
            shutil.copytree(
                examples / example, folder, ignore=shutil.ignore_patterns("data", "tls", "*.sock*", "*.log")
            )
        else:
            folder.mkdir()
        localize = localizer(folder, text)
        for file in folder.iterdir():
            if file.is_file():
                file.write_text(localize(file.read_text()))
        steps = steps_of(blocks_of(localize(text)))
        if not page.is_relative_to(examples):
            steps = [*starts_of_nodes(folder), *steps]
        with stage(folder, programs) as story:
            for step in steps:
                story.go_on_with(step)
            for started in story.jobs:
                started.command.check(started.shown())


def localizer(folder: Path, page: str) -> Callable[[str], str]:
    """Gives texts of a story the ports and the folder of this run."""
    texts = [page, *(file.read_text() for file in folder.iterdir() if file.is_file())]
    ports = sorted({port for text in texts for port in PORT.findall(text)})
    instead = dict(zip(ports, free_ports(len(ports)), strict=True))
    return lambda text: PORT.sub(lambda port: instead[port[0]], text).replace("/tmp/", f"{folder}/")


def starts_of_nodes(folder: Path) -> list[Command]:
    """The commands that start the nodes of a folder, those first that others dial."""
    files = sorted(folder.glob("*.yml"), key=lambda file: "listener" not in file.read_text())
    return [Command(f"receptor --config {file.name} &", "...\n") for file in files]


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
        if self.process.poll() is None:
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
    state: Path
    """What one command leaves to the next: variables, and the folder."""
    jobs: list[Running] = field(default_factory=list)
    """What goes on."""
    units: dict[str, str] = field(default_factory=dict)
    """What the units really are called whose ids the page tells."""

    def go_on_with(self, step: Command | Block) -> None:
        """Write a file; or type a command, and see whether it shows what the page says."""
        if isinstance(step, Block):
            file = self.folder / step.file
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a" if step.is_added else "w") as written:
                written.write(step.text)
        elif kill := KILL.fullmatch(step.line):
            for part in JOB.findall(kill[1]):
                self._end(part)
        elif step.goes_on:
            self._start(step)
        else:
            command = step.with_units(self.units)
            self.units |= command.check(self._run(command.line))

    def _run(self, line: str) -> str:
        with self._shell(f"{IN_ONE_SHELL.format(state=self.state)}\n{line}", subprocess.PIPE) as process:
            try:
                shown, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return shown.decode(errors="replace")

    def _end(self, part: str) -> None:
        """End the command that has this in it."""
        (started,) = (job for job in self.jobs if part in job.command.line)
        self.jobs.remove(started)
        started.command.check(started.shown())
        started.end()

    def _start(self, command: Command) -> None:
        log = self.state.with_name(f"{len(list(self.state.parent.iterdir()))}.log")
        with log.open("wb") as output:
            line = f"{IN_ONE_SHELL.format(state=self.state)}\nexec {command.line.removesuffix(' &')}"
            started = Running(command, self._shell(line, output), log)
        self.jobs.append(started)
        try:
            eventually(started.has_shown_what_the_page_has, PATIENCE)
        except AssertionError:
            command.check(started.shown())
        eventually(self._nodes_know_each_other, PATIENCE)

    def _nodes_know_each_other(self) -> bool:
        for started in self.jobs:
            assert started.process.poll() is None, f"{started.command.line} has ended: {started.shown()}"
        commands = [started.command for started in self.jobs]
        texts = {command.node: self._configuration(command) for command in commands if command.node}
        links = self._links_of(texts)
        with_socket = [node for node, text in reversed(texts.items()) if f"{node}.sock" in text]
        return all(links_known_to(self.folder / f"{node}.sock") == links for node in with_socket)

    def _configuration(self, start: Command) -> str:
        """The configuration of a node, which is in its file or in the command that starts it."""
        return (self.folder / f"{start.node}.yml").read_text() if "--config" in start.line else start.line

    def _links_of(self, texts: Mapping[str, str]) -> Links:
        """Which nodes are linked with which: those of which one dials a port that the other listens on."""
        links: Links = {}
        for one, other in permutations(texts, 2):
            if set(DIALLED.findall(texts[one])) & set(LISTENED.findall(texts[other])):
                links.setdefault(one, set()).add(other)
                links.setdefault(other, set()).add(one)
        return links

    def end(self) -> None:
        """End all that goes on."""
        with ExitStack() as ends:
            for started in self.jobs:
                ends.callback(started.end)

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
    """The links of the nodes in reach, as a node knows them; None while it starts."""
    try:
        with Client(path) as client:
            status = client.ask("status")
    except OSError:
        return None
    known, routes = status["KnownConnectionCosts"], status["RoutingTable"]
    assert isinstance(known, dict)
    assert isinstance(routes, dict)
    reached = {status["NodeID"], *routes}
    links = {node: set(costs) & reached for node, costs in known.items() if node in reached}
    return {node: neighbours for node, neighbours in links.items() if neighbours}


@contextmanager
def stage(folder: Path, programs: Sequence[Path]) -> Iterator[Stage]:
    """A stage for a folder, with the commands in the other folders; what was started on it is ended in the end."""
    path = os.pathsep.join([*map(str, programs), ENVIRONMENT["PATH"]])
    environment = {**ENVIRONMENT, "PATH": path, "HOME": str(folder), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory() as state:
        story = Stage(folder, environment, Path(state, "variables"))
        try:
            yield story
        finally:
            story.end()
