"""A command on a pseudo-terminal: in a session of its own, whose controlling terminal it is."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
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


@dataclass(frozen=True)
class Started:
    """A command that was started, its session, and the descriptor that is its terminal's other side."""

    pid: int
    session: LoginSession
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
        # The leader of a session takes the first terminal that it opens for its controlling one.
        opened = (os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0)
        copies = [(os.POSIX_SPAWN_DUP2, 0, number) for number in (1, 2)]
        pid = os.posix_spawnp(
            argv[0], list(argv), {"TERM": TERM, **os.environ},
            file_actions=[*_closing_inherited(), opened, *copies], setsid=True, setsigmask=[], setsigdef=_CATCHABLE,
        )  # fmt: skip
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    return Started(pid, LoginSession(pid), master)


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
        self._has_ended = False
        self._line_is_empty = True
        if hasattr(os, "pidfd_open"):
            self._watch(started.pid)

    def _watch(self, pid: int) -> None:
        """Notice the command's end even if others keep its terminal open. The kernel tells it whoever reaps it."""
        try:
            self._process = os.pidfd_open(pid)
        except ProcessLookupError:
            self._has_ended = True
        else:
            self._loop.add_reader(self._process, self._ended)

    def _ended(self) -> None:
        self._has_ended = True
        self._readable.set()
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
            had_ended = self._has_ended
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
        if self._has_ended:
            return
        self._loop.add_reader(self._master, self._readable.set)
        try:
            await self._readable.wait()
        finally:
            self._loop.remove_reader(self._master)

    async def write(self, data: bytes) -> None:
        """Type; returns when the terminal has taken it all, or nobody will ever read it."""
        self._line_is_empty = data.endswith(b"\n")
        rest = memoryview(data)
        while rest and not self._has_ended:
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
        """Type the end of input (Ctrl-D): twice after an unfinished line, of which the first only ends the line."""
        with contextlib.suppress(termios.error):
            end: bytes = termios.tcgetattr(self._master)[6][termios.VEOF]
            await self.write(end if self._line_is_empty else end * 2)

    async def stop(self) -> None:
        """Hang up, and end all that is left of the command's session. Nobody may read or write any more."""
        self._unwatch()
        await self._started.stop()
