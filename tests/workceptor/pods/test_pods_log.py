"""A log becomes the output, byte by byte, however often its stream breaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor.netceptor.messages import format_time, parse_time
from receptor.workceptor.pods.log import LogPosition, LogReader

BEGIN = 1_700_000_000_000_000_000
BEGINNING = LogPosition()


def line(milliseconds: int, text: bytes) -> bytes:
    return format_time(BEGIN + milliseconds * 1_000_000).encode() + b" " + text


def since(log: bytes, time: str) -> bytes:
    """What a server sends of a log that is asked for from that second on."""
    lines = [one + b"\n" for one in log.split(b"\n")[:-1]]
    return b"".join(one for one in lines if not time or parse_time(one.split(b" ")[0].decode()) >= parse_time(time))


class TestOneStream:
    def test_times_are_taken_away_and_nothing_else(self) -> None:
        log = line(0, b"one\n") + line(1, b"\n") + line(2, b" two \r\n") + line(3, b"\xff\x00 no newline")
        assert LogReader(BEGINNING, 0).feed(log) == b"one\n\n two \r\n\xff\x00 no newline"

    def test_a_line_comes_in_any_parts(self) -> None:
        reader = LogReader(BEGINNING, 0)
        log = line(0, b"one two\n") + line(1, b"three\n")
        assert b"".join(reader.feed(bytes([byte])) for byte in log) == b"one two\nthree\n"

    def test_all_of_a_log_is_asked_for_at_first(self) -> None:
        assert LogReader(BEGINNING, 0).since == ""

    def test_zones_and_fewer_decimals_are_read_too(self) -> None:
        log = b"2026-01-02T03:04:05+02:00 one\n2026-01-02T03:04:05.5+02:00 two\n"
        assert LogReader(BEGINNING, 0).feed(log) == b"one\ntwo\n"

    @pytest.mark.parametrize("words", [b"unable to retrieve container logs for x", b"unable\n", b"x" * 60, b"1 2 3\n"])
    def test_words_about_the_log_are_no_output(self, words: bytes) -> None:
        reader = LogReader(BEGINNING, 0)
        assert reader.feed(line(0, b"one\n")) == b"one\n"
        with pytest.raises(ValueError):
            reader.feed(words)


class TestTakingItUpAgain:
    def test_it_is_asked_for_from_the_second_of_the_line_that_was_being_read(self) -> None:
        reader = LogReader(BEGINNING, 0)
        reader.feed(line(0, b"one\n") + line(1999, b"two\n"))
        assert LogReader(reader.position, 8).since == format_time(BEGIN + 1_000_000_000)

    def test_lines_of_the_same_instant_are_counted(self) -> None:
        log = line(5, b"a\n") + line(5, b"a\n") + line(5, b"a\n") + line(5, b"b\n")
        first = LogReader(BEGINNING, 0)
        assert first.feed(log[: len(line(5, b"a\n")) * 2]) == b"a\na\n"
        assert LogReader(first.position, 4).feed(log) == b"a\nb\n"

    def test_what_was_written_after_the_position_was_noted_is_not_written_twice(self) -> None:
        log = b"".join(line(number, b"%d\n" % number) for number in range(10))
        first = LogReader(BEGINNING, 0)
        first.feed(log[: len(log) // 2])
        assert LogReader(first.position, 17).feed(since(log, first.since)) == b"\n9\n"

    def test_output_that_was_lost_with_the_power_is_asked_for_again(self) -> None:
        log = line(0, b"one\n") + line(1, b"two\n")
        reader = LogReader(LogPosition(stamp=format_time(BEGIN + 1_000_000), nth=1, offset=4), 2)
        assert reader.since == ""
        assert reader.feed(log) == b"e\ntwo\n"

    def test_a_log_that_was_cut_is_taken_as_it_is(self) -> None:
        position = LogPosition(stamp=format_time(BEGIN), nth=1, offset=4)
        reader = LogReader(position, 6)
        assert reader.feed(line(7, b"later\n")) == b"later\n"
        assert reader.has_gap
        assert reader.position.offset == 6

    def test_a_stream_that_ends_before_it_gets_there_leaves_the_position(self) -> None:
        position = LogPosition(stamp=format_time(BEGIN + 900_000_000), nth=1, offset=4)
        reader = LogReader(position, 6)
        assert reader.feed(line(7, b"earlier\n")) == b""
        assert reader.position == position


TEXTS = st.lists(st.tuples(st.integers(0, 700), st.binary(max_size=30)), max_size=30)


@given(TEXTS, st.lists(st.tuples(st.integers(0, 900), st.booleans())))
def test_breaks_anywhere_lose_and_repeat_nothing(
    texts: list[tuple[int, bytes]], breaks: list[tuple[int, bool]]
) -> None:
    """After each break what is on disk may be more than what was noted, after a crash."""
    log, clock, output = b"", 0, b""
    for step, text in texts:
        clock += step
        text = text.replace(b"\n", b"") + b"\n"
        log += line(clock, text)
        output += text
    disk, noted = b"", BEGINNING
    for length, has_crashed in breaks:
        reader = LogReader(noted, len(disk))
        disk += reader.feed(since(log, reader.since)[:length])
        assert output.startswith(disk)
        if not has_crashed:
            noted = reader.position
    reader = LogReader(noted, len(disk))
    assert disk + reader.feed(since(log, reader.since)) == output
    assert not reader.has_gap
