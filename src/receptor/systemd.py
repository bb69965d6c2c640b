"""What systemd is told of the node while it runs: sd_notify(3) and sd_watchdog_enabled(3), one datagram of text each.

It says where in the environment. Without these variables nothing is sent, and nothing runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping, MutableMapping

STATUS_PERIOD = 5.0
"""Seconds after which systemd is told how the node is, if that has changed."""

SEND_PATIENCE = 1.0
"""Seconds in which systemd must take news such as READY=1, which can't be told later. The event loop waits for it."""

logger = logging.getLogger("receptor.node")


class Systemd:
    """The service manager that has started this process, or nobody."""

    def __init__(self, address: str, watchdog: float | None) -> None:
        """``address`` of its datagram socket, empty for nobody; it ends us when it hears nothing for ``watchdog``
        seconds."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog = watchdog
        self._was_deaf = False

    @property
    def listens(self) -> bool:
        """Whether there is somebody to tell anything."""
        return bool(self._address)

    def tell(self, **news: str | int) -> None:
        """Tell it these variables of sd_notify(3), such as READY=1. That it can't be told is logged, once in a row."""
        self._send(news, SEND_PATIENCE)

    async def keep_informed(self, status: Callable[[], str]) -> None:
        """Feed the watchdog at half its time, and tell of a changed status, until cancelled.

        As this runs in the event loop, a loop that hangs lets the watchdog starve.
        """
        period = STATUS_PERIOD if self._watchdog is None else min(self._watchdog / 2, STATUS_PERIOD)
        told = ""
        while self.listens:
            news = {} if self._watchdog is None else {"WATCHDOG": "1"}
            if (now := status()) != told:
                news["STATUS"] = now
            if news and self._send(news, 0.0):  # Where no room is, food enough waits.
                told = now
            await asyncio.sleep(period)

    def _send(self, news: Mapping[str, str | int], patience: float) -> bool:
        """Whether systemd has it now, after waiting at most ``patience`` seconds for room."""
        if not self._address:
            return False
        text = "\n".join(f"{name}={value}" for name, value in news.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(patience)
                sender.sendto(text.encode(), self._address)
        except OSError as error:
            if not self._was_deaf:
                what = text.partition("\n")[0]
                logger.warning("systemd can't be told %s: %s; it may take the node for hung", what, error)
            self._was_deaf = True
            return False
        self._was_deaf = False
        return True


def take_systemd(environment: MutableMapping[str, str]) -> Systemd:
    """Who has started us, by the environment; the variables are taken out of it.

    Otherwise commands of units would take themselves for this service, and could tell systemd so.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    microseconds = environment.pop("WATCHDOG_USEC", "")
    watched = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
    if address and not address.startswith(("/", "@")):
        logger.warning("NOTIFY_SOCKET is no Unix socket: %s; systemd is told nothing", address)
        address = ""
    feeds = watched and microseconds.isdecimal() and int(microseconds) > 0
    return Systemd(address, int(microseconds) / 1e6 if feeds else None)
