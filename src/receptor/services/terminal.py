"""A command on a pseudo-terminal: in a session of its own, whose controlling terminal it is."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
import termios
from collections.abc import Sequence
from dataclasses import dataclass

from receptor.services.login_session import LoginSession

ROWS, COLUMNS = 24, 80
"""Of terminals whose real size nobody tells."""

TERM = "xterm"
"""The kind of terminal for commands, if the node's own environment names none."""

CHUNK = 64 * 1024

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 2.0
"""Seconds until it is looked again whether a command wants more input, of which there is none. Nothing tells."""


@dataclass(frozen=True)
class Started:
    """A command that was started, its session, and the descriptor that is its terminal's other side."""

    pid: int
    session: LoginSession
    name: str
    """The terminal's, in the file system."""
    master: int

    async def stop(self) -> None:
        """Hang up, and end all that is left of the session."""
        os.close(self.master)
        await self.session.end()


def start(argv: Sequence[str]) -> Started:
    """Start a command on a new terminal, with the environment of this process. Blocks until it runs.

    Raises OSError if it can't be started.
    """
    master, slave = os.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.set_blocking(master, False)
        name = os.ttyname(slave)
        # The leader of a session takes the first terminal that it opens for its controlling one.
        opened = (os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR, 0)
        copies = [(os.POSIX_SPAWN_DUP2, 0, number) for number in (1, 2)]
        pid = os.posix_spawnp(
            argv[0], list(argv), {"TERM": TERM, **os.environ},
            file_actions=[*_closing_inherited(), opened, *copies], setsid=True, setsigmask=[], setsigdef=_CATCHABLE,
        )  # fmt: skip
        return Started(pid, _session_of(pid), name, master)
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)


def _session_of(leader: int) -> LoginSession:
    """Its session. If that can't be told, nobody could end it later, so that it is killed at once; raises OSError."""
    try:
        return LoginSession(leader)
    except OSError:
        os.killpg(leader, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # Who reaps for the whole process may have been faster.
            os.waitid(os.P_PID, leader, os.WEXITED)
        raise


def _closing_inherited() -> list[tuple[int, int]]:
    """What closes the descriptors that this process was given and would pass on; its own are not passed on."""
    numbers = [int(name) for name in os.listdir("/dev/fd")]
    return [(os.POSIX_SPAWN_CLOSE, number) for number in numbers if number > 2 and _is_inheritable(number)]


def _is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False  # Closed by another thread, or that of the listing.


_CATCHABLE = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


class Terminal:
    """Reads what the command writes, and types what it reads. One reader and one writer at a time; made in the loop."""

    def __init__(self, started: Started) -> None:
        """Raises OSError if the command can't be watched; it is left to the caller then."""
        self._loop = asyncio.get_running_loop()
        self._started = started
        self._master = started.master
        self._process = -1
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._end = asyncio.Event()
        if hasattr(os, "pidfd_open"):
            self._watch(started.pid)

    def _watch(self, pid: int) -> None:
        """Notice the command's end even if others keep its terminal open. The kernel tells it whoever reaps it."""
        try:
            self._process = os.pidfd_open(pid)
        except ProcessLookupError:
            self._end.set()
        else:
            self._loop.add_reader(self._process, self._ended)

    def _ended(self) -> None:
        self._end.set()
        self._readable.set()
        self._writable.set()
        self._unwatch()

    def _unwatch(self) -> None:
        if self._process >= 0:
            self._loop.remove_reader(self._process)
            os.close(self._process)
            self._process = -1

    async def read(self) -> bytes:
        """The next bytes that the command has written; none once it has ended."""
        output = bytearray()
        while not output:
            # Asked first: whatever it wrote before its end is there to be read.
            had_ended = self._end.is_set()
            if self._take(output) or (had_ended and not output):
                break
            if not output:
                await self._until_readable()
        return bytes(output)

    def _take(self, output: bytearray) -> bool:
        """Read what is there; whether nothing more will come."""
        while len(output) < CHUNK:
            try:
                data = os.read(self._master, CHUNK)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno == errno.EIO:  # Linux says so when nobody has the terminal open any more.
                    return True
                raise
            if not data:
                return True
            output += data
        return False

    async def _until_readable(self) -> None:
        self._readable.clear()
        if self._end.is_set():
            return
        self._loop.add_reader(self._master, self._readable.set)
        try:
            await self._readable.wait()
        finally:
            self._loop.remove_reader(self._master)

    async def write(self, data: bytes) -> None:
        """Type; returns when the terminal has taken it all, or nobody will ever read it."""
        rest = memoryview(data)
        while rest and not self._end.is_set():
            try:
                rest = rest[os.write(self._master, rest) :]
            except BlockingIOError:
                await self._until_writable()
            except OSError as error:
                if error.errno == errno.EIO:
                    return
                raise

    async def _until_writable(self) -> None:
        self._writable.clear()
        self._loop.add_writer(self._master, self._writable.set)
        try:
            await self._writable.wait()
        finally:
            self._loop.remove_writer(self._master)

    async def end_input(self) -> None:
        """Type the end of input (Ctrl-D) each time the command has read all there was, until the command ends.

        Once would not do. It ends a line that is unfinished, and nothing else; and a shell that begins to edit its line
        takes one that was typed before for something else.
        """
        with contextlib.suppress(termios.error):
            end: bytes = termios.tcgetattr(self._master)[6][termios.VEOF]
            if self._process < 0:  # Its end could not be noticed while the terminal is open here too.
                await self.write(end * 2)
                return
            terminal = os.open(self._started.name, os.O_RDWR | os.O_NOCTTY)
            try:
                pause = FIRST_PAUSE
                while not self._end.is_set():
                    if not _has_input(terminal):
                        await self.write(end)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._end.wait(), pause)
                    pause = min(pause * 1.5, LONGEST_PAUSE)
            finally:
                os.close(terminal)

    async def stop(self) -> None:
        """Hang up, and end all that is left of the command's session. Nobody may read or write any more."""
        self._unwatch()
        await self._started.stop()


def _has_input(terminal: int) -> bool:
    """Whether something was typed that nobody has read yet."""
    poll = select.poll()
    poll.register(terminal, select.POLLIN)
    return bool(poll.poll(0))
