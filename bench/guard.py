"""The quick run that catches what has become far slower, whatever machine it runs on.

A bound is so many times what a primitive of the machine takes, measured in the same run: where processes start
slowly, units may too. The bounds leave more than three times what is needed, so that other work on the machine
does not matter, and each figure is tried several times and the best counts. What takes seconds that took milliseconds
does not pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.figures import FIGURES, Figure
from bench.primitives import PRIMITIVES
from bench.scenarios import Effort
from bench.summary import Summary
from bench.table import aligned, number

QUICK = Effort(repeats=3, latencies=20, pings=50, units=160, mebibytes=16)


@dataclass(frozen=True)
class Bound:
    """How bad a figure may be: as many times worse than a primitive, or so much where no primitive is named."""

    figure: str
    times: float
    primitive: str | None = None

    def limit(self, primitives: Mapping[str, Summary]) -> float:
        """The worst value allowed, in the figure's unit, given what the machine did at its slowest."""
        if self.primitive is None:
            return self.times
        rate = primitives[self.primitive].least
        match FIGURES[self.figure].unit:
            case "ms":
                return self.times * 1000 / rate
            case "MiB/s":
                return rate * 1024 / self.times
            case _:
                return rate / self.times

    def meaning(self) -> str:
        """Where the limit comes from."""
        if self.primitive is None:
            return "fixed"
        title = next(each.title for each in PRIMITIVES if each.name == self.primitive)
        return f"{self.times:g} x {title}" if FIGURES[self.figure].less_is_better else f"{title} / {self.times:g}"


BOUNDS = [
    Bound("local-true", 30, "spawns"),
    Bound("remote-true", 45, "spawns"),
    Bound("local-units", 30, "spawns"),
    Bound("remote-units", 40, "spawns"),
    Bound("payload", 50, "cipher"),
    Bound("results", 50, "cipher"),
    Bound("local-cat", 100, "socketpair"),
    Bound("ping-p50", 5, "spawns"),
    Bound("start", 40, "python-starts"),
    Bound("idle-memory", 60),
]
"""The whole of what is guarded."""


def table(figures: Mapping[str, Summary], primitives: Mapping[str, Summary]) -> str:
    """The guarded figures beside their bounds."""
    rows = [["figure", "unit", "best", "bound", "from", "kept"]]
    for bound in BOUNDS:
        if measured := figures.get(bound.figure):
            figure, limit = FIGURES[bound.figure], bound.limit(primitives)
            best = best_of(figure, measured)
            kept = "yes" if keeps(figure, best, limit) else "NO"
            rows.append([figure.title, figure.unit, number(best), number(limit), bound.meaning(), kept])
    return aligned(rows)


def regressions(
    figures: Mapping[str, Summary], failures: Mapping[str, str], primitives: Mapping[str, Summary]
) -> list[str]:
    """A line for each guarded figure that is out of its bound, or could not be measured."""
    lines = []
    for bound in BOUNDS:
        figure = FIGURES[bound.figure]
        if bound.figure in failures:
            lines.append(f"{figure.title}: can't be measured: {failures[bound.figure]}")
        elif not keeps(figure, best := best_of(figure, figures[bound.figure]), limit := bound.limit(primitives)):
            sign = "at most" if figure.less_is_better else "at least"
            lines.append(
                f"{figure.title}: {number(best)} {figure.unit}, but {sign} {number(limit)} {figure.unit}"
                f" is wanted here ({bound.meaning()})"
            )
    return lines


def best_of(figure: Figure, measured: Summary) -> float:
    return measured.least if figure.less_is_better else measured.most


def keeps(figure: Figure, value: float, limit: float) -> bool:
    return value <= limit if figure.less_is_better else value >= limit
