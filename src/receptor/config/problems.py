"""Gathering what is wrong, so that one run tells the operator everything, and names that were meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from receptor.errors import ConfigurationError


class Problems:
    """What is wrong with a configuration: one line each, in the order in which it was noted."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def note(self, problem: str) -> None:
        """Note a problem that doesn't end the reading of the rest."""
        self._lines.append(problem)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the ConfigurationError that the block may raise, and go on after the block."""
        try:
            yield
        except ConfigurationError as error:
            self.note(str(error))

    def raise_if_any(self) -> None:
        """Raise one ConfigurationError with all that was noted, if anything was."""
        if self._lines:
            raise ConfigurationError("\n".join(self._lines))


def meant(name: str, names: Iterable[str], otherwise: str) -> str:
    """What to try instead of an unknown name: the nearest of the names, or else the other text."""
    from difflib import get_close_matches  # only a mistake pays for its import

    nearest = get_close_matches(name, names, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else otherwise
