"""Where the last lines of a long output begin, found without reading all of it."""

from __future__ import annotations

from collections.abc import Callable

FIRST_BLOCK = 64 * 1024
LARGEST_BLOCK = 8 * 1024 * 1024
"""Bytes that are held in memory at most."""


def tail_start(size: int, lines: int, read: Callable[[int, int], bytes]) -> int:
    """The byte at which the last ``lines`` lines begin, of an output of ``size`` bytes.

    ``read`` gives the bytes from one position to another; it is asked for blocks that grow, from the end on backwards.
    A last line without its end counts as one. What ``read`` raises is raised.
    """
    if lines <= 0:
        return size
    block, end = FIRST_BLOCK, size
    wanted = lines
    while end > 0:
        start = max(0, end - block)
        data = read(start, end)
        # The newline at the very end ends the last line and begins none.
        position = len(data) - 1 if end == size else len(data)
        while (position := data.rfind(b"\n", 0, position)) >= 0:
            wanted -= 1
            if not wanted:
                return start + position + 1
        end, block = start, min(LARGEST_BLOCK, 4 * block)
    return 0
