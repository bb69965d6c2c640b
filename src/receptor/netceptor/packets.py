"""Packets as bytes: their kinds, and the 36-byte header of data packets (mesh protocol, sections 2 and 4)."""

from __future__ import annotations

import struct

import msgspec

from receptor.errors import PeerError
from receptor.netceptor.highwayhash import name_hash

DATA = 0
ROUTING_UPDATE = 1
ADVERTISEMENT = 2
REJECT = 3
REJECT_PACKET = b"\x03[]"

LARGEST_PACKET = 65_535
MESH_MTU = 16_384
MOST_HOPS = 30

_HEADER = struct.Struct(">BBxxQQ8s8s")
HEADER_SIZE = _HEADER.size


class Header(msgspec.Struct, frozen=True):
    """The header of a data packet. Nodes are still hashes here: only a node that needs the names looks them up."""

    hops: int
    from_node: int
    to_node: int
    from_service: str
    to_service: str


class Address(msgspec.Struct, frozen=True):
    """A service on a node: where a datagram comes from or goes to."""

    node: str
    service: str

    def __str__(self) -> str:
        return f"{self.node}:{self.service}"


class Datagram(msgspec.Struct, frozen=True):
    """A data packet with its names known, as services send and receive it."""

    source: Address
    destination: Address
    payload: bytes


def decode_header(packet: bytes) -> Header:
    """The header of a data packet. Raises PeerError if it is too short.

    A service name that is not UTF-8 gets replacement characters, and so fits no service: who broke the rules may be
    far away, behind nodes that don't look at services, and this link should not pay for it.
    """
    if len(packet) < HEADER_SIZE:
        raise PeerError(f"a data packet of {len(packet)} bytes is shorter than its header of {HEADER_SIZE}")
    _, hops, from_node, to_node, from_service, to_service = _HEADER.unpack_from(packet)
    return Header(hops, from_node, to_node, _service(from_service), _service(to_service))


def encode_datagram(datagram: Datagram, hops: int) -> bytes:
    """The data packet of a datagram; ``hops`` is what the next node reads."""
    source, destination = datagram.source, datagram.destination
    header = _HEADER.pack(
        DATA,
        hops,
        name_hash(source.node),
        name_hash(destination.node),
        source.service.encode(),
        destination.service.encode(),
    )
    return header + datagram.payload


def with_hops(packet: bytes, hops: int) -> bytes:
    """The same data packet with other hops to live; forwarding changes nothing else."""
    return b"%c%c%b" % (DATA, hops, packet[2:])


def _service(field: bytes) -> str:
    return field.rstrip(b"\0").decode(errors="replace")
