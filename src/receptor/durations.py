"""Durations as Go writes them (``1h30m``, ``90s``, ``1.5h``), which configuration, ``ttl`` and answers use."""

from __future__ import annotations

import re

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST_TEXT = 64


def parse_duration(text: str) -> float:
    """Seconds of a Go duration; ``0`` needs no unit, a sign is allowed.

    Raises ValueError with a message for people if the text is not one.
    """
    body = text.strip()
    sign = -1.0 if body.startswith("-") else 1.0
    unsigned = body[1:] if body.startswith(("-", "+")) else body
    if unsigned == "0":
        return 0.0
    parts = list(_PART.finditer(unsigned)) if len(body) <= _LONGEST_TEXT else []
    if not parts or "".join(part.group() for part in parts) != unsigned:
        raise ValueError(f"{text[:_LONGEST_TEXT]!r} is not a duration; write it like 1h30m, 90s or 1.5h")
    return sign * sum(float(part.group(1)) * _UNIT_SECONDS[part.group(2)] for part in parts)


def format_duration(seconds: float) -> str:
    """Text of a duration of that many seconds, as Go's ``time.Duration.String`` writes it."""
    nanoseconds = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 and nanoseconds else ""
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1000:
            return f"{sign}{_decimal(nanoseconds, size)}{unit}"
    whole_minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(whole_minutes, 60)
    text = f"{_decimal(rest, 1_000_000_000)}s"
    if whole_minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return sign + text


def _decimal(value: int, size: int) -> str:
    whole, fraction = divmod(value, size)
    digits = str(fraction).rjust(len(str(size)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
