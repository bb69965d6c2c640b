"""Two-way byte streams, whatever carries them: Unix sockets, TCP connections, streams of the mesh."""

from __future__ import annotations

import asyncio
import enum
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import msgspec

from receptor.errors import PeerError

CHUNK = 256 * 1024

DELIVERY_TIME = 2.0
"""Seconds that what was written has to arrive before a break is passed on, which would overtake it."""


class Carrier(enum.Enum):
    """What a stream comes by."""

    UNIX = "local"
    """The Unix socket of this machine, which its file mode guards."""
    TCP = "tcp"
    MESH = "node"


class Origin(msgspec.Struct, frozen=True):
    """Where the other end of a stream is.

    ``host`` is the IP address of a client over TCP, the id of a node of the mesh; ``name`` tells in full for people.
    """

    carrier: Carrier
    host: str
    name: str

    @property
    def is_local(self) -> bool:
        """Whether it is a client of the Unix socket."""
        return self.carrier is Carrier.UNIX

    @property
    def who(self) -> str:
        """Whose stream it is, the same for all streams of theirs: ``local``, ``tcp 192.0.2.7``, ``node foo``."""
        # The host as it is: a node may well have the id of another one with a blank at its end.
        return self.carrier.value if self.is_local else f"{self.carrier.value} {self.host}"

    def __str__(self) -> str:
        return self.name


LOCAL_CLIENT = Origin(Carrier.UNIX, "", "a local client")


class LineTooLong(PeerError):
    """The other end sent a line of more bytes than its reader allows."""


class Truncated(ConnectionError):
    """What the other end sent stops before the end that it would have announced. It may have left without a word."""


class ByteStream(ABC):
    """A stream whose two directions end separately.

    Reading and writing raise ConnectionError if the stream breaks. Each direction has one user at a time.
    Cancelling a read loses nothing; cancelling a write leaves unknown how much was written.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._ahead = bytearray()

    async def read(self) -> bytes:
        """The next bytes, as they come; none at the end."""
        return self._take_ahead() or await self._receive()

    async def read_much(self) -> bytes:
        """The next bytes, none at the end; for who needs nothing of them before the end.

        So a carrier may collect them, which takes less work for each.
        """
        return self._take_ahead() or await self._receive_much()

    async def readline(self, limit: int) -> bytes:
        """The bytes up to and with the next newline, or the rest at the end. Raises LineTooLong past the limit."""
        searched = 0
        while (end := self._ahead.find(b"\n", searched) + 1) == 0 and len(self._ahead) <= limit:
            searched = len(self._ahead)
            data = await self._receive()
            if not data:
                end = searched
                break
            self._ahead += data
        if end > limit or (end == 0 and self._ahead):
            raise LineTooLong(f"a line is longer than {limit} bytes")
        line = bytes(self._ahead[:end])
        del self._ahead[:end]
        return line

    async def read_exactly(self, size: int) -> bytes:
        """So many bytes. Raises ConnectionResetError if the stream ends before."""
        while len(self._ahead) < size:
            data = await self._receive()
            if not data:
                raise ConnectionResetError("the stream ended amid a message")
            self._ahead += data
        data = bytes(self._ahead[:size])
        del self._ahead[:size]
        return data

    @abstractmethod
    async def _receive(self) -> bytes:
        """The next bytes from the carrier; none at the end."""

    def _take_ahead(self) -> bytes:
        data = bytes(self._ahead)
        self._ahead.clear()
        return data

    async def _receive_much(self) -> bytes:
        return await self._receive()

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Write; returns when there is room for more."""

    @abstractmethod
    async def end(self) -> None:
        """Close our direction: the other end reads to the end of what was written."""

    @property
    def is_watched(self) -> bool:
        """Whether the task that serves the stream is cancelled when the other end leaves, so that it need not look."""
        return False

    @property
    def has_left(self) -> bool:
        """Whether the other end is known to be gone altogether, after the end of what it sent."""
        return False

    @abstractmethod
    async def left(self) -> None:
        """Wait until the other end is gone altogether; for ever if the carrier can't tell. Cancel it before the end."""

    @abstractmethod
    async def finish(self) -> None:
        """Be done with the stream in both directions; what was written is still delivered."""

    async def delivered(self) -> None:
        """Wait until the machine at the other end has what was written; returns at once if nobody here can tell."""
        await asyncio.sleep(0)

    @abstractmethod
    def close(self) -> None:
        """Drop the stream at once; what was written may be lost."""


@contextmanager
def breaks_as_connection_error() -> Iterator[None]:
    """A connection also breaks by a timeout or a lost network, which Python does not count as ConnectionErrors."""
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        raise ConnectionResetError(error.strerror or str(error)) from error


@asynccontextmanager
async def while_there(stream: ByteStream) -> AsyncIterator[None]:
    """Does the body as long as the other end is there; raises ConnectionResetError in it when that leaves."""
    if stream.is_watched:
        yield
        return
    task = asyncio.current_task()
    assert task is not None

    has_left = False

    async def leave() -> None:
        nonlocal has_left
        try:
            await stream.left()
        except OSError:
            return  # Out of descriptors to watch it with: then the next write finds out.
        has_left = True
        task.cancel()

    leaving = asyncio.create_task(leave(), name=f"watch {stream.origin}")
    try:
        yield
    except asyncio.CancelledError:
        if has_left and task.uncancel() == 0:
            raise ConnectionResetError("the other end has left") from None
        raise
    finally:
        leaving.cancel()
        await asyncio.wait([leaving])


async def copy(source: ByteStream, target: ByteStream) -> None:
    """Copy until the source ends, then end the target's direction too."""
    while data := await source.read():
        await target.write(data)
    await target.end()


async def bridge(one: ByteStream, other: ByteStream) -> None:
    """Join two streams until both directions have ended; a break of either ends both. Cancelling drops both.

    When an end has left altogether and all that it said is passed on, the bridge is over: nobody reads the rest.
    """
    whole = False
    try:
        async with asyncio.TaskGroup() as tasks:
            forth = tasks.create_task(copy(one, other), name=f"copy {one.origin} to {other.origin}")
            back = tasks.create_task(copy(other, one), name=f"copy {other.origin} to {one.origin}")
            tasks.create_task(_end_unread(one, forth, back), name=f"watch {one.origin}")
            tasks.create_task(_end_unread(other, back, forth), name=f"watch {other.origin}")
        whole = True
    except* Truncated:
        # Programs that announce no end mean it when they leave: all they said should arrive. The mesh can't tell if so.
        await asyncio.sleep(DELIVERY_TIME)
    except* ConnectionError:
        with suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_TIME):
                await one.delivered()
                await other.delivered()
    finally:
        # A break is passed on by dropping both ends.
        if not whole:
            one.close()
            other.close()
    if whole:
        await one.finish()
        await other.finish()


async def _end_unread(reader: ByteStream, its_own: asyncio.Task[None], answers: asyncio.Task[None]) -> None:
    """Cancel the answers once their reader has left, after its own bytes have been passed on."""
    await asyncio.wait([its_own])
    leaving = asyncio.create_task(_left(reader), name=f"watch {reader.origin}")
    try:
        await asyncio.wait([leaving, answers], return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            answers.cancel()
    finally:
        leaving.cancel()
        await asyncio.wait([leaving])


async def _left(stream: ByteStream) -> None:
    try:
        await stream.left()
    except OSError:
        # Out of descriptors to watch it with: then the next write finds out.
        await asyncio.get_running_loop().create_future()
