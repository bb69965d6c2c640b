"""A client of the control protocol that computes as little as it can, so as not to eat what it measures."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

SUCCEEDED, FAILED, CANCELED = 2, 3, 4
RUNNING = 1
PATIENCE = 60.0
"""Seconds that a daemon may take for any answer."""
CREATED = b"Work unit created with ID "
CHUNK = 1 << 16


class BenchError(Exception):
    """Something can't be measured, since a daemon or the machine did not do what was asked; the text says what."""


@dataclass(frozen=True)
class UnitStatus:
    """What the benchmark wants to know of a unit."""

    state: int
    detail: str

    @classmethod
    def parse(cls, line: bytes) -> UnitStatus:
        """Read the answer to ``work status``. Raises BenchError if it is none."""
        fields = parse_answer(line)
        return cls(int(str(fields["State"])), str(fields["Detail"]))

    def has_reached(self, state: int) -> bool:
        """Whether this is the state. Raises BenchError if it can't be reached any more."""
        if self.state in (SUCCEEDED, FAILED, CANCELED) and self.state != state:
            raise BenchError(f"a unit ended in state {self.state} instead of {state}: {self.detail}")
        return self.state == state


def parse_answer(line: bytes) -> Mapping[str, object]:
    """Read an answer of one line. Raises BenchError if it is an error, or no JSON object."""
    if line.startswith(b"{"):
        try:
            fields = json.loads(line)
        except ValueError:
            pass
        else:
            assert isinstance(fields, dict)
            return fields
    raise BenchError(f"the daemon answered {line.decode(errors='replace').strip()[:200]!r}")


def submit_request(node: str, work_type: str) -> bytes:
    """The line that submits a unit for the node."""
    fields = {"command": "work", "subcommand": "submit", "node": node, "worktype": work_type}
    return json.dumps(fields).encode() + b"\n"


def status_request(unit: str) -> bytes:
    return f"work status {unit}\n".encode()


def unit_of(line: bytes) -> str:
    """The unit that the first answer to a submission names. Raises BenchError if it is refused."""
    if not line.startswith(CREATED):
        raise BenchError(f"a submission was answered {line.decode(errors='replace').strip()!r}")
    return line[len(CREATED) :].split(b".", 1)[0].decode()


class Connection:
    """A connection to a node's control socket; lines out, lines in. Raises BenchError for all that goes wrong."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._rest = b""
        try:
            self.socket.settimeout(PATIENCE)
            self.socket.connect(path)
        except OSError as error:
            self.socket.close()
            raise BenchError(f"the control socket can't be reached: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes | memoryview) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise BenchError(f"the daemon takes nothing more: {error}") from error

    def send_end(self) -> None:
        """Tell the daemon that nothing more will come."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise BenchError(f"the daemon has hung up: {error}") from error

    def lines(self) -> list[bytes]:
        """Read once, and return the lines that are whole now; waits if nothing has come."""
        *lines, self._rest = (self._rest + self._receive()).split(b"\n")
        return lines

    def line(self) -> bytes:
        """The next line, without its end."""
        pieces = [self._rest]
        while b"\n" not in pieces[-1]:
            pieces.append(self._receive())
        line, self._rest = b"".join(pieces).split(b"\n", 1)
        return line

    def read_into(self, room: bytearray) -> int:
        """Fill the room with what comes up to the end of the connection; how many bytes that were."""
        filled = len(self._rest)
        with memoryview(room) as view:
            view[:filled] = self._rest
            while filled < len(room) and (count := self._receive_into(view[filled:])):
                filled += count
        return filled

    def _receive(self) -> bytes:
        try:
            data = self.socket.recv(CHUNK)
        except OSError as error:
            raise BenchError(f"the daemon does not answer: {error}") from error
        if not data:
            raise BenchError("the daemon closed the connection")
        return data

    def _receive_into(self, view: memoryview) -> int:
        try:
            return self.socket.recv_into(view)
        except OSError as error:
            raise BenchError(f"the daemon does not answer: {error}") from error


class Session(Connection):
    """A control session: the greeting has been read, and one command follows the other."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        try:
            self.greeting = self.line().decode(errors="replace")
        except BenchError:
            self.socket.close()
            raise

    def ask(self, command: str) -> bytes:
        """The answer to a command, one line."""
        self.send(command.encode() + b"\n")
        return self.line()

    def status(self, unit: str) -> UnitStatus:
        self.send(status_request(unit))
        return UnitStatus.parse(self.line())
