"""``ReceptorControl``: the calls of the class of that name in the PyPI package ``receptorctl``, for AWX and others.

A program changes its import and nothing else. New programs are better off with ``SyncClient``. The names, with the
inner ones that are used from outside (``_socket``, ``_sockfile``), the arguments and the kinds of errors are those of
receptorctl 1.x. Different is what was wrong there: a payload is passed on as it comes, its end over TLS is
announced properly, ``None`` as tls-client of a service is none, and errors say what to do.
"""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, cast, overload

from receptor.client.address import UnixAddress, parse_address
from receptor.client.connection import CONNECT_SECONDS, open_socket
from receptor.client.fields import JsonObject
from receptor.client.payloads import Payload, chunks
from receptor.client.submission import Submission
from receptor.client.tls_settings import TlsSettings, read_tls_client
from receptor.client.tls_stream import TlsStream
from receptor.errors import ConfigurationError, ReceptorError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_GREETING = re.compile(r"Receptor Control, node (.+)")
_CREATED = re.compile(r"Work unit created with ID (.+). Send stdin data and EOF.")
_STREAMING = re.compile(r"Streaming results for work unit (.+)")


class ReceptorControl:
    """A connection to a control service, which is made when it is first needed.

    ``socketaddress`` is the path of a Unix socket, ``tcp://host:port`` or ``tls://host:port``. How to trust the last is
    said by ``config`` and ``tlsclient``, a configuration file of a node and the name of a tls-client in it, or by the
    file names ``rootcas``, ``key`` and ``cert``.

    Every call may raise ValueError if the service can't be connected to (OSError if a Unix socket refuses) and
    RuntimeError if the node refuses, or is none. Nothing has a limit of time.
    """

    def __init__(
        self,
        socketaddress: str,
        config: str | None = None,
        tlsclient: str | None = None,
        rootcas: str | None = None,
        key: str | None = None,
        cert: str | None = None,
        insecureskipverify: bool = False,
    ) -> None:
        if config and any((rootcas, key, cert)):
            raise RuntimeError("config can't be combined with rootcas, key or cert; give one or the other")
        if config and not tlsclient:
            raise RuntimeError("config needs tlsclient, the name of the tls-client to take from it")
        self._socket: ServiceSocket | None = None
        self._sockfile: BinaryIO | None = None
        self._remote_node: str | None = None
        self._socketaddress = socketaddress
        self._rootcas = rootcas
        self._key = key
        self._cert = cert
        self._insecureskipverify = insecureskipverify
        if config and tlsclient:
            self.readconfig(config, tlsclient)

    def readconfig(self, config: str, tlsclient: str) -> None:
        """Take over the tls-client of that name, if the configuration has one."""
        try:
            found = read_tls_client(config, tlsclient)
        except ConfigurationError:
            with open(config, "rb"):
                return  # the file is there: without such a client the settings stay as they are
        self._rootcas = found.rootcas or self._rootcas
        self._key = found.key or self._key
        self._cert = found.cert or self._cert
        self._insecureskipverify = found.insecureskipverify or self._insecureskipverify

    def connect(self) -> None:
        """Connect and read the greeting, unless that is done."""
        if self._socket is not None:
            return
        address = None
        try:
            address = parse_address(self._socketaddress)
            tls = TlsSettings(self._rootcas or "", self._cert or "", self._key or "", self._insecureskipverify)
            opened = open_socket(address, tls, CONNECT_SECONDS)
        except ReceptorError as error:
            cause = error.__cause__
            is_missing = isinstance(cause, FileNotFoundError)
            if isinstance(cause, OSError) and isinstance(address, UnixAddress) and not is_missing:
                raise type(cause)(cause.errno, str(error)) from error
            raise ValueError(str(error)) from error
        opened.settimeout(None)
        self._socket = SecureSocket(opened) if isinstance(opened, TlsStream) else opened
        self._sockfile = cast(BinaryIO, self._socket.makefile("rwb"))
        try:
            self.handshake()
        except BaseException:
            self.close()
            raise

    def handshake(self) -> None:
        """Read the greeting, which names the node."""
        greeting = self.readstr()
        match = _GREETING.fullmatch(greeting)
        if match is None:
            raise RuntimeError(
                f"Failed to connect to Receptor socket: {self._socketaddress} greets with {greeting[:60]!r}; check the "
                "address"
            )
        self._remote_node = match[1]

    def close(self) -> None:
        """Close the connection if there is one; the next command makes a new one."""
        try:
            if self._sockfile is not None:
                self._sockfile.close()
        finally:
            self._sockfile = None
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def readstr(self) -> str:
        """The next line, without white space around it; empty at the end."""
        return self._file.readline().decode().strip()

    def writestr(self, str: str) -> None:
        """Send a text."""
        self._file.write(str.encode())
        self._file.flush()

    def read_and_parse_json(self) -> JsonObject:
        """The next answer; raises RuntimeError with the node's reason if it is an error."""
        text = self.readstr()
        if text.startswith("ERROR:"):
            raise RuntimeError(text[7:])
        return self._parsed(text)

    def simple_command(self, command: str) -> JsonObject:
        """The answer to a command such as ``status`` or ``work status UNIT``."""
        self.connect()
        self.writestr(f"{command}\n")
        return self.read_and_parse_json()

    def connect_to_service(self, node: str, service: str, tlsclient: str | None) -> None:
        """Make the connection one to a service of the mesh: ``_socket`` and ``_sockfile`` are then its."""
        self.connect()
        self.writestr(f"connect {node} {service} {tlsclient or ''}".rstrip() + "\n")
        text = self.readstr()
        if not text.startswith("Connecting"):
            raise RuntimeError(text)

    def submit_work(
        self,
        worktype: str,
        payload: Payload,
        node: str | None = None,
        tlsclient: str | None = None,
        ttl: str | None = None,
        signwork: bool = False,
        params: Mapping[str, str] | None = None,
    ) -> JsonObject:
        """Submit work with its payload (bytes, a text or a file); the answer has ``unitid`` and ``result``.

        A parameter ``@file`` stands for the text of the file. The connection is closed in the end.
        """
        submission = Submission(
            worktype, node or "localhost", tlsclient or "", ttl or "", signwork, "", _read_params(params or {})
        )
        try:
            command = submission.command()
        except ConfigurationError as error:
            raise RuntimeError(f"Duplicate or illegal parameter: {error}") from error
        self.connect()
        self.writestr(json.dumps(command) + "\n")
        _expect(_CREATED, self.readstr(), "Failed to start work unit")
        self._send_payload(payload)
        text = self.readstr()
        self.close()
        if text.startswith("ERROR:"):
            raise RuntimeError(f"Remote error: {text}")
        return self._parsed(text)

    @overload
    def get_work_results(self, unit_id: str, startpos: int = 0) -> BinaryIO: ...
    @overload
    def get_work_results(
        self, unit_id: str, startpos: int = 0, return_socket: Literal[False] = False, return_sockfile: bool = True
    ) -> BinaryIO: ...
    @overload
    def get_work_results(
        self, unit_id: str, startpos: int = 0, *, return_socket: Literal[True], return_sockfile: Literal[False]
    ) -> ServiceSocket: ...
    @overload
    def get_work_results(
        self, unit_id: str, startpos: int = 0, *, return_socket: Literal[True], return_sockfile: Literal[True] = True
    ) -> tuple[ServiceSocket, BinaryIO]: ...
    def get_work_results(
        self, unit_id: str, startpos: int = 0, return_socket: bool = False, return_sockfile: bool = True
    ) -> ServiceSocket | BinaryIO | tuple[ServiceSocket, BinaryIO]:
        """The output of a unit from a byte on, as it comes until the unit ends: a file, the socket under it, or both.

        They are for the caller to close. The next command makes a new connection.
        """
        self.connect()
        self.writestr(f"work results {unit_id} {startpos}\n")
        sock, file = self._socket, self._file
        assert sock is not None
        # A file reads ahead: what it has of the output would be lost to those who go on with the socket.
        answer = self.readstr() if return_sockfile else _read_line(sock)
        _expect(_STREAMING, answer, "Failed to get results")
        self._socket = self._sockfile = None
        # What is not returned is closed, so that the caller's close is effective: socket and file share the connection.
        if not return_sockfile:
            file.close()
        if not return_socket:
            sock.close()
            return file
        return (sock, file) if return_sockfile else sock

    @property
    def _file(self) -> BinaryIO:
        if self._sockfile is None:
            raise ValueError("there is no connection; call connect() first")
        return self._sockfile

    def _parsed(self, text: str) -> JsonObject:
        if not text:
            raise ValueError(f"{self._socketaddress} closed the connection instead of answering; see the node's log")
        answer: JsonObject = json.loads(text)
        return answer

    def _send_payload(self, payload: Payload) -> None:
        try:
            with chunks(payload) as parts:
                for part in parts:
                    self._file.write(part)
                    self._file.flush()
        except TypeError as error:
            self.close()  # or the node would take what it has for the whole
            raise RuntimeError(f"Unknown payload type: {error}") from error
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_WR)


def _expect(pattern: re.Pattern[str], text: str, problem: str) -> None:
    if not pattern.fullmatch(text):
        reason = text[7:] if text.startswith("ERROR: ") else ""
        raise RuntimeError(f"{problem}: {reason}" if reason else problem)


def _read_line(sock: ServiceSocket) -> str:
    """The next line, and nothing after it."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := sock.recv(1)):
        line += byte
    return line.decode().strip()


def _read_params(params: Mapping[str, str]) -> dict[str, str]:
    return {name: _read_param(value) for name, value in params.items()}


def _read_param(value: str) -> str:
    if not value.startswith("@") or value.startswith("@@"):
        return value
    with open(value[1:], encoding="utf-8") as file:
        return file.read()


class SecureSocket:
    """A TLS stream with the methods of a socket that callers use, and files that share it as those of sockets do."""

    def __init__(self, stream: TlsStream) -> None:
        self._stream = stream
        self._early = b""
        """What has been decrypted beyond what was asked for."""
        self._files = 0
        self._is_closed = False

    def recv(self, size: int) -> bytes:
        data = self._early or self._stream.recv(size)
        self._early = data[size:]
        return data[:size]

    def sendall(self, data: bytes) -> None:
        self._stream.sendall(data)

    def shutdown(self, how: int) -> None:
        self._stream.shutdown(how)

    def settimeout(self, seconds: float | None) -> None:
        self._stream.settimeout(seconds)

    def fileno(self) -> int:
        return self._stream.fileno()

    def makefile(self, mode: str) -> io.BufferedRWPair:
        """A file for both directions, whatever the mode says."""
        self._files += 1
        raw = _RawFile(self)
        return io.BufferedRWPair(raw, raw)

    def close(self) -> None:
        """Close the socket, unless there are files left: then it ends with the last of them."""
        self._is_closed = True
        if not self._files:
            self._stream.close()

    def file_is_closed(self) -> None:
        """One file less."""
        self._files -= 1
        if self._is_closed:
            self.close()


class _RawFile(io.RawIOBase):
    def __init__(self, sock: SecureSocket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with memoryview(buffer) as view:
            data = self._sock.recv(len(view))
            view[: len(data)] = data
        return len(data)

    def write(self, data: ReadableBuffer, /) -> int:
        plain = bytes(data)
        self._sock.sendall(plain)
        return len(plain)

    def close(self) -> None:
        if not self.closed:
            self._sock.file_is_closed()
        super().close()


ServiceSocket: TypeAlias = socket.socket | SecureSocket
