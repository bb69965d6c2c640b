"""HighwayHash-64 under a key of 32 zero bytes, which turns names into the eight bytes of a data packet.

Source: Alakuijala, Cox, Wassenberg, "Fast keyed hash/pseudo-random function using SIMD multiply and permute"
(2017), portable variant. There is no kept package; names are hashed once each, so plain Python is fast enough.
"""

from __future__ import annotations

from functools import lru_cache

_MASK = (1 << 64) - 1
_LOW = 0xFFFFFFFF
_BLOCK = 32
_MULTIPLIER_0 = (0xDBE6D5D5FE4CCE2F, 0xA4093822299F31D0, 0x13198A2E03707344, 0x243F6A8885A308D3)
_MULTIPLIER_1 = (0x3BD39E10CB0EF593, 0xC0ACF169B5F18A8C, 0xBE5466CF34E90C6C, 0x452821E638D01377)

# Which of the sixteen bytes of a pair of lanes, counted from the least significant, make up each zippered lane.
_ZIPPER_LOW = (3, 12, 2, 5, 14, 1, 15, 0)
_ZIPPER_HIGH = (11, 4, 10, 13, 9, 6, 8, 7)


class _State:
    """The four state vectors; with a zero key the initial state is the multipliers themselves."""

    def __init__(self) -> None:
        self.multiplier_0 = list(_MULTIPLIER_0)
        self.multiplier_1 = list(_MULTIPLIER_1)
        self.vector_0 = list(_MULTIPLIER_0)
        self.vector_1 = list(_MULTIPLIER_1)

    def mix(self, lanes: list[int]) -> None:
        for i in range(4):
            self.vector_1[i] = (self.vector_1[i] + self.multiplier_0[i] + lanes[i]) & _MASK
            self.multiplier_0[i] ^= (self.vector_1[i] & _LOW) * (self.vector_0[i] >> 32)
            self.vector_0[i] = (self.vector_0[i] + self.multiplier_1[i]) & _MASK
            self.multiplier_1[i] ^= (self.vector_0[i] & _LOW) * (self.vector_1[i] >> 32)
        _zipper_add(self.vector_0, self.vector_1)
        _zipper_add(self.vector_1, self.vector_0)

    def mix_last(self, rest: bytes) -> None:
        size = len(rest)
        for i in range(4):
            self.vector_0[i] = (self.vector_0[i] + (size << 32) + size) & _MASK
            low, high = self.vector_1[i] & _LOW, self.vector_1[i] >> 32
            self.vector_1[i] = _rotate(low, size) | _rotate(high, size) << 32
        self.mix(_lanes(_pad(rest)))

    def digest(self) -> int:
        for _ in range(4):
            self.mix([_swap_halves(self.vector_0[i]) for i in (2, 3, 0, 1)])
        parts = (self.vector_0[0], self.vector_1[0], self.multiplier_0[0], self.multiplier_1[0])
        return sum(parts) & _MASK


def _swap_halves(lane: int) -> int:
    return lane >> 32 | (lane & _LOW) << 32


def _rotate(half: int, count: int) -> int:
    return (half << count | half >> (32 - count)) & _LOW


def _zipper_add(target: list[int], source: list[int]) -> None:
    for i in (0, 2):
        mixed = source[i].to_bytes(8, "little") + source[i + 1].to_bytes(8, "little")
        target[i] = (target[i] + int.from_bytes(bytes(mixed[k] for k in _ZIPPER_LOW), "little")) & _MASK
        target[i + 1] = (target[i + 1] + int.from_bytes(bytes(mixed[k] for k in _ZIPPER_HIGH), "little")) & _MASK


def _lanes(block: bytes) -> list[int]:
    return [int.from_bytes(block[i : i + 8], "little") for i in range(0, _BLOCK, 8)]


def _pad(rest: bytes) -> bytes:
    """The last block: whole words in front, and the odd bytes where the algorithm wants them."""
    words, odd = len(rest) & ~3, len(rest) & 3
    block = bytearray(_BLOCK)
    block[:words] = rest[:words]
    if len(rest) & 16:
        block[28:] = rest[-4:]
    elif odd:
        block[16:19] = bytes((rest[words], rest[words + (odd >> 1)], rest[-1]))
    return bytes(block)


@lru_cache(maxsize=65536)
def name_hash(name: str) -> int:
    """The 64-bit hash of a name's UTF-8 (mesh protocol, section 4)."""
    data = name.encode("utf-8", "surrogatepass")
    state = _State()
    whole = len(data) // _BLOCK * _BLOCK
    for start in range(0, whole, _BLOCK):
        state.mix(_lanes(data[start : start + _BLOCK]))
    if whole < len(data):
        state.mix_last(data[whole:])
    return state.digest()
