"""The two sides of the opening handshake, by which a connection becomes a WebSocket (RFC 6455, section 4)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import unquote

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.http11 import Request, Response
from websockets.protocol import Event
from websockets.server import ServerProtocol
from websockets.typing import Origin
from websockets.uri import WebSocketURI

from receptor.accepting import HANDSHAKE_TIMEOUT, MOST_HANDSHAKES
from receptor.backends.session import ENDED_AT_ONCE, SessionOwner
from receptor.backends.websocket_session import WebSocketSession
from receptor.netceptor.packets import LARGEST_PACKET

LARGEST_REQUEST = 16 * 1024
"""Bytes that a client may send to ask for a WebSocket."""

logger = logging.getLogger("receptor.backends")

_library_logger = logging.getLogger("receptor.backends.websockets")
# At the level of debugging the library writes down headers and payloads, which may be secret.
_library_logger.setLevel(logging.WARNING)


class AcceptedSession(WebSocketSession):
    """A connection that a client has made, who must ask for a WebSocket first."""

    def __init__(self, owner: SessionOwner, path: str, unanswered: dict[AcceptedSession, None]) -> None:
        """``unanswered`` holds the sessions of a listener that are in their handshake, the eldest first."""
        self._server = ServerProtocol(max_size=LARGEST_PACKET, logger=_library_logger)
        super().__init__(owner, self._server, "a closed connection")
        self._path = path
        self._unanswered = unanswered
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up: wait for the request, but not for ever nor with too many others."""
        super().connection_made(transport)
        address = transport.get_extra_info("peername")
        if address:
            self._peer = f"{address[0]}:{address[1]}"
        self._start_clock(HANDSHAKE_TIMEOUT)
        self._unanswered[self] = None
        if len(self._unanswered) > MOST_HANDSHAKES:
            eldest = next(iter(self._unanswered))
            del self._unanswered[eldest]
            eldest.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        self._received += len(data)
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._unanswered.pop(self, None)
        super().connection_lost(error)

    def _shake_hands(self, events: Sequence[Event]) -> None:
        if events:
            # Who speaks before the answer, or begins a closing, is no WebSocket client.
            is_early = len(events) > 1 or bool(self._server.data_to_send())
            request = events[0]
            assert isinstance(request, Request)
            response = self._bad_request() if is_early else self._response(request)
        elif self._server.handshake_exc is not None or self._received > LARGEST_REQUEST:
            self._server.data_to_send()
            response = self._bad_request()
        else:
            return
        self._respond(response)

    def _response(self, request: Request) -> Response:
        """What a request gets. A path that ends with a slash stands for all below it, as for the Go daemon."""
        path = unquote(request.path.partition("?")[0])
        if path != self._path and not (self._path.endswith("/") and path.startswith(self._path)):
            return self._server.reject(HTTPStatus.NOT_FOUND, "There is nothing here.\n")
        response = self._server.accept(request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS and not self._is_of_same_origin(request):
            return self._server.reject(HTTPStatus.FORBIDDEN, "Pages of other hosts may not connect.\n")
        return response

    def _is_of_same_origin(self, request: Request) -> bool:
        """Browsers tell whose page it is that connects: one from elsewhere must not join the mesh in a user's name."""
        if self._server.origin is None:
            return True
        return [self._server.origin.partition("://")[2].lower()] == [
            host.lower() for host in request.headers.get_all("Host")
        ]

    def _bad_request(self) -> Response:
        return self._server.reject(HTTPStatus.BAD_REQUEST, "This is no request for a WebSocket.\n")

    def _respond(self, response: Response) -> None:
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._server.send_response(response)
            self._write()
            self._unanswered.pop(self, None)
            self._open()
        else:
            assert self._transport is not None
            logger.debug("%s gets no WebSocket, but HTTP status %d", self._peer, response.status_code)
            if not self._transport.is_closing():
                self._transport.write(response.serialize())
            self._end()


class DialledSession(WebSocketSession):
    """A connection that we have made, to ask for a WebSocket."""

    def __init__(self, owner: SessionOwner, uri: WebSocketURI, extra_header: tuple[str, str] | None) -> None:
        self._client = ClientProtocol(uri, max_size=LARGEST_PACKET, logger=_library_logger)
        super().__init__(owner, self._client, f"{uri.host}:{uri.port}")
        self._uri = uri
        self._extra_header = extra_header
        self.problem: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why the far end gives no WebSocket; empty if the session is open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up: ask."""
        super().connection_made(transport)
        request = self._client.connect()
        scheme = "https" if self._uri.secure else "http"
        request.headers["Origin"] = Origin(f"{scheme}://{request.headers['Host']}")
        if self._extra_header is not None:
            name, value = self._extra_header
            request.headers.pop(name, None)
            request.headers[name] = value
        self._client.send_request(request)
        self._write()

    def _shake_hands(self, events: Sequence[Event]) -> None:
        error = self._client.handshake_exc
        if error is not None:
            self._settle(_explanation(error, self._uri.secure))
            self._end()
        elif events:
            self._open()
            self._settle("")

    def _settle(self, problem: str) -> None:
        if not self.problem.done():  # else nobody waits any more
            self.problem.set_result(problem)


def _explanation(error: Exception, is_secure: bool) -> str:
    match error:
        case InvalidStatus(response=Response(status_code=status)) if 300 <= status < 400:
            return f"it refers to another address (HTTP status {status}), which is not followed; dial that one"
        case InvalidStatus(response=Response(status_code=status)):
            return f"it refuses a WebSocket (HTTP status {status}); check the path of the address and the extraheader"
        case InvalidMessage() if is_secure and isinstance(error.__cause__, EOFError):
            return ENDED_AT_ONCE
        case InvalidMessage() if is_secure:
            return "it does not speak HTTP; check the port of the address"
        case InvalidMessage() if isinstance(error.__cause__, EOFError):
            return "it closed the connection without an answer; check whether it wants TLS (wss)"
        case InvalidMessage():
            return "it does not speak HTTP; check the port of the address and whether it wants TLS (wss)"
        case _:
            return f"its answer opens no WebSocket: {error}"
