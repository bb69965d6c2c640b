"""Listening sockets that survive a lack of file descriptors, on every event loop.

asyncio's own servers log a hundred tracebacks a second then, and uvloop's say nothing at all.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import msgspec

BACKLOG = 512
HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a client has for its TLS handshake."""

MOST_HANDSHAKES = 200
"""Connections that may be in their handshake. For one more the eldest is dropped: an honest one takes no time."""

STOP_TIME = 1.0
"""Seconds that those in their handshake have when no more are accepted."""

PAUSE = 1.0
"""Seconds without accepting after the system had nothing left for a connection."""

QUIET = 60.0
"""Seconds between two lines in the log about that; likewise about connections that failed for one reason: anybody can
make some.
"""

_TLS_PROBLEMS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate, but needs one here; its tls-client has to name it",
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"),
        "it uses no TLS, but has to here; it needs a tls-client, or an address that begins with wss",
    ),
    **dict.fromkeys(
        ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"),
        "it has no version of TLS in common with us; TLS 1.2 and 1.3 are common",
    ),
    **dict.fromkeys(
        ("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
        "it does not accept our certificate; its log says why",
    ),
}
"""What OpenSSL's most common reasons mean."""

_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

logger = logging.getLogger("receptor.node")


async def tcp_sockets(address: str, port: int) -> list[socket.socket]:
    """Sockets that listen on a port, one for each address that a host name stands for. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as opened:
        sockets = []
        for family, where in dict.fromkeys((family, where) for family, _, _, _, where in found):
            # asyncio sends without delay on what is known for TCP by its number, and on nothing else.
            listening = opened.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(where)
            listening.listen(BACKLOG)
            sockets.append(listening)
        opened.pop_all()
    return sockets


class Acceptor:
    """Makes a transport of each connection to listening sockets, until it is stopped: as a loop's own servers do."""

    def __init__(
        self,
        name: str,
        sockets: Sequence[socket.socket],
        protocol: Callable[[], asyncio.BaseProtocol],
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """``protocol`` makes the one that a connection is handed to, after the handshake if there is ``tls``.

        That is asked anew for each connection.
        """
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._sockets = sockets
        self._protocol = protocol
        self._tls = tls
        self._told_at = float("-inf")
        self._failures: dict[str, _Failures] = {}
        """By their kinds, of which there are only as many as OpenSSL and the system have."""
        self._end_of_pause: asyncio.TimerHandle | None = None
        self._has_stopped = False
        self._connecting: dict[asyncio.Task[None], None] = {}
        """In the order in which they were accepted."""
        self._watch()

    async def stop(self) -> None:
        """Accept no more, and close the listening sockets. Does nothing when called again.

        What was accepted has its transport afterwards, but whose handshake takes longer than STOP_TIME is dropped.
        """
        if self._has_stopped:
            return
        self._has_stopped = True
        self._unwatch()
        if self._end_of_pause is not None:
            self._end_of_pause.cancel()
        for listening in self._sockets:
            listening.close()
        if self._connecting:
            # In any case each begins: asyncio can't drop a connection that it has not begun to shake hands on.
            _, late = await asyncio.wait(self._connecting, timeout=STOP_TIME)
            for connecting in late:
                connecting.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _watch(self) -> None:
        for listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def _unwatch(self) -> None:
        for listening in self._sockets:
            self._loop.remove_reader(listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, caller = listening.accept()
        except OSError as error:
            if error.errno in _OUT_OF_RESOURCES:
                self._complain(error)
                self._unwatch()
                self._end_of_pause = self._loop.call_later(PAUSE, self._watch)
            return  # Else the caller has gone before we could accept.
        connecting = self._loop.create_task(self._connect(connection, caller), name=f"accept on {self._name}")
        self._connecting[connecting] = None
        connecting.add_done_callback(self._connecting.pop)
        if len(self._connecting) > MOST_HANDSHAKES:
            next(iter(self._connecting)).cancel()

    async def _connect(self, connection: socket.socket, caller: object) -> None:
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(self._protocol, connection)
            else:
                await self._loop.connect_accepted_socket(
                    self._protocol, connection, ssl=self._tls(), ssl_handshake_timeout=HANDSHAKE_TIMEOUT
                )
        except asyncio.CancelledError:
            connection.close()
            self._tell_failure(caller, "crowd", "its handshake took too long while others waited")
            raise
        except OSError as error:
            connection.close()
            self._tell_failure(caller, *_kind_and_reason(error))

    def _tell_failure(self, caller: object, kind: str, reason: str) -> None:
        now = self._loop.time()
        failures = self._failures.setdefault(kind, _Failures())
        if now < failures.told_at + QUIET:
            failures.untold += 1
            return
        others = f" ({failures.untold} others like it since the last line)" if failures.untold else ""
        logger.warning("%s: the connection from %s failed: %s%s", self._name, _text_of(caller), reason, others)
        self._failures[kind] = _Failures(told_at=now)

    def _complain(self, error: OSError) -> None:
        now = self._loop.time()
        if now >= self._told_at + QUIET:
            self._told_at = now
            logger.error(
                "%s can't accept connections: %s; raise the limit of open files (ulimit -n). It goes on trying",
                self._name,
                error.strerror,
            )


class _Failures(msgspec.Struct):
    """When the log was last told of one kind, and how many there were since."""

    told_at: float = float("-inf")
    untold: int = 0


def _kind_and_reason(error: OSError) -> tuple[str, str]:
    """What sort of failure it is, and what went wrong in words."""
    match error:
        case ssl.SSLCertVerificationError():
            reason = error.verify_message.rstrip(".")
            return "certificate", f"its certificate is not accepted: {reason}; check it, and the tls-server"
        case ssl.SSLError():
            return error.reason or "TLS", _TLS_PROBLEMS.get(error.reason, error.strerror or str(error))
        case ConnectionAbortedError() if error.errno is None:
            return "time", f"its TLS handshake did not end in {HANDSHAKE_TIMEOUT:g} s; check whether it uses TLS"
    return type(error).__name__, error.strerror or str(error) or "the other end closed it; its log may say why"


def _text_of(caller: object) -> str:
    """An IP address, or who has none: the clients of a Unix socket."""
    return str(caller[0]) if isinstance(caller, tuple) else "a local client"
