"""Moments and durations as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def parse_moment(text: str) -> float | None:
    """Seconds since 1970 of an RFC 3339 text; None if it is no such text, or the zero time that Go writes."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None and moment.year > 1 else None


def rfc3339(moment: datetime) -> str:
    """The moment as nodes write it, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def seconds_of(moment: datetime | None) -> float | None:
    """A moment in seconds since 1970, if there is one."""
    return None if moment is None else moment.timestamp()


def ago(moment: float, now: float) -> str:
    """How long ago a moment was (``3 min ago``), or when it will be (``in 3 min``)."""
    if moment > now + 1:
        return f"in {span(moment - now)}"
    return f"{span(now - moment)} ago"


def span(seconds: float) -> str:
    """A duration in the largest unit that fits: ``12 s``, ``3 min``, ``2 h``, ``5 d``."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h"
    return f"{whole // _DAY} d"
