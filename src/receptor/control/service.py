"""A session of the control service: greeting, then a command a line and its answer, until the client leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from receptor.control.commands import LONGEST_LINE, Command, parse
from receptor.errors import ReceptorError
from receptor.node.byte_stream import ByteStream, LineTooLong

logger = logging.getLogger("receptor.control")

Answer = msgspec.Struct | Mapping[str, msgspec.Struct] | Mapping[str, str]
Dispatch = Callable[[Command, ByteStream], Awaitable[Answer | None]]
"""Carries out a command. None instead of an answer: the stream was used otherwise, and the session ends."""


class ControlService:
    """Serves control sessions, each in the task that calls ``serve``."""

    def __init__(self, node_id: str, dispatch: Dispatch) -> None:
        self._greeting = f"Receptor Control, node {node_id}\n".encode()
        self._dispatch = dispatch
        self._sessions: set[asyncio.Task[object]] = set()

    async def stop(self) -> None:
        """Drop all sessions."""
        sessions = [session for session in self._sessions if session is not asyncio.current_task()]
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    async def serve(self, stream: ByteStream) -> None:
        """Hold one session. Ends quietly when the client goes; cancelling drops the stream."""
        logger.debug("client connected: %s", stream.origin)
        session = asyncio.current_task()
        assert session is not None
        self._sessions.add(session)
        try:
            await self._converse(stream)
            await stream.finish()
        except ConnectionError as error:
            logger.debug("client lost: %s: %s", stream.origin, error)
            stream.close()
        except asyncio.CancelledError:
            stream.close()
            raise
        finally:
            self._sessions.discard(session)
            logger.debug("client gone: %s", stream.origin)

    async def _converse(self, stream: ByteStream) -> None:
        await stream.write(self._greeting)
        try:
            while (line := await stream.readline(LONGEST_LINE)) and await self._command(line, stream):
                pass
        except LineTooLong as error:
            await stream.write(f"ERROR: {error}\n".encode())

    async def _command(self, line: bytes, stream: ByteStream) -> bool:
        """Carry out one line; whether the session goes on."""
        text = line.replace(b"\r", b"").removesuffix(b"\n")
        if not text:
            await asyncio.sleep(0)  # Many empty lines in one read must not hold up everybody else.
            return True
        try:
            command = parse(text)
            answer = await self._dispatch(command, stream)
        except ReceptorError as error:
            reason = " ".join(str(error).split())
            logger.debug("refused a command of %s: %s", stream.origin, reason)
            await stream.write(f"ERROR: {reason}\n".encode())
            return True
        if answer is None:
            return False
        await stream.write(msgspec.json.encode(answer) + b"\n")
        return True
