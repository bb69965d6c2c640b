"""The log of a container as output: pure logic, without I/O and clock.

With ``timestamps`` each line of a log begins with the time at which the runtime took it. What follows is the output,
byte by byte. A log can be asked for from a second on, so a stream that broke is taken up where it was by asking for
that second, passing over the lines before the one that was being read, and over as much of what follows as is on disk.
"""

from __future__ import annotations

import re

import msgspec

from receptor.netceptor.messages import format_time, parse_time

_SECOND = 1_000_000_000
_LONGEST_STAMP = 40
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")


class LogPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log: the ``nth`` (from 1) with that stamp, whose text begins at the byte ``offset`` of the output.

    Without a stamp it is the beginning of the log.
    """

    stamp: str = ""
    nth: int = 0
    offset: int = 0


class LogReader:
    """Turns the bytes of one stream of a log into those of the output that are not on disk yet.

    ``since`` is the time to ask for, empty for all of the log. ``has_gap``: the line to go on from is no longer in the
    log, so lines may be missing.
    """

    def __init__(self, position: LogPosition, size: int) -> None:
        """``size`` is what is on disk of the output; a position beyond it does not count, since power was lost."""
        self._sought = position if position.offset <= size else LogPosition()
        self._skip = size - self._sought.offset
        self._is_seeking = self._sought.stamp != ""
        self._sought_time = parse_time(self._sought.stamp) if self._is_seeking else 0
        self.since = format_time(self._sought_time // _SECOND * _SECOND) if self._is_seeking else ""
        self.has_gap = False
        self._stamp = self._sought.stamp.encode()
        self._nth = 0
        self._line_offset = self._offset = self._sought.offset
        self._head = b""
        self._is_in_line = False

    @property
    def position(self) -> LogPosition:
        """The line that is being read."""
        if self._is_seeking:
            return self._sought
        return LogPosition(stamp=self._stamp.decode(), nth=self._nth, offset=self._line_offset)

    def feed(self, data: bytes) -> bytes:
        """New output. Raises ValueError if there is a line without a time: no output, but words about the log."""
        output = bytearray()
        begin = 0
        while begin < len(data):
            if not self._is_in_line:
                begin = self._read_head(data, begin)
                continue
            end = data.find(b"\n", begin) + 1
            self._is_in_line = end == 0
            self._take(data[begin : end or len(data)], output)
            begin = end or len(data)
        return bytes(output)

    def _read_head(self, data: bytes, begin: int) -> int:
        """Where the text of the line begins; the end if all of its stamp is not there yet."""
        end = data.find(b" ", begin)
        stamp = self._head + data[begin : len(data) if end < 0 else end]
        if end < 0 and len(stamp) <= _LONGEST_STAMP and b"\n" not in stamp:
            self._head = stamp
            return len(data)
        if not _STAMP.fullmatch(stamp):
            raise ValueError(f"it says {stamp[:_LONGEST_STAMP].decode(errors='replace')!r} where a time should be")
        self._head = b""
        self._begin_line(stamp)
        self._is_in_line = True
        return end + 1

    def _begin_line(self, stamp: bytes) -> None:
        if self._is_seeking:
            self._nth += stamp == self._stamp
            if self._nth < self._sought.nth and parse_time(stamp.decode()) <= self._sought_time:
                return
            self._is_seeking = False
            if stamp == self._stamp:
                return
            self.has_gap = True
            self._offset += self._skip
            self._skip = 0
        if stamp != self._stamp:
            self._stamp, self._nth = stamp, 0
        self._nth += 1
        self._line_offset = self._offset

    def _take(self, text: bytes, output: bytearray) -> None:
        if self._is_seeking:
            return
        self._offset += len(text)
        new = max(len(text) - self._skip, 0)
        self._skip -= len(text) - new
        output += text[len(text) - new :]
