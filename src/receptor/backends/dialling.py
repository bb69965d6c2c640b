"""What all dialers share: one session at a time, and a new one when it has ended (mesh protocol, section 1)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from abc import ABC, abstractmethod

FIRST_REDIAL_DELAY = 0.5
"""Seconds. Existing nodes wait 5; nodes that are started together, as on a new machine, then wait for one another."""

REDIAL_GROWTH = 1.5
LONGEST_REDIAL_DELAY = 20.0

CONNECT_TIMEOUT = 15.0
"""Seconds that a dialer gives the far end until there is a session, name look-up and TLS handshake included."""

logger = logging.getLogger("receptor.backends")


class Dialer(ABC):
    """Keeps one session with a neighbour, dialling again when it ends. A link that has lasted resets the delay."""

    def __init__(self, name: str, redial: bool) -> None:
        """``name`` says in the log what is dialled: ``tcp-peer foo.example.com:2222``."""
        self._name = name
        self._redial = redial
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def dial(self) -> bool:
        """Open one session and stay until it is over; True if it had become a link (``SessionOwner.link_ended``).

        Gives up after CONNECT_TIMEOUT. Raises OSError (TimeoutError, ssl.SSLError) if no session comes about.
        Cancelling it before there is a session leaves nothing behind, and afterwards leaves the session open.
        """

    async def start(self) -> None:
        """Begin to dial."""
        self._task = asyncio.create_task(self._run(), name=f"dial {self._name}")
        self._task.add_done_callback(self._report_defect)

    async def stop(self) -> None:
        """Dial no more. A session that is open goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _report_defect(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error(
                "%s is dialled no more: a defect of this program, please report it; restart the node to dial again",
                self._name,
                exc_info=error,
            )

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_REDIAL_DELAY
        while True:
            began = loop.time()
            # One that the other end makes and ends at once must not be made again and again without a rest.
            if await self._had_link() and loop.time() - began >= delay:
                delay = FIRST_REDIAL_DELAY
            if not self._redial:
                return
            logger.debug("dialling %s again in %.1f s", self._name, delay)
            await asyncio.sleep(delay)
            delay = min(delay * REDIAL_GROWTH, LONGEST_REDIAL_DELAY)

    async def _had_link(self) -> bool:
        try:
            if await self.dial():
                return True
            logger.warning(
                "%s: the session ended before it was a link; see the log of the other node, and check that both ends"
                " use TLS or neither does",
                self._name,
            )
        except TimeoutError:
            logger.warning("%s does not answer", self._name)
        except OSError as error:
            logger.warning("%s can't be reached: %s", self._name, _problem(error))
        return False


def _problem(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        return f"its certificate is not accepted: {reason}; check it, and the tls-client of this peer"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.strerror}; check that both ends use TLS, and the log of the other one"
    return error.strerror or str(error)
