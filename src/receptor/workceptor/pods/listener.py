"""A port for the one connection that a pod makes to this node (streammethod tcp).

Whoever comes first gets the payload: the protocol has nothing by which to know the pod.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TypeAlias
from urllib.parse import urlsplit

from receptor.errors import OperatingError

_Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PodListener:
    """Listens within its context, on the address from which this node reaches the cluster."""

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server)
        self._accepted: asyncio.Future[_Streams] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> PodListener:
        """Raises OperatingError."""
        try:
            host = await asyncio.to_thread(self._own_address)
            self._listener = await asyncio.start_server(self._accept, host, 0)
        except OSError as error:
            raise OperatingError(f"this node can't listen for its pod: {error}; use 'streammethod: logger'") from None
        port = self._listener.sockets[0].getsockname()[1]
        self.environment = {"RECEPTOR_HOST": host, "RECEPTOR_PORT": str(port)}
        """What tells the pod where to connect."""
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    async def connection(self) -> _Streams:
        """The first connection that is made."""
        return await self._accepted

    def _own_address(self) -> str:
        """The one of the interface that leads to the cluster; nothing is sent."""
        host, port = self._server.hostname or "", self._server.port or 443
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            own: str = probe.getsockname()[0]
            return own

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._accepted.done():
            writer.close()
        else:
            self._accepted.set_result((reader, writer))
