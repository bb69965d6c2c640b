"""A stream service of this node, advertised to the mesh."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from receptor.errors import OperatingError
from receptor.netceptor.messages import STREAM_SERVICE, TLS_STREAM_SERVICE
from receptor.node.byte_stream import ByteStream
from receptor.node.mesh_node import MeshNode


class MeshService:
    """Serves each stream to a service in a task of its own, until it is stopped."""

    def __init__(
        self,
        mesh: MeshNode,
        service: str,
        tags: dict[str, str],
        user: Callable[[ByteStream], Awaitable[None]],
        tls_server: str,
    ) -> None:
        """The user may let ConnectionError out, which drops the stream, as its end does."""
        self._mesh = mesh
        self._service = service
        self._tags = tags
        self._user = user
        self._tls_server = tls_server
        self._is_open = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen and advertise. Raises OperatingError if the service is taken."""
        try:
            self._mesh.listen(self._service, self._serve, self._tls_server)
        except ValueError:
            raise OperatingError(
                f"this node has a service {self._service} already; give one of them another name"
            ) from None
        kind = TLS_STREAM_SERVICE if self._tls_server else STREAM_SERVICE
        self._mesh.advertise(self._service, self._tags, connection_type=kind)
        self._is_open = True

    async def stop(self) -> None:
        """Withdraw the service, and end its streams."""
        if not self._is_open:
            return
        self._is_open = False
        self._mesh.withdraw(self._service)
        self._mesh.unlisten(self._service)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, stream: ByteStream) -> None:
        task = asyncio.current_task()
        if task is None or not self._is_open:
            return
        self._tasks.add(task)
        try:
            await self._user(stream)
        finally:
            self._tasks.discard(task)
