"""The names that people meant."""

from __future__ import annotations

from collections.abc import Iterable

_LIKENESS = 0.65
"""How alike two names must be, as difflib measures it: one wrong letter in three is near."""


def nearest(given: str, names: Iterable[str]) -> str:
    """The one of the names that was probably meant, whatever its letter case; empty if none is near."""
    from difflib import get_close_matches  # only a mistake pays for its import

    by_lower = {name.lower(): name for name in names}
    close = get_close_matches(given.lower(), by_lower, 1, _LIKENESS)
    return by_lower[close[0]] if close else ""
