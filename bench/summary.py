"""A figure was measured several times: what came out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Summary:
    """Samples and what is told of them."""

    samples: tuple[float, ...]

    @classmethod
    def of(cls, samples: Sequence[float]) -> Self:
        assert samples, "nothing was measured"
        return cls(tuple(samples))

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def least(self) -> float:
        return min(self.samples)

    @property
    def most(self) -> float:
        return max(self.samples)

    @property
    def spread(self) -> float:
        """How far the samples lie apart, as a part of the median."""
        return (self.most - self.least) / self.median if self.median else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many percent of all don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]
