"""The WebSocket backend for the tests of sessions, plain and with TLS; the far ends speak by another's words."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path

import pytest
from backend_kinds import Address, BackendKind, Outsider, Part
from certificates_bench import LOCAL_DNS, LOCAL_IPS, Authority
from receptor_process import free_port
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from receptor.backends import dialling, websocket_session
from receptor.backends.session import SessionOwner
from receptor.backends.websocket import WebSocketDialer, WebSocketListener
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.tls.profiles import ClientProfile, ServerProfile, TlsProfiles


class WebSocket(BackendKind):
    largest_packet = 65_535

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure
        self._outsiders: list[WebSocketOutsider] = []

    def hasten_redial(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dialling, "FIRST_REDIAL_DELAY", 0.01)

    def hasten_close(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(websocket_session, "CLOSE_TIME", 0.01)

    @asynccontextmanager
    async def listening(self, owner: SessionOwner, address: Address | None = None) -> AsyncIterator[Address]:
        tls = mutual_tls()[0] if self._secure else None
        listener = WebSocketListener(owner, *(address or ("127.0.0.1", 0)), "/", tls)
        await listener.start()
        try:
            yield ("127.0.0.1", listener.port)
        finally:
            await listener.stop()
            while self._outsiders:
                await self._outsiders.pop().gone()

    def dialer(self, owner: SessionOwner, address: Address, redial: bool) -> Part:
        return WebSocketDialer(owner, self._url(address), redial, tls=mutual_tls()[1] if self._secure else None)

    async def outsider(self, address: Address) -> Outsider:
        context = mutual_tls()[1].context() if self._secure else None
        outsider = await WebSocketOutsider.connect(self._url(address), context)
        self._outsiders.append(outsider)
        return outsider

    def free_address(self) -> Address:
        return ("127.0.0.1", free_port())

    def _url(self, address: Address) -> str:
        return f"{'wss' if self._secure else 'ws'}://{address[0]}:{address[1]}/"


@cache
def mutual_tls() -> tuple[ServerProfile, ClientProfile]:
    """Settings of two sides that trust one authority and nobody without its certificate."""
    authority = Authority()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = authority.issue(node_ids=["foo"], dns=(*LOCAL_DNS, "mesh.test"), ips=LOCAL_IPS).write(folder, "foo")
        ca = authority.write(folder)
        server = TlsServer("both", own.certificate, own.key, require_client_certificate=True, client_cas=ca)
        client = TlsClient("both", own.certificate, own.key, root_cas=ca)
        profiles = TlsProfiles([server], [client], "foo")
        return profiles.server("both"), profiles.client("both")


class WebSocketOutsider:
    """A client on streams, which reads only when it is told to."""

    def __init__(self, protocol: ClientProtocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.protocol = protocol
        self._reader = reader
        self._writer = writer
        self._frames: list[Frame] = []

    @classmethod
    async def connect(cls, url: str, context: ssl.SSLContext | None = None) -> WebSocketOutsider:
        """Dial and shake hands."""
        uri = parse_uri(url)
        reader, writer = await asyncio.open_connection(uri.host, uri.port, ssl=context)
        outsider = cls(ClientProtocol(uri), reader, writer)
        outsider.protocol.send_request(outsider.protocol.connect())
        await outsider.flush()
        response: Response | None = None
        while response is None:
            data = await reader.read(65_536)
            if not data:
                writer.close()
                raise ConnectionError("no answer")
            outsider.protocol.receive_data(data)
            for event in outsider.protocol.events_received():
                if isinstance(event, Response):
                    response = event
                else:
                    assert isinstance(event, Frame)
                    outsider._frames.append(event)
        assert response.status_code == 101
        return outsider

    async def send(self, packet: bytes) -> None:
        self.protocol.send_binary(packet)
        await self.flush()

    async def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def flush(self) -> None:
        """Send what the library has to say."""
        self._writer.writelines(self.protocol.data_to_send())
        await self._writer.drain()

    async def receive(self) -> bytes:
        frame = await self.receive_frame()
        while frame is not None and frame.opcode is not Opcode.BINARY:
            frame = await self.receive_frame()
        return b"" if frame is None else bytes(frame.data)

    async def receive_frame(self) -> Frame | None:
        """The next frame of any kind; none at the end."""
        while not self._frames:
            data = await self._reader.read(65_536)
            if not data:
                return None
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                assert isinstance(event, Frame)
                self._frames.append(event)
        return self._frames.pop(0)

    async def is_cut(self) -> None:
        poll = select.poll()
        poll.register(self._socket(), 0)
        await asyncio.to_thread(poll.poll, 10_000)

    def leave(self) -> None:
        self.protocol.send_close(1000)
        self._writer.writelines(self.protocol.data_to_send())
        self._writer.close()

    def vanish(self) -> None:
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def gone(self) -> None:
        """End the connection, and wait until both sides have."""
        with suppress(OSError):
            if self._writer.can_write_eof() and not self._writer.is_closing():
                self._writer.write_eof()
                await self._reader.read()
            self._writer.close()
            await self._writer.wait_closed()

    def _socket(self) -> socket.socket:
        found: socket.socket = self._writer.get_extra_info("socket")
        return found
