"""Packets in a byte stream: each behind its length as two bytes, little-endian (mesh protocol, section 1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from receptor.netceptor.packets import LARGEST_PACKET

_LENGTH_SIZE = 2


class Framer:
    """Cuts a stream of bytes into packets; keeps at most one unfinished packet."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are whole now. An empty packet is a legal frame, and the receiver's to judge."""
        buffer = self._rest + data if self._rest else data
        packets = []
        start = 0
        while len(buffer) - start >= _LENGTH_SIZE:
            end = start + _LENGTH_SIZE + int.from_bytes(buffer[start : start + _LENGTH_SIZE], "little")
            if end > len(buffer):
                break
            packets.append(buffer[start + _LENGTH_SIZE : end])
            start = end
        self._rest = buffer[start:]
        return packets


def frames(packets: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of packets, in pieces to be written one after the other."""
    for packet in packets:
        if len(packet) > LARGEST_PACKET:
            raise ValueError(f"a packet of {len(packet)} bytes does not fit a frame")
        yield len(packet).to_bytes(_LENGTH_SIZE, "little")
        yield packet
