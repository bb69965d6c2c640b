from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from event_loops import EventLoop

from receptor.client.connection import CHUNK_BYTES
from receptor.client.payloads import AsyncPayload, Payload, async_chunks, chunks
from receptor.errors import OperatingError


def parts_of(payload: Payload) -> list[bytes]:
    with chunks(payload) as parts:
        return list(parts)


async def async_parts_of(payload: AsyncPayload) -> list[bytes]:
    async with async_chunks(payload) as parts:
        return [part async for part in parts]


def test_the_kinds_of_payloads(run: EventLoop, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"of a file")
    expected: list[tuple[Payload, list[bytes]]] = [
        (b"bytes", [b"bytes"]),
        (bytearray(b"an array"), [b"an array"]),
        (memoryview(b"a view"), [b"a view"]),
        ("gr\u00fc\u00dfe", ["gr\u00fc\u00dfe".encode()]),
        (tmp_path / "file", [b"of a file"]),
        ([b"one", b"", b"two"], [b"one", b"two"]),
    ]
    for payload, parts in expected:
        assert parts_of(payload) == parts
        assert run(async_parts_of(payload)) == parts


def test_what_is_long_comes_in_pieces(run: EventLoop) -> None:
    """Each has its own time to be sent, and TLS its own memory."""
    long = bytes(2 * CHUNK_BYTES + 1)

    async def one_part() -> AsyncIterator[bytes]:
        yield long

    for pieces in (parts_of(long), parts_of([long]), run(async_parts_of(one_part()))):
        assert [len(piece) for piece in pieces] == [CHUNK_BYTES, CHUNK_BYTES, 1]


def test_asynchronous_parts(run: EventLoop) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b"two"

    assert run(async_parts_of(numbers())) == [b"one", b"two"]


def test_a_pipe_gives_what_there_is_and_is_left_open() -> None:
    sink, source = os.pipe()
    with open(sink, "rb") as file, chunks(file) as parts:
        os.write(source, b"first")
        assert next(parts) == b"first"
        os.write(source, b"second")
        os.close(source)
        assert list(parts) == [b"second"]
        assert not file.closed


def test_a_file_that_can_not_be_read(run: EventLoop, tmp_path: Path) -> None:
    with pytest.raises(OperatingError, match="can't read the payload file"):
        parts_of(tmp_path / "nosuch")
    with pytest.raises(OperatingError, match="can't read the payload file"):
        run(async_parts_of(tmp_path / "nosuch"))
    with open(tmp_path / "write-only", "wb") as file, pytest.raises(OperatingError, match="to its end"):
        parts_of(cast(BinaryIO, FailingFile(file)))


class FailingFile:
    """A file whose disk breaks."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        return os.read(self._file.fileno(), size)


def test_what_is_no_payload(run: EventLoop) -> None:
    with pytest.raises(TypeError, match="int is no payload"):
        parts_of(cast(bytes, 5))
    for wrong in (io.StringIO("a text file"), ["a text"], [5]):
        with pytest.raises(TypeError, match="a payload consists of bytes"):
            parts_of(cast(BinaryIO, wrong))
        with pytest.raises(TypeError, match="a payload consists of bytes"):
            run(async_parts_of(cast(BinaryIO, wrong)))
