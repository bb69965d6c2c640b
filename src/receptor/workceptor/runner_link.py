"""The connection to the runner: finding or starting one, and the messages to and from it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec

from receptor.errors import CommandError, OperatingError
from receptor.workceptor import runner
from receptor.workceptor.files import operating_errors
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.records import ExitRecord, StartRecord

LOG = ".runner.log"
ATTEMPTS = 8
"""How often a runner that goes away is looked for or started again before that is an error."""
GREETING_PATIENCE = 10.0
"""Seconds in which a runner must greet."""

_FIRST_PAUSE = 0.02
_ADVICE = {
    errno.EEXIST: "the unit was started before; submit the work again as a new unit",
    errno.ENOENT: "it was removed from outside; leave the data folder to the node",
    errno.ENOSPC: "free some space on that disk",
    errno.EAGAIN: "there are too many processes; raise the limit (ulimit -u) or run less at once",
    errno.ENOMEM: "there is too little memory; run less at once",
}
_ADVICE_ON_PROGRAMS = _ADVICE | {
    errno.ENOENT: "install it, or if it is a script, what its first line names",
    errno.EACCES: "make it an executable file (chmod +x), in folders that the node may enter",
    errno.ENOEXEC: "it is no program; a script must begin with a line like #!/bin/sh",
}

logger = logging.getLogger("receptor.workceptor")


class Greeting(msgspec.Struct, frozen=True, tag="greeting"):
    """The runner is ready; ``units`` are those whose ends it will tell."""

    version: int
    pid: int
    units: list[str] = []
    gives_environ: bool = False
    """Whether it gives a command variables of its own. One that was started by an older daemon passes over them."""


class Busy(msgspec.Struct, frozen=True, tag="busy"):
    """The runner serves another daemon."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The runner could not begin its work."""

    reason: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The command of a unit runs."""

    unit: str
    process: StartRecord


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The command of a unit could not be started."""

    unit: str
    errno: int
    path: str
    is_program: bool

    def error(self) -> OperatingError | CommandError:
        """What to tell people."""
        told = f"the command can't be started: {self.path}: {os.strerror(self.errno)}"
        if self.errno == errno.E2BIG:
            return CommandError(f"{told}; send large data as the payload instead")
        if self.is_program and self.errno == errno.ENOENT and "/" not in self.path:
            return OperatingError(f"{told} in PATH; install it or give its full path")
        advice = (_ADVICE_ON_PROGRAMS if self.is_program else _ADVICE).get(self.errno)
        return OperatingError(f"{told}; {advice}" if advice else told)


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The command of a unit ended."""

    unit: str
    exit: ExitRecord


News = Greeting | Started | Refused | Ended
_decoder = msgspec.json.Decoder(News | Busy | Failed)


class NotStarted(Exception):
    """The runner was gone before it had begun the command: it did not run, and may be started again."""


class RunnerLink(asyncio.Protocol):
    """One connection to a runner.

    ``on_news`` gets all that the runner tells once it has greeted; ``on_loss`` is called when the connection ends
    after that, other than by ``close``. ``starting`` holds what was asked for and isn't answered yet.
    """

    def __init__(self, on_news: Callable[[RunnerLink, News], None], on_loss: Callable[[RunnerLink], None]) -> None:
        self.greeting: asyncio.Future[Greeting | Busy | Failed | None] = asyncio.get_running_loop().create_future()
        self.pid = 0
        self.gives_environ = False
        self.units: set[str] = set()
        self.starting: dict[str, asyncio.Future[StartRecord]] = {}
        self.is_lost = False
        self._on_news = on_news
        self._on_loss = on_loss
        self._closing = False
        self._closed = asyncio.Event()
        self._incoming = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def data_received(self, data: bytes) -> None:
        *lines, self._incoming = (self._incoming + data).split(b"\n")
        for line in lines:
            try:
                message = _decoder.decode(line)
            except (msgspec.MsgspecError, ValueError) as error:
                logger.error("the runner of commands (process %d) sent what can't be read: %s", self.pid, error)
                continue
            self._receive(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._closed.set()
        if not self.greeting.done():
            self.greeting.set_result(None)
        elif self.pid and not self._closing:
            self._on_loss(self)

    async def start(
        self, unit_id: str, folder: UnitFolder, argv: Sequence[str], environment: Mapping[str, str]
    ) -> StartRecord:
        """Ask for the start of a command and wait for the answer.

        Raises NotStarted, OperatingError or CommandError.
        """
        if self.is_lost:
            raise NotStarted
        if environment and not self.gives_environ:
            raise OperatingError(
                f"the runner of commands (process {self.pid}) is of an older version, and would start the command"
                " without its own variables; restart the node when no commands run, and submit the work again"
            )
        answer: asyncio.Future[StartRecord] = asyncio.get_running_loop().create_future()
        self.starting[unit_id] = answer
        self._send(type="start", unit=unit_id, folder=str(folder.path), argv=list(argv), environ=dict(environment))
        return await answer

    async def close(self) -> None:
        """End the connection; the runner and the commands live on."""
        self._closing = True
        if self._transport:
            self._transport.close()
            await self._closed.wait()

    def _receive(self, message: News | Busy | Failed) -> None:
        if isinstance(message, Busy | Failed):
            self.greeting.set_result(message)
            return
        if isinstance(message, Greeting):
            self.greeting.set_result(message)
            if message.version != runner.VERSION:
                return
            self.pid = message.pid
            self.gives_environ = message.gives_environ
            self.units.update(message.units)
            self._send(type="hello", cwd=_working_folder(), environ=dict(os.environ))
        self._on_news(self, message)

    def _send(self, **message: object) -> None:
        # Names of files and variables may hold what is no UTF-8; the json module carries that, msgspec does not.
        if self._transport:
            self._transport.write(json.dumps(message).encode() + b"\n")


async def open_link(
    data_folder: Path,
    on_news: Callable[[RunnerLink, News], None],
    on_loss: Callable[[RunnerLink], None],
    *,
    start_runner: bool,
) -> RunnerLink | None:
    """Connect to the runner of the data folder; if there is none, start one or return None.

    Raises OperatingError if that can't be done.
    """
    loop = asyncio.get_running_loop()
    problem = "it ended before it greeted"
    pause = _FIRST_PAUSE
    for _ in range(ATTEMPTS):
        connection = await asyncio.to_thread(_reach_runner, data_folder, start_runner)
        if connection is None:
            return None
        _, link = await loop.create_unix_connection(lambda: RunnerLink(on_news, on_loss), sock=connection)
        greeting = await _greeting(link, data_folder)
        if isinstance(greeting, Greeting) and greeting.version == runner.VERSION:
            return link
        await link.close()
        if isinstance(greeting, Greeting):
            raise OperatingError(
                f"{data_folder}: the runner of commands (process {greeting.pid}) speaks version {greeting.version} of"
                f" its protocol, this node {runner.VERSION}; wait until its commands have ended, or end that process"
            )
        if isinstance(greeting, Failed):
            raise OperatingError(f"{data_folder}: the runner of commands can't work: {greeting.reason}")
        if isinstance(greeting, Busy):
            problem = "it serves another node process; stop that one or give this node another datadir or id"
        # One that is about to end, or whose daemon is, needs a moment for it.
        await asyncio.sleep(pause)
        pause *= 1.5
    raise OperatingError(f"{data_folder}: the runner of commands can't be reached: {problem}; see {LOG} there")


async def _greeting(link: RunnerLink, data_folder: Path) -> Greeting | Busy | Failed | None:
    try:
        return await asyncio.wait_for(link.greeting, GREETING_PATIENCE)
    except asyncio.CancelledError:
        await link.close()
        raise
    except TimeoutError as error:
        await link.close()
        lock = data_folder / runner.LOCK
        raise OperatingError(
            f"{data_folder}: the runner of commands does not answer; if the process whose number is in {lock} is"
            " stopped, continue it with kill -CONT"
        ) from error


def _reach_runner(data_folder: Path, start_runner: bool) -> socket.socket | None:
    with operating_errors(data_folder):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(GREETING_PATIENCE)
    try:
        with operating_errors(data_folder), runner.socket_address(str(data_folder)) as address:
            try:
                connection.connect(address)
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                return _start_runner(data_folder) if start_runner else None
    except OperatingError:
        connection.close()
        raise
    connection.setblocking(False)
    return connection


def _start_runner(data_folder: Path) -> socket.socket:
    """Start a runner and return the first connection to it, which it finds as its standard input."""
    environment = {name: value for name, value in os.environ.items() if name != runner.UNIT_VARIABLE}
    ours, theirs = socket.socketpair()
    with theirs, contextlib.ExitStack() as ours_too, contextlib.ExitStack() as files:
        ours_too.callback(ours.close)
        log = os.open(data_folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        files.callback(os.close, log)
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", runner.__file__, str(data_folder)],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}),
        )
        ours_too.pop_all()
    ours.setblocking(False)
    return ours


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None
