"""The runner: a small process of its own that starts commands, reaps them and records their ends on disk.

There is one for each data folder. It outlives the daemon, so that commands and their results survive a crash, a
``kill -9`` or an upgrade of it, and ends by itself when neither a daemon nor a command needs it. Started as
``python -I -S runner.py <data folder>``, it needs the standard library only, and of that all that it will ever need
at once: the files may be replaced under a process that runs for weeks.

The daemon that starts it hands it the first connection as standard input; later daemons connect to ``.runner.sock``.
Both sides send JSON objects, one a line:

    runner                                            daemon
    {type: greeting, version, pid, units, gives_environ}
                                                      {type: hello, cwd, environ}
    {type: started, unit, process}                    {type: start, unit, folder, argv, environ}
    {type: refused, unit, errno, path, is_program}
    {type: ended, unit, exit}
    {type: busy} or {type: failed, reason}, then it closes

Either may be older than the other, from before an upgrade, and passes over what it does not know. So what only newer
runners do, they say in the greeting; ``version`` is another only if the two can't work together at all.

It is the only writer of two files in a unit's folder. ``process`` is made, still empty, before the command is
started, and only if it isn't there yet: whatever dies, no unit is started twice. Then it gets the start record.
``exit`` gets the record of the end, first before the process is reaped and then again with what it used; the last whole
line counts. It never touches ``status``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator

TYPE_CHECKING = False  # The module typing would cost a MiB.
if TYPE_CHECKING:
    from resource import struct_rusage

VERSION = 1
SOCKET = ".runner.sock"
LOCK = ".runner.lock"
UNIT_VARIABLE = "RECEPTOR_UNIT"
"""In the environment of all that a unit starts; holds the unit's folder."""

_PR_SET_CHILD_SUBREAPER = 36
_SAVE_AGAIN_MILLISECONDS = 1000
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})

StartFields = dict[str, int | float | str | None]
ExitFields = dict[str, int | float | None]


def boot_id() -> str:
    """Names the time between two boots; empty where the system does not say. Raises OSError if it can't be read now."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except (FileNotFoundError, PermissionError):
        return ""


def start_time(pid: int) -> int | None:
    """Clock ticks since boot when the process was made; None if there is no such process or no /proc.

    Raises OSError if that can't be found out, for want of descriptors say.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None


def become_subreaper() -> None:
    """On Linux: have processes below this one that lose their parent become its children, not those of init."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextlib.contextmanager
def socket_address(data_folder: str) -> Iterator[str]:
    """A path of the runner's socket that fits the 107 bytes of a socket address.

    Raises FileNotFoundError if there is no such folder.
    """
    if sys.platform != "linux":
        yield os.path.join(data_folder, SOCKET)
        return
    folder = os.open(data_folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def exit_fields(code: int, started: float, ended: float, usage: struct_rusage | None = None) -> ExitFields:
    """The record of an end; ``code`` is negative for a signal. Without ``usage`` it is the one of the first moment."""
    return {
        "exit_code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "started": started,
        "ended": ended,
        "user_seconds": usage.ru_utime if usage else 0.0,
        "system_seconds": usage.ru_stime if usage else 0.0,
        "peak_memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) if usage else 0,
    }


class Command:
    """A command that runs."""

    __slots__ = ("folder", "started", "unit")

    def __init__(self, unit: str, folder: str, started: float) -> None:
        self.unit = unit
        self.folder = folder
        self.started = started


class Runner:
    """Serves one daemon at a time until nobody needs it any more."""

    def __init__(self, listener: socket.socket, daemon: socket.socket) -> None:
        self.listener = listener
        self.daemon: socket.socket | None = None
        self.incoming = b""
        self.outgoing = bytearray()
        self.environ = dict(os.environ)
        self.boot_id = boot_id()
        self.commands: dict[int, Command] = {}
        self.unsaved: dict[str, tuple[Command, ExitFields]] = {}
        self.wakeup, writer = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.poll = select.poll()
        self.poll.register(self.listener, select.POLLIN)
        self.poll.register(self.wakeup, select.POLLIN)
        self.welcome(daemon)

    def run(self) -> None:
        """Until there is no daemon, no command and no record that could not be saved."""
        while self.daemon or self.commands or self.unsaved:
            events = self.poll.poll(_SAVE_AGAIN_MILLISECONDS if self.unsaved else None)
            for descriptor, _ in events:
                if descriptor == self.wakeup:
                    self.reap()
                elif descriptor == self.listener.fileno():
                    self.accept()
                elif self.daemon and descriptor == self.daemon.fileno():
                    self.flush()
                    self.receive()
            if not events:
                for command, fields in list(self.unsaved.values()):
                    self.save(command, fields)

    # The daemon

    def accept(self) -> None:
        """Take a new daemon in the place of one that is gone; turn it away while another one lives."""
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        if self.daemon and not has_hung_up(self.daemon):
            turn_away(connection, type="busy")
            return
        self.welcome(connection)

    def welcome(self, connection: socket.socket) -> None:
        """What a former daemon asked for and wasn't begun yet is forgotten: the new one reads what is on disk."""
        self.drop()
        connection.setblocking(False)
        self.daemon = connection
        self.poll.register(connection, select.POLLIN)
        units = [command.unit for command in self.commands.values()] + list(self.unsaved)
        self.send(type="greeting", version=VERSION, pid=os.getpid(), units=units, gives_environ=True)
        for command, fields in self.unsaved.values():
            self.send(type="ended", unit=command.unit, exit=fields)

    def drop(self) -> None:
        if self.daemon:
            self.poll.unregister(self.daemon)
            self.daemon.close()
        self.daemon = None
        self.incoming = b""
        self.outgoing.clear()

    def receive(self) -> None:
        connection = self.daemon
        if not connection:
            return
        try:
            received = connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self.drop()
            return
        *lines, self.incoming = (self.incoming + received).split(b"\n")
        for line in lines:
            if self.daemon is connection:
                self.handle(line)

    def handle(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            if request["type"] == "hello":
                self.adopt_surroundings(request["cwd"], request["environ"])
            elif request["type"] == "start":
                self.start(request["unit"], request["folder"], request["argv"], request.get("environ", {}))
        except (ValueError, LookupError, TypeError):
            self.drop()

    def send(self, **message: object) -> None:
        self.outgoing += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what the daemon takes now: one that hangs must not keep ends from being recorded."""
        if not self.daemon:
            self.outgoing.clear()
            return
        try:
            if self.outgoing:
                del self.outgoing[: self.daemon.send(self.outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self.drop()
            return
        self.poll.modify(self.daemon, select.POLLIN | (select.POLLOUT if self.outgoing else 0))

    # Commands

    def adopt_surroundings(self, cwd: str | None, environ: dict[str, str]) -> None:
        """Commands start where and with what the daemon runs, also when that is another one than at first."""
        self.environ = environ
        if "PATH" in environ:
            os.environ["PATH"] = environ["PATH"]
        else:
            os.environ.pop("PATH", None)
        if cwd is not None:
            with contextlib.suppress(OSError):  # A folder that was removed since is no reason to start nothing.
                os.chdir(cwd)

    def start(self, unit: str, folder: str, argv: list[str], environ: dict[str, str]) -> None:
        try:
            record = os.open(os.path.join(folder, "process"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                started = time.time()
                pid, fields = self.spawn(record, folder, argv, environ, started)
            except OSError:
                os.unlink(os.path.join(folder, "process"))
                raise
            finally:
                os.close(record)
        except OSError as error:
            path = error.filename if isinstance(error.filename, str) else folder
            is_program = path == argv[0]
            path = path.encode(errors="backslashreplace").decode()
            self.send(type="refused", unit=unit, errno=error.errno, path=path, is_program=is_program)
            return
        self.send(type="started", unit=unit, process=fields)
        self.commands[pid] = Command(unit, folder, started)

    def spawn(
        self, record: int, folder: str, argv: list[str], environ: dict[str, str], started: float
    ) -> tuple[int, StartFields]:
        """Start the command and note in the open file which process it is. Its own ``environ`` is kept nowhere."""
        with contextlib.ExitStack() as files:
            stdin = os.open(os.path.join(folder, "stdin"), os.O_RDONLY)
            files.callback(os.close, stdin)
            stdout = os.open(os.path.join(folder, "stdout"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            files.callback(os.close, stdout)
            pid = os.posix_spawnp(
                argv[0],
                argv,
                {**self.environ, **environ, UNIT_VARIABLE: folder},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, stdin, 0),
                    (os.POSIX_SPAWN_DUP2, stdout, 1),
                    (os.POSIX_SPAWN_DUP2, stdout, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=_DEFAULT_SIGNALS,
            )
        try:
            fields: StartFields = {
                "pid": pid,
                "start_time": start_time(pid),
                "boot_id": self.boot_id,
                "folder": folder,
                "started": started,
            }
            os.write(record, json.dumps(fields).encode())
        except OSError:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        return pid, fields

    def reap(self) -> None:
        """Take the ends of commands, and of what they left behind: as a subreaper this is its parent."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wakeup, 1 << 16)
        while True:
            ended = time.time()
            try:
                pid, wait_status, usage = os.wait4(self.note_next_end(ended), os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            command = self.commands.pop(pid, None)
            if command:
                fields = exit_fields(os.waitstatus_to_exitcode(wait_status), command.started, ended, usage)
                fields["stdout_size"] = output_size(command.folder)
                self.save(command, fields)
                self.send(type="ended", unit=command.unit, exit=fields)

    def note_next_end(self, ended: float) -> int:
        """Put an end on disk before the process is reaped, for then nobody else can learn it if this is killed.

        What it used is known only when it is reaped. Returns whom to reap.
        """
        if sys.platform == "darwin":
            return -1
        child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if child is None:
            return -1
        command = self.commands.get(child.si_pid)
        if command:
            fields = exit_fields(exit_code_of(child), command.started, ended)
            with contextlib.suppress(OSError):  # The full record, which follows at once, tells of it.
                append_end(command.folder, fields)
        return child.si_pid

    def save(self, command: Command, fields: ExitFields) -> None:
        """Record an end. On a full disk it is kept and tried again; if the unit was released it is forgotten."""
        try:
            append_end(command.folder, fields)
        except FileNotFoundError:
            pass
        except OSError:
            self.unsaved[command.unit] = (command, fields)
            return
        self.unsaved.pop(command.unit, None)


def exit_code_of(child: os.waitid_result) -> int:
    """The exit code of an ended process, or the negative number of the signal that killed it."""
    return child.si_status if child.si_code == os.CLD_EXITED else -child.si_status


def output_size(folder: str) -> int | None:
    """Bytes of a unit's output; None if that can't be found out."""
    try:
        return os.stat(os.path.join(folder, "stdout")).st_size
    except OSError:
        return None


def append_end(folder: str, fields: ExitFields) -> None:
    """Add a line to the file ``exit``, of which the last whole one counts.

    That is as safe as replacing the file, and spares making a second one, which a busy disk may take a ms for.
    """
    descriptor = os.open(os.path.join(folder, "exit"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, json.dumps(fields).encode() + b"\n")
    finally:
        os.close(descriptor)


def has_hung_up(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))


def turn_away(connection: socket.socket, **message: str) -> None:
    with connection, contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def take_lock(data_folder: str) -> bool:
    """Whether this is the one runner of the data folder; the lock lasts as long as the process."""
    lock = os.open(os.path.join(data_folder, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.truncate(lock, 0)
    os.write(lock, b"%d\n" % os.getpid())
    return True


def listen(data_folder: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(data_folder) as address:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        umask = os.umask(0o177)
        try:
            listener.bind(address)
        finally:
            os.umask(umask)
    listener.listen()
    listener.setblocking(False)
    return listener


def main(data_folder: str) -> None:
    os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), 1 << 16))
    daemon = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    # Whoever stops a whole control group or session means daemon and commands. The runner ends after these.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        if not take_lock(data_folder):
            return
        listener = listen(data_folder)
    except OSError as error:
        turn_away(daemon, type="failed", reason=f"{error.filename or data_folder}: {error.strerror}")
        return
    become_subreaper()
    Runner(listener, daemon).run()
    with socket_address(data_folder) as address:
        os.unlink(address)


if __name__ == "__main__":
    main(sys.argv[1])
