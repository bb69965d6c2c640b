"""Numbers that stand for what a node knows: two tables with the same digest hold the same."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from receptor.netceptor.messages import Advertisement

_encoder = msgspec.json.Encoder(order="deterministic")


def digest_of(node: str, epoch: int, edges: Mapping[str, float]) -> int:
    """The digest of a run of a node with these edges; its repetitions have the same."""
    return _number(_encoder.encode((node, epoch, edges)))


def digest_of_service(advertisement: Advertisement) -> int:
    """The digest of a service, whenever it was advertised; 0 for one that has ended."""
    if advertisement.cancel:
        return 0
    return _number(_encoder.encode(msgspec.structs.replace(advertisement, time="")))


def _number(text: bytes) -> int:
    """Digests are combined by exclusive or; so the bits of each must depend on all of the text."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
