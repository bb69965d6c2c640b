"""A control service for tests of its clients: a Unix socket that plays one session after the other."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeAlias

GREETING = "Receptor Control, node fake"
_PATIENCE = 10.0


class Peer:
    """The node's end of one connection."""

    def __init__(self, sock: socket.socket, file: BinaryIO, commands: list[dict[str, str]]) -> None:
        self._socket = sock
        self._file = file
        self._commands = commands

    def greet(self) -> None:
        self.say(GREETING)

    def say(self, line: str) -> None:
        self.send(line.encode() + b"\n")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def command(self) -> dict[str, str]:
        """The next command, which the fake also notes."""
        command = json.loads(self._file.readline())
        assert isinstance(command, dict)
        self._commands.append(command)
        return command

    def numbered_command(self) -> tuple[str, dict[str, object]]:
        """The number of the next command of a multiplexed session, and the command."""
        number, size, text = self._file.readline().split(b" ", 2)
        assert size == b"0"
        command = json.loads(text)
        assert isinstance(command, dict)
        return number.decode(), command

    def let_time_be_up(self) -> None:
        """The end of the time limit that the client has set, and of its conversation with us."""
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGALRM)
        self.wait_for_hang_up()

    def rest(self) -> bytes:
        """All bytes until the client closes its side."""
        return self._file.read()

    def some(self, count: int) -> bytes:
        return self._file.read(count)

    def wait_for_hang_up(self) -> None:
        """Until the client has closed its side, whether it had read everything or not."""
        try:
            assert self._file.read() == b""
        except ConnectionError:
            pass

    def hang_up(self) -> None:
        """Close this side now, and not when the session is over."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def send_on(self, data: bytes) -> None:
        """Send it again and again until the client hangs up."""
        try:
            while True:
                self.send(data)
        except ConnectionError:
            pass

    def each_command(self) -> Iterator[dict[str, str]]:
        """The commands as they come, until the client leaves."""
        for line in self._file:
            command = json.loads(line)
            assert isinstance(command, dict)
            self._commands.append(command)
            yield command


Session: TypeAlias = Callable[[Peer], None]


def answering(*answers: object) -> Session:
    """Greet, then one answer for each command: a text as it is, anything else as JSON."""

    def session(peer: Peer) -> None:
        peer.greet()
        for answer in answers:
            peer.command()
            peer.say(answer if isinstance(answer, str) else json.dumps(answer))

    return session


class FakeNode:
    """Plays the given sessions, one for each connection in the order of their arrival, each in a thread."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.commands: list[dict[str, str]] = []
        self._sessions: list[Session] = []
        self._failures: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen()

    def plays(self, *sessions: Session) -> None:
        self._sessions += sessions
        if not self._threads:
            self._spawn(self._accept)

    def close(self) -> None:
        """Raise what went wrong in the threads, also a session that was never asked for."""
        # shutdown wakes the accepting thread, which close alone does not
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(_PATIENCE)
            assert not thread.is_alive(), "a session of the fake node has not ended"
        for failure in self._failures:
            raise failure
        assert not self._sessions, f"{len(self._sessions)} sessions were not asked for"

    def _spawn(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if not self._sessions:
                sock.close()
                self._failures.append(AssertionError("the client makes a connection that no session is left for"))
                return
            session = self._sessions.pop(0)
            self._spawn(partial(self._play, sock, session))

    def _play(self, sock: socket.socket, session: Session) -> None:
        sock.settimeout(_PATIENCE)
        with sock, sock.makefile("rb") as file:
            try:
                session(Peer(sock, file, self.commands))
            except BaseException as failure:  # noqa: BLE001 (raised again by close, in the test's thread)
                self._failures.append(failure)


@contextmanager
def fake_node() -> Iterator[FakeNode]:
    """A fake node on a socket of its own; its complaints are raised at the end."""
    with tempfile.TemporaryDirectory() as folder:
        node = FakeNode(os.path.join(folder, "fake.sock"))
        try:
            yield node
        finally:
            node.close()


@contextmanager
def tcp_service(certificate: Path | None) -> Iterator[int]:
    """A port that serves one connection: it echoes in capitals until the client closes its side."""

    def serve() -> None:
        plain, _ = listener.accept()
        plain.settimeout(10)
        if certificate is None:
            sock = plain
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            try:
                sock = context.wrap_socket(plain, server_side=True)
            except (ssl.SSLError, ConnectionError):
                plain.close()
                return
        with sock, sock.makefile("rb") as file:
            try:
                sock.sendall(b"Receptor Control, node far\n")
                sock.sendall(file.read().upper())
                if isinstance(sock, ssl.SSLSocket):
                    sock.unwrap()
            except (ssl.SSLError, ConnectionError):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()
