"""The WebSocket backend: each packet is one binary message (mesh protocol, section 1)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from urllib.parse import unquote

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from receptor.accepting import Acceptor, tcp_sockets
from receptor.backends import dialling
from receptor.backends.http_proxies import proxy_for, tunnel
from receptor.backends.session import SessionOwner, TlsSettings
from receptor.backends.websocket_handshakes import AcceptedSession, DialledSession
from receptor.errors import ConfigurationError, OperatingError

logger = logging.getLogger("receptor.backends")


class WebSocketListener:
    """Accepts neighbours on a path of an HTTP port."""

    def __init__(self, owner: SessionOwner, address: str, port: int, path: str, tls: TlsSettings | None = None) -> None:
        self._owner = owner
        self._address = address
        self._port = port
        self._path = unquote(path)
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._acceptor: Acceptor | None = None
        self._unanswered: dict[AcceptedSession, None] = {}

    async def start(self) -> None:
        """Listen. Raises OperatingError if the port can't be had."""
        try:
            self._sockets = await tcp_sockets(self._address, self._port)
        except OSError as error:
            raise OperatingError(
                f"ws-listener can't listen on {self._address}:{self._port}: {error.strerror or error};"
                " choose another port or bindaddr, or stop what uses it"
            ) from None
        name = f"ws-listener {self._address}:{self.port}"
        self._acceptor = Acceptor(name, self._sockets, self._session, None if self._tls is None else self._tls.context)
        logger.info("listening for neighbours on WebSocket %s:%d, path %s", self._address, self.port, self._path)

    @property
    def port(self) -> int:
        """The port that is listened on; the chosen one if the configured port is 0."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Accept no more."""
        if self._acceptor is not None:
            await self._acceptor.stop()
        for session in list(self._unanswered):
            session.abort()

    def _session(self) -> AcceptedSession:
        return AcceptedSession(self._owner, self._path, self._unanswered)


class WebSocketDialer(dialling.Dialer):
    """Keeps one connection to a neighbour, dialling again when it ends."""

    def __init__(
        self,
        owner: SessionOwner,
        url: str,
        redial: bool,
        extra_header: tuple[str, str] | None = None,
        tls: TlsSettings | None = None,
    ) -> None:
        """``tls`` None: a ``wss`` address is checked by what the system trusts. Raises ConfigurationError."""
        try:
            self._uri = parse_uri(url)
        except (InvalidURI, ValueError):
            # Not what the library says: it repeats the URL, in which there may be a password.
            raise ConfigurationError(
                "the address of a ws-peer must be like wss://host/path, with a password if it has a user"
            ) from None
        scheme = "wss" if self._uri.secure else "ws"
        host = f"[{self._uri.host}]" if ":" in self._uri.host else self._uri.host
        super().__init__(f"ws-peer {scheme}://{host}:{self._uri.port}{self._uri.path}", redial)
        self._owner = owner
        self._extra_header = extra_header
        self._tls = tls
        if tls is not None and not self._uri.secure:
            logger.warning("%s: its tls-client is not used, since the address begins with ws and not wss", self._name)

    async def dial(self) -> bool:
        """Connect, and stay until the connection ends."""
        async with asyncio.timeout(dialling.CONNECT_TIMEOUT):
            session = await self._connected()
            try:
                problem = await session.problem
            except asyncio.CancelledError:
                session.abort()
                raise
        if session.number is None:
            raise ConnectionError(problem)
        return await self._owner.link_ended(session.number)

    async def _connected(self) -> DialledSession:
        host, port = self._uri.host, self._uri.port
        proxy = proxy_for(host, port, self._uri.secure)
        tls = await self._security() if self._uri.secure else None
        server_name = host if tls is not None else None
        connect = asyncio.get_running_loop().create_connection
        if proxy is None:
            _, session = await connect(self._session, host, port, ssl=tls, server_hostname=server_name)
        else:
            through = await tunnel(proxy, host, port)
            _, session = await connect(self._session, sock=through, ssl=tls, server_hostname=server_name)
        return session

    async def _security(self) -> ssl.SSLContext:
        if self._tls is not None:
            return self._tls.context()
        # Reading what the system trusts takes a while.
        return await asyncio.to_thread(ssl.create_default_context)

    def _session(self) -> DialledSession:
        return DialledSession(self._owner, self._uri, self._extra_header)
