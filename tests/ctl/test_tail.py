from __future__ import annotations

import pytest

from receptor.ctl.tail import FIRST_BLOCK, LARGEST_BLOCK, tail_start


@pytest.mark.parametrize(
    ("output", "lines", "tail"),
    [
        (b"", 3, b""),
        (b"a\nb\nc\n", 0, b""),
        (b"a\nb\nc\n", 1, b"c\n"),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc\n", 9, b"a\nb\nc\n"),
        (b"a\nb\nc", 1, b"c"),
        (b"\n\n\n", 2, b"\n\n"),
        (b"\n", 1, b"\n"),
    ],
)
def test_the_last_lines(output: bytes, lines: int, tail: bytes) -> None:
    start = tail_start(len(output), lines, lambda first, end: output[first:end])
    assert output[start:] == tail


def test_a_long_output_is_read_from_the_end_and_no_further_than_needed() -> None:
    output = b"%099d\n" % 7 * 1_000_000
    asked: list[tuple[int, int]] = []

    def read(start: int, end: int) -> bytes:
        asked.append((start, end))
        return output[start:end]

    assert tail_start(len(output), 10, read) == len(output) - 1000
    assert asked == [(len(output) - FIRST_BLOCK, len(output))]
    assert tail_start(len(output), 100_000, read) == len(output) - 10_000_000
    assert sum(end - start for start, end in asked) < 25_000_000
    assert max(end - start for start, end in asked) <= LARGEST_BLOCK


def test_lines_that_end_where_blocks_do() -> None:
    output = b"x" * 10 + b"\n" + b"y" * (FIRST_BLOCK - 1) + b"\n"
    assert tail_start(len(output), 1, lambda first, end: output[first:end]) == 11
    assert tail_start(len(output), 2, lambda first, end: output[first:end]) == 0
