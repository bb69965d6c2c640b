"""What may be a payload, and how it is read: part after part, never as a whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, runtime_checkable

from receptor.client.connection import CHUNK_BYTES
from receptor.errors import OperatingError

Payload: TypeAlias = bytes | bytearray | memoryview | str | Path | BinaryIO | Iterable[bytes]
"""Bytes, a text (sent as UTF-8), the path of a file (a ``Path``, as a text is a text), a file that was opened to read
bytes, or bytes part after part."""

AsyncPayload: TypeAlias = Payload | AsyncIterable[bytes]


@runtime_checkable
class _File(Protocol):
    def read(self, size: int, /) -> bytes: ...


@contextmanager
def chunks(payload: Payload) -> Iterator[Iterator[bytes]]:
    """The parts of a payload; raises OperatingError if its file can't be read, TypeError if it is no payload."""
    with _opened(payload) as source:
        yield _parts(source)


@asynccontextmanager
async def async_chunks(payload: AsyncPayload) -> AsyncIterator[AsyncIterator[bytes]]:
    """As ``chunks``, for asyncio: files are read in a thread."""
    if isinstance(payload, AsyncIterable):
        async with aclosing(_async_parts(payload)) as parts:
            yield parts
    else:
        with _opened(payload) as source:
            async with aclosing(_parts_in_thread(source)) as parts:
                yield parts


@contextmanager
def _opened(payload: Payload) -> Iterator[bytes | _File | Iterable[bytes]]:
    if isinstance(payload, str):
        yield payload.encode()
    elif isinstance(payload, (bytes, bytearray, memoryview)):
        yield bytes(payload)
    elif isinstance(payload, Path):
        try:
            file = payload.open("rb")
        except OSError as error:
            raise OperatingError(
                f"can't read the payload file {payload}: {error.strerror}; correct its name"
            ) from error
        with file:
            yield file
    elif isinstance(payload, Iterable) or hasattr(payload, "read"):
        yield payload
    else:
        raise TypeError(f"{type(payload).__name__} is no payload; give bytes, a text, a Path, a file or parts of bytes")


def _parts(source: bytes | _File | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield from _pieces(source)
    elif isinstance(source, _File):
        while chunk := _read(source):
            yield chunk
    else:
        for part in source:
            yield from _pieces(_checked(part))


def _pieces(part: bytes) -> Iterator[bytes]:
    """The part in pieces, each with its own time to be sent; none of an empty part, which is not the end."""
    for start in range(0, len(part), CHUNK_BYTES):
        yield part[start : start + CHUNK_BYTES]


async def _parts_in_thread(source: bytes | _File | Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    import asyncio

    if isinstance(source, _File):
        while chunk := await asyncio.to_thread(_read, source):
            yield chunk
    else:
        for part in _parts(source):
            yield part


async def _async_parts(source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    async for part in source:
        for piece in _pieces(_checked(part)):
            yield piece


def _read(file: _File) -> bytes:
    """The next bytes of a file as soon as there are any, where its kind can tell."""
    read = getattr(file, "read1", file.read)
    try:
        return _checked(read(CHUNK_BYTES))
    except OSError as error:
        raise OperatingError(f"can't read the payload to its end: {error.strerror}") from error


def _checked(part: object) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, (bytearray, memoryview)):
        return bytes(part)
    raise TypeError(f"a payload consists of bytes, not of {type(part).__name__}; open files with 'rb', encode texts")
