from __future__ import annotations

import pytest

from receptor.client.address import UnixAddress
from receptor.client.received import Received
from receptor.errors import PeerError, UnreachableError


@pytest.fixture
def received() -> Received:
    return Received(UnixAddress("/s"))


def test_lines_and_what_comes_after_them(received: Received) -> None:
    for chunk in (b"fir", b"st\nsecond\n", b"re", b"st"):
        received.add(chunk, "a line")
    assert [received.line("a line", 10) for _ in range(3)] == [b"first", b"second", None]
    assert (received.take(), bool(received), received.take()) == (b"rest", False, b"")
    received.add(b"x\n", "a line")
    assert received.line("a line", 10) == b"x"


def test_the_end_before_a_line(received: Received) -> None:
    received.add(b"half", "its greeting")
    with pytest.raises(UnreachableError, match="/s closed the connection instead of sending its greeting"):
        received.add(b"", "its greeting")


def test_a_line_that_is_too_long(received: Received) -> None:
    received.add(b"12345", "its greeting")
    with pytest.raises(PeerError, match="more than 4 bytes as its greeting"):
        received.line("its greeting", 4)
