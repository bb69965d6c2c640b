"""Fuzz targets: what code that reads from strangers must hold, and a run of one with the examples of a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Target:
    """A check that must hold for whatever its inputs draw.

    ``examples`` are those of one run: about as many as a second has time for.
    """

    name: str
    about: str
    examples: int
    inputs: tuple[SearchStrategy[object], ...]
    check: Callable[..., None]


def target(name: str, examples: int, *inputs: SearchStrategy[object]) -> Callable[[Callable[..., None]], Target]:
    """Make a target of a check, whose docstring says what must hold."""

    def made(check: Callable[..., None]) -> Target:
        assert check.__doc__ is not None
        return Target(name, check.__doc__.splitlines()[0], examples, inputs, check)

    return made


def run(fuzzed: Target, seed_of_run: int, examples: int | None = None) -> int:
    """Check a target with the examples that follow from the seed; how many there were.

    Raises what the check raises, with notes that show the smallest example found to do so.
    """
    count = 0

    @wraps(fuzzed.check)
    def counted(*args: object, **kwargs: object) -> None:
        nonlocal count
        count += 1
        fuzzed.check(*args, **kwargs)

    limits = settings(
        max_examples=examples or fuzzed.examples,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        deadline=None,
        database=None,
    )
    seed(seed_of_run)(limits(given(*fuzzed.inputs)(counted)))()
    return count
