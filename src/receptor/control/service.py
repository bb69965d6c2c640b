"""A session of the control service: greeting, then a command a line and its answer, until the client leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice

import msgspec

from receptor.config.protection import Limits
from receptor.control.commands import Command, Multiplex, parse
from receptor.control.multiplexed import MultiplexedSession, refusal
from receptor.errors import PeerError, ReceptorError
from receptor.node.byte_stream import ByteStream, LineTooLong

logger = logging.getLogger("receptor.control")

Answer = msgspec.Struct | Mapping[str, msgspec.Struct] | Mapping[str, str]
Dispatch = Callable[[Command, ByteStream], Awaitable[Answer | None]]
"""Carries out a command. None instead of an answer: the stream was used otherwise, and the session ends."""

DEFAULT_LIMITS = Limits()
ENTRIES_AT_A_TIME = 1000


class ControlService:
    """Serves control sessions, each in the task that calls ``serve``."""

    def __init__(self, node_id: str, dispatch: Dispatch, limits: Limits = DEFAULT_LIMITS) -> None:
        self._greeting = f"Receptor Control, node {node_id}\n".encode()
        self._dispatch = dispatch
        self._limits = limits
        # They count apart, lest others lock out the operator.
        self._local_sessions: set[asyncio.Task[object]] = set()
        self._other_sessions: set[asyncio.Task[object]] = set()

    async def stop(self) -> None:
        """Drop all sessions."""
        sessions = (self._local_sessions | self._other_sessions) - {asyncio.current_task()}
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    async def serve(self, stream: ByteStream) -> None:
        """Hold one session. Ends quietly when the client goes; cancelling drops the stream."""
        logger.debug("client connected: %s", stream.origin)
        session = asyncio.current_task()
        assert session is not None
        alike = self._local_sessions if stream.origin.is_local else self._other_sessions
        alike.add(session)
        try:
            if len(alike) > self._limits.clients:
                await self._turn_away(stream)
            else:
                await self._converse(stream)
            await stream.finish()
        except (ConnectionError, PeerError) as error:
            logger.debug("client lost: %s: %s", stream.origin, error)
            stream.close()
        except asyncio.CancelledError:
            stream.close()
            raise
        except Exception:  # The boundary of a session: a defect of ours must not reach anybody else.
            logger.exception("a defect of this program, please report it; %s is cut off", stream.origin)
            stream.close()
        finally:
            alike.remove(session)
            logger.debug("client gone: %s", stream.origin)

    async def _turn_away(self, stream: ByteStream) -> None:
        logger.info("turned away %s: there are %d control sessions already", stream.origin, self._limits.clients)
        await stream.write(b"ERROR: this node has as many control sessions as its limits allow; try again later\n")

    async def _converse(self, stream: ByteStream) -> None:
        await stream.write(self._greeting)
        try:
            while (line := await stream.readline(self._limits.control_line)) and await self._command(line, stream):
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
            answer = None if isinstance(command, Multiplex) else await self._dispatch(command, stream)
        except ReceptorError as error:
            logger.debug("refused a command of %s: %s", stream.origin, error)
            await stream.write(refusal(error) + b"\n")
            return True
        if isinstance(command, Multiplex):
            await self._multiplex(stream)
        if answer is None:
            return False
        await stream.write(await _encoded(answer) + b"\n")
        return True

    async def _multiplex(self, stream: ByteStream) -> None:
        async def carry_out(command: Command, stream: ByteStream) -> bytes:
            answer = await self._dispatch(command, stream)
            assert answer is not None
            return await _encoded(answer)

        await stream.write(b'{"Multiplexed":true}\n')
        await MultiplexedSession(stream, carry_out, self._limits.control_line).serve()


async def _encoded(answer: Answer) -> bytes:
    """The answer in JSON. Others have their turn between the parts of a large one; in a thread they would not."""
    if isinstance(answer, msgspec.Struct) or len(answer) <= ENTRIES_AT_A_TIME:
        return msgspec.json.encode(answer)
    entries = iter(answer.items())
    parts = []
    while part := dict(islice(entries, ENTRIES_AT_A_TIME)):
        parts.append(msgspec.json.encode(part)[1:-1])
        await asyncio.sleep(0)
    return b"{" + b",".join(parts) + b"}"
