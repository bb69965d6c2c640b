"""Loading what streams need: not before a node has a neighbour, and beside the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receptor.netceptor.stream_security import ListenerSecurity


class StreamLoading:
    """Loads QUIC and makes the certificate of unsecured services, once: together 90 ms of CPU and 8 MiB."""

    def __init__(self) -> None:
        self._credentials: ListenerSecurity | None = None
        self._loading: asyncio.Future[ListenerSecurity] | None = None

    def begin(self) -> asyncio.Future[ListenerSecurity]:
        """Load in a thread, if that has not begun yet."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().run_in_executor(None, self.credentials)
        return self._loading

    async def done(self) -> None:
        """Wait until it is done; begins it if nobody has. Cancelling is safe."""
        await asyncio.shield(self.begin())

    def credentials(self) -> ListenerSecurity:
        """What unsecured services of this run show. A stream that comes in before all is loaded waits here for it."""
        if self._credentials is None:
            from receptor.node.credentials import insecure_credentials

            self._credentials = insecure_credentials()
        return self._credentials
