"""A control session that many commands share: numbered, carried out at once, answered as each is ready.

So another node of ours needs one stream for all that it has to say of its units (docs/control-protocol.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from receptor.control.commands import (
    Command,
    Connect,
    FollowEvents,
    Multiplex,
    ShowStatus,
    WorkList,
    WorkResults,
    acts,
    parse,
)
from receptor.errors import CommandError, PeerError, ReceptorError
from receptor.node.byte_stream import ByteStream, Origin
from receptor.workceptor import numbered
from receptor.workceptor.numbered import MOST_ATTACHED, Message

logger = logging.getLogger("receptor.control")

CarryOut = Callable[[Command, ByteStream], Awaitable[bytes]]
"""Carries out a command; gives its answer, a line without its end, and raises ReceptorError."""

MOST_AT_ONCE = 20_000
"""Commands of one session that are being carried out or wait for news."""

MOST_HELD = 8 * 1024 * 1024
"""Bytes of commands and payloads that one session may have us hold until they are answered; what follows then waits."""

LONG_ANSWERS = 16
"""Answers of one session that may be long and are being made, or wait for the other end to read; others wait."""


class NumberedCommand(ByteStream):
    """What the handler of a command takes for the stream: the payload comes out, and what is written is kept.

    ``turns`` are those to make an answer that may be long.
    """

    def __init__(self, origin: Origin, payload: bytes, turns: asyncio.Semaphore) -> None:
        super().__init__(origin)
        self._payload = payload
        self._turns = turns
        self._has_turn = False
        self.attached = b""

    async def turn(self) -> None:
        """Wait until an answer that may be long may be made: else one who reads none could fill our memory."""
        if not self._has_turn:
            await self._turns.acquire()
            self._has_turn = True

    def answered(self) -> None:
        """The answer is on its way, or never will be."""
        if self._has_turn:
            self._has_turn = False
            self._turns.release()

    async def _receive(self) -> bytes:
        payload, self._payload = self._payload, b""
        return payload

    async def write(self, data: bytes) -> None:
        """Nothing: lines that come before the answer are for those who wait for them."""

    def attach(self, data: bytes) -> None:
        """Send these bytes with the answer; at most MOST_ATTACHED."""
        assert len(data) <= MOST_ATTACHED
        self.attached = data

    async def end(self) -> None:
        """Nothing; the answer is the end."""

    @property
    def is_watched(self) -> bool:
        return True

    async def left(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def finish(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class MultiplexedSession:
    """One session, from the answer to ``multiplex`` on."""

    def __init__(self, stream: ByteStream, carry_out: CarryOut, longest_line: int) -> None:
        self._stream = stream
        self._carry_out = carry_out
        self._longest_line = longest_line
        self._looking: set[asyncio.Task[None]] = set()
        """Commands that only look: nobody misses them when the session ends."""
        self._acting: set[asyncio.Task[None]] = set()
        """Commands that change something are carried out to their end."""
        self._held = 0
        self._has_room = asyncio.Event()
        self._turns = asyncio.Semaphore(LONG_ANSWERS)
        self._writing = asyncio.Lock()

    async def serve(self) -> None:
        """Carry out commands until the other end leaves.

        Raises ConnectionError, and PeerError if what comes is no numbered command. Cancelling drops all commands.
        """
        try:
            while (message := await numbered.read(self._stream, self._longest_line)) is not None:
                await self._begin(message)
                await asyncio.sleep(0)  # Many commands in one read must not hold up everybody else.
                while self._held > MOST_HELD:
                    self._has_room.clear()
                    await self._has_room.wait()
        except asyncio.CancelledError:
            for task in self._acting:
                task.cancel()
            raise
        finally:
            for task in self._looking:
                task.cancel()
            await asyncio.gather(*self._looking, *self._acting, return_exceptions=True)

    async def _begin(self, message: Message) -> None:
        if len(self._looking) + len(self._acting) >= MOST_AT_ONCE:
            # Told as a refusal, it would leave open whether the same command, said before, was carried out.
            raise PeerError(f"more than {MOST_AT_ONCE} commands of one session wait for their answers")
        try:
            command = parse(message.text)
            if isinstance(command, Connect | FollowEvents | Multiplex | WorkResults):
                raise CommandError("this command needs a session of its own")
        except CommandError as error:
            # Not in a task: who reads no answers is not to give commands either.
            await self._answer(message.number, refusal(error))
            return
        self._held += len(message.text) + len(message.attached)
        tasks = self._acting if acts(command) else self._looking
        task = asyncio.create_task(self._serve(message, command), name=f"serve {self._stream.origin}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _serve(self, message: Message, command: Command) -> None:
        stream = NumberedCommand(self._stream.origin, message.attached, self._turns)
        try:
            if isinstance(command, ShowStatus | WorkList):
                await stream.turn()
            answer = await self._answer_to(command, stream)
            await self._answer(message.number, answer, stream.attached)
        finally:
            stream.answered()
            self._held -= len(message.text) + len(message.attached)
            self._has_room.set()

    async def _answer_to(self, command: Command, stream: NumberedCommand) -> bytes:
        try:
            return await self._carry_out(command, stream)
        except ReceptorError as error:
            return refusal(error)
        except Exception:  # The boundary of a command: a defect of ours must not cost the others their session.
            logger.exception("a defect of this program, please report it; %s is told so", self._stream.origin)
            return b"ERROR: a defect of this node, see its log"

    async def _answer(self, number: int, text: bytes, attached: bytes = b"") -> None:
        # Without anybody to hear it, what was asked for is done all the same.
        with suppress(ConnectionError):
            async with self._writing:
                await self._stream.write(numbered.encode(Message(number, text, attached)))


def refusal(error: ReceptorError) -> bytes:
    """The answer to a command that is refused or failed, a line without its end."""
    return f"ERROR: {' '.join(str(error).split())}".encode()
