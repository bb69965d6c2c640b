"""A datagram service of this node, as its user holds it."""

from __future__ import annotations

import time
from collections.abc import Callable

from receptor.netceptor.netceptor import Netceptor
from receptor.netceptor.packets import Address

DatagramUser = Callable[[Address, bytes], None]
"""Takes each datagram, with who sent it. Must not wait."""


class DatagramService:
    """Sends and receives datagrams under one service name until it is closed."""

    def __init__(
        self, core: Netceptor, service: str, pump_soon: Callable[[], None], forget: Callable[[str], None]
    ) -> None:
        self.service = service
        self._core = core
        self._pump_soon = pump_soon
        self._forget = forget

    def send(self, to: Address, payload: bytes) -> None:
        """Send a datagram of at most the mesh MTU; it may be lost. Raises UnreachableError if there is no route."""
        self._core.send_datagram(self.service, to, payload, time.monotonic())
        self._pump_soon()

    def close(self) -> None:
        """Receive no more."""
        self._core.switch.close(self.service)
        self._forget(self.service)
