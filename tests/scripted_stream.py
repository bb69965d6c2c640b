"""A byte stream whose far end is a script."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import Enum, auto

from receptor.node.byte_stream import LOCAL_CLIENT, ByteStream, Carrier, Origin
from receptor.workceptor.conversations import Answer, command_line, read_line

FAR_CLIENT = Origin(Carrier.MESH, "far", "far:abcdefgh")


class Script(Enum):
    """What a far end does besides sending bytes."""

    BREAK = auto()
    SILENCE = auto()
    """It neither sends nor leaves, for ever."""


class ScriptedStream(ByteStream):
    """Plays the script to its reader and then ends; keeps what is written.

    After ``breaks_after`` bytes writing fails.
    """

    def __init__(self, *script: bytes | Script, origin: Origin = LOCAL_CLIENT, breaks_after: int | None = None) -> None:
        super().__init__(origin)
        self.written = b""
        self.is_ended = self.is_finished = self.is_closed = False
        self.leaves = asyncio.Event()
        """To be set when the far end is to be gone altogether."""
        self.silent = asyncio.Event()
        """Set while the reader waits for what will never come."""
        self._got_more = asyncio.Event()
        self._script = deque(script)
        self._breaks_after = breaks_after

    async def _receive(self) -> bytes:
        if not self._script:
            return b""
        match self._script.popleft():
            case bytes() as data:
                return data
            case Script.BREAK:
                raise ConnectionResetError("the script breaks here")
            case Script.SILENCE:
                self.silent.set()
                await asyncio.get_running_loop().create_future()
                raise AssertionError("silence has no end")

    async def has_got(self, ending: bytes) -> None:
        """Wait until what was written ends like that."""
        while not self.written.endswith(ending):
            self._got_more.clear()
            await self._got_more.wait()

    async def write(self, data: bytes) -> None:
        self.written += data
        self._got_more.set()
        if self._breaks_after is not None and len(self.written) > self._breaks_after:
            raise ConnectionResetError("the far end has left")

    async def end(self) -> None:
        self.is_ended = True

    @property
    def has_left(self) -> bool:
        return self.leaves.is_set()

    async def left(self) -> None:
        await self.leaves.wait()

    async def finish(self) -> None:
        self.is_finished = True

    def close(self) -> None:
        self.is_closed = True

    @property
    def lines(self) -> list[str]:
        """The lines that were written; each is whole."""
        text = self.written.decode()
        assert not text or text.endswith("\n")
        return text.split("\n")[:-1]


class ScriptedSession:
    """A session for short commands, each of which is answered by the next line of the script."""

    def __init__(self, stream: ScriptedStream) -> None:
        self.payloads: list[bytes] = []
        self._stream = stream

    async def ask(self, fields: Mapping[str, str | int], payload: bytes = b"") -> Answer:
        self.payloads.append(payload)
        await self._stream.write(command_line(fields))
        return Answer(await read_line(self._stream))
