"""Numbered messages, which let many commands share one control session (docs/control-protocol.md, "multiplex").

A message is a line ``<number> <size> <text>``, then as many attached bytes as it says. Towards a node the text is a
command and what is attached its payload; back, the text is the answer and what is attached the output with it.
"""

from __future__ import annotations

import msgspec

from receptor.errors import PeerError
from receptor.node.byte_stream import ByteStream

MOST_ATTACHED = 64 * 1024
"""Bytes. What is longer has a stream of its own."""

_LONGEST_NUMBER = 15


class Message(msgspec.Struct, frozen=True):
    """A command, or the answer with the same number."""

    number: int
    text: bytes
    """One line, without its end."""
    attached: bytes = b""


def encode(message: Message) -> bytes:
    """The message as it goes over a stream."""
    return b"%d %d %b\n%b" % (message.number, len(message.attached), message.text, message.attached)


async def read(stream: ByteStream, longest_line: int) -> Message | None:
    """The next message; None at the end of the stream.

    Raises PeerError if it is none or too long, ConnectionError if the stream breaks or ends amid it.
    """
    line = await stream.readline(longest_line)
    if not line:
        return None
    if not line.endswith(b"\n"):
        raise ConnectionResetError("the stream ended amid a numbered message")
    digits, _, rest = line[:-1].partition(b" ")
    number = _bounded(digits, 10**_LONGEST_NUMBER)
    digits, _, text = rest.partition(b" ")
    return Message(number, text, await stream.read_exactly(_bounded(digits, MOST_ATTACHED)))


def _bounded(digits: bytes, most: int) -> int:
    if not (digits.isdigit() and len(digits) <= _LONGEST_NUMBER and int(digits) <= most):
        raise PeerError(f"a numbered message can't begin like that: {digits[:40]!r}")
    return int(digits)
