"""Notices that strangers can cause: the first of a kind is told at once, the rest of a minute as a number."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import msgspec

from receptor.netceptor.effects import Effect, Notice, Severity

MINUTE = 60.0
MOST_KINDS = 1_000
_MORE_KINDS = "more kinds than are told apart"


class _Kind(msgspec.Struct):
    since: float
    told: int = 0
    held_back: int = 0
    last: Notice | None = None


class Complaints:
    """Keeps a flood of bad messages from becoming a flood of log lines."""

    def __init__(self, emit: Callable[[Effect], None]) -> None:
        self._emit = emit
        self._kinds: dict[Hashable, _Kind] = {}

    def say(
        self,
        kind: Hashable,
        text: str,
        now: float,
        peer: str = "",
        severity: Severity = Severity.WARNING,
        most: int = 1,
    ) -> None:
        """Tell the log, of one kind no more than ``most`` times a minute; the others are counted."""
        if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
            kind = _MORE_KINDS
        entry = self._kinds.get(kind)
        if entry is None or entry.since + MINUTE <= now:
            self._close(entry)
            entry = self._kinds[kind] = _Kind(now)
        notice = Notice(severity, text, peer)
        if entry.told < most:
            entry.told += 1
            self._emit(notice)
        else:
            entry.held_back += 1
            entry.last = notice

    def sweep(self, now: float) -> None:
        """Tell how many were held back in minutes that are over."""
        for kind, entry in list(self._kinds.items()):
            if entry.since + MINUTE <= now:
                del self._kinds[kind]
                self._close(entry)

    def _close(self, entry: _Kind | None) -> None:
        if entry is not None and entry.last is not None:
            last = entry.last
            self._emit(Notice(last.severity, f"{entry.held_back} more notices like this: {last.text}", last.peer))
