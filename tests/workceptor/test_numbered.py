from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_stream import Script, ScriptedStream

from receptor.errors import PeerError
from receptor.workceptor.numbered import MOST_ATTACHED, Message, encode, read

LONGEST_LINE = 1000

messages = st.builds(
    Message,
    st.integers(0, 10**15 - 1),
    st.binary(max_size=100).filter(lambda text: b"\n" not in text),
    st.binary(max_size=200),
)


def read_all(stream: ScriptedStream) -> list[Message]:
    async def collect() -> list[Message]:
        found = []
        while (message := await read(stream, LONGEST_LINE)) is not None:
            found.append(message)
        return found

    return asyncio.run(collect())


@given(st.lists(messages, max_size=5), st.integers(1, 50))
def test_whatever_is_written_is_read_in_whatever_pieces(said: list[Message], piece: int) -> None:
    written = b"".join(map(encode, said))
    pieces = [written[start : start + piece] for start in range(0, len(written), piece)]
    assert read_all(ScriptedStream(*pieces)) == said


def test_as_the_page_of_the_protocol_has_it() -> None:
    assert encode(Message(2, b'{"State":1}', b"hello\n")) == b'2 6 {"State":1}\nhello\n'
    assert encode(Message(6, b"work status nosuch12")) == b"6 0 work status nosuch12\n"


def test_as_much_attached_as_allowed() -> None:
    message = Message(1, b"x", bytes(MOST_ATTACHED))
    assert read_all(ScriptedStream(encode(message))) == [message]


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"status\n",
        b"1\n",
        b"1 \n",
        b"1 x y\n",
        b"-1 0 status\n",
        b"1 -1 status\n",
        b"+1 0 status\n",
        b"1_0 0 status\n",
        b" 1 0 status\n",
        b"1  0 status\n",
        b"1000000000000000 0 status\n",
        b"1 %d status\n" % (MOST_ATTACHED + 1),
        b"1 00000000000000000000 status\n",
        "٣ 0 status\n".encode(),
        b"x" * (LONGEST_LINE + 1) + b"\n",
    ],
    ids=lambda line: repr(line[:24]),
)
def test_what_is_no_message_ends_the_session(line: bytes) -> None:
    with pytest.raises(PeerError):
        read_all(ScriptedStream(line))


@pytest.mark.parametrize("cut", [b"1", b"1 5 text", b"1 5 text\nhell"], ids=repr)
def test_half_a_message_is_a_broken_stream(cut: bytes) -> None:
    with pytest.raises(ConnectionError):
        read_all(ScriptedStream(cut))
    with pytest.raises(ConnectionError):
        read_all(ScriptedStream(cut, Script.BREAK))


def test_nothing_is_read_beyond_the_message() -> None:
    async def check() -> None:
        stream = ScriptedStream(encode(Message(1, b"a", b"b")) + b"rest\n")
        assert await read(stream, LONGEST_LINE) == Message(1, b"a", b"b")
        assert await stream.readline(LONGEST_LINE) == b"rest\n"

    asyncio.run(check())
