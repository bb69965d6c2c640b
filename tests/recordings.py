"""What two existing nodes, foo and bar, said to each other on their link (tests/data/packets.json)."""

from __future__ import annotations

from pathlib import Path

import msgspec

DATA_FOLDER = Path(__file__).parent / "data"


class RecordedPacket(msgspec.Struct, frozen=True, rename={"direction": "dir"}):
    """One packet; the services are given for data packets only."""

    direction: str
    hex: str
    from_service: str = ""
    to_service: str = ""

    @property
    def raw(self) -> bytes:
        return bytes.fromhex(self.hex)


class _Recording(msgspec.Struct, frozen=True):
    packets: list[RecordedPacket]


def recorded_packets(kind: int) -> list[RecordedPacket]:
    """The packets whose first byte is that."""
    recording = msgspec.json.decode((DATA_FOLDER / "packets.json").read_bytes(), type=_Recording)
    found = [packet for packet in recording.packets if packet.raw[0] == kind]
    assert found
    return found
