"""A byte stream whose far end is the test, which speaks, listens and leaves as it goes along."""

from __future__ import annotations

import asyncio
from collections import deque

from scripted_stream import FAR_CLIENT

from receptor.node.byte_stream import ByteStream, Origin
from receptor.workceptor import numbered
from receptor.workceptor.numbered import Message


class TwoWayStream(ByteStream):
    """Hands its reader what the test says, and keeps what is written; a write takes a few turns of the loop."""

    def __init__(self, origin: Origin = FAR_CLIENT) -> None:
        super().__init__(origin)
        self.written = bytearray()
        self.is_closed = self.is_finished = False
        self.reads = asyncio.Event()
        """Cleared as long as the far end reads nothing, so that who writes has to wait."""
        self.reads.set()
        self._said: deque[bytes] = deque()
        self._is_over = False
        self._is_broken = False
        self._is_waiting = False
        self._changed = asyncio.Event()

    # What the test does

    def say(self, data: bytes) -> None:
        self._said.append(data)
        self._notify()

    def ask(self, number: int, command: bytes, attached: bytes = b"") -> None:
        self.say(numbered.encode(Message(number, command, attached)))

    def leave(self) -> None:
        """End what is said, in order."""
        self._is_over = True
        self._notify()

    def break_off(self) -> None:
        """Be gone all of a sudden."""
        self._is_broken = True
        self.reads.set()
        self._notify()

    @property
    def all_is_read(self) -> bool:
        """Whether the reader has read everything that was said, and waits for more."""
        return self._is_waiting and not self._said

    async def until_all_is_read(self) -> None:
        while not self.all_is_read:
            await self._change()

    async def line(self) -> str:
        """The next line that is written, without its end; it is taken away."""
        while b"\n" not in self.written:
            await self._change()
        end = self.written.index(b"\n") + 1
        line = bytes(self.written[:end])
        del self.written[:end]
        return line[:-1].decode()

    async def answer(self) -> Message:
        """The next answer with a number; it is taken away."""
        number, size, text = (await self.line()).split(" ", 2)
        while len(self.written) < int(size):
            await self._change()
        attached = bytes(self.written[: int(size)])
        del self.written[: int(size)]
        return Message(int(number), text.encode(), attached)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # What the node does

    async def _receive(self) -> bytes:
        while not self._said:
            if self._is_broken:
                raise ConnectionResetError("the test breaks off")
            if self._is_over:
                return b""
            self._is_waiting = True
            self._notify()
            await self._change()
            self._is_waiting = False
        return self._said.popleft()

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), max(1, len(data) // 3)):
            await self.reads.wait()
            if self._is_broken:
                raise ConnectionResetError("the test broke off")
            self.written += data[start : start + max(1, len(data) // 3)]
            self._notify()
            await asyncio.sleep(0)

    async def end(self) -> None:
        """The test does not care."""

    async def left(self) -> None:
        while not self._is_broken:
            await self._change()

    async def finish(self) -> None:
        self.is_finished = True

    def close(self) -> None:
        self.is_closed = True
