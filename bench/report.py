"""What came out, as a table for people and as a file for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.figures import FIGURES, Figure
from bench.primitives import PRIMITIVES
from bench.summary import Summary
from bench.table import aligned, number


@dataclass
class Measured:
    """What one daemon did."""

    version: str
    figures: dict[str, Summary] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Why figures could not be measured, by their names."""


@dataclass
class Report:
    """A whole run."""

    date: str
    commit: str
    machine: str
    primitives: dict[str, Summary]
    daemons: list[Measured]
    """Ours, and the other one if there is one."""

    @property
    def ours(self) -> Measured:
        return self.daemons[0]

    @property
    def other(self) -> Measured | None:
        return self.daemons[1] if self.daemons[1:] else None

    def table(self) -> str:
        """The figures, then what the machine can do, each aligned in columns."""
        parts = [aligned(self._figure_rows()), aligned(self._primitive_rows())]
        failures = [
            f"{name} of {measured.version} could not be measured: {reason}"
            for measured in self.daemons
            for name, reason in measured.failures.items()
        ]
        return "\n\n".join(part for part in [*parts, "\n".join(failures)] if part)

    def as_json(self) -> Mapping[str, object]:
        return {
            "date": self.date,
            "commit": self.commit,
            "machine": self.machine,
            "primitives": {
                each.name: {"title": each.title, "unit": each.unit, **_json_of(self.primitives[each.name])}
                for each in PRIMITIVES
                if each.name in self.primitives
            },
            "figures": {
                name: {
                    "title": figure.title,
                    "unit": figure.unit,
                    "less_is_better": figure.less_is_better,
                    "target": figure.target,
                }
                for name, figure in FIGURES.items()
                if any(name in daemon.figures for daemon in self.daemons)
            },
            "daemons": [
                {
                    "version": daemon.version,
                    "figures": {name: _json_of(summary) for name, summary in daemon.figures.items()},
                    "failures": daemon.failures,
                }
                for daemon in self.daemons
            ],
        }

    def _figure_rows(self) -> list[list[str]]:
        rows = [["figure", "unit", "ours", "least", "most", "target", "met"]]
        if self.other:
            rows[0] += [self.other.version, "least", "most", "times better"]
        for name, figure in FIGURES.items():
            ours = self.ours.figures.get(name)
            other = self.other.figures.get(name) if self.other else None
            if ours or other:
                row = [figure.title, figure.unit, *_cells(ours), *_target_cells(figure, ours)]
                if self.other:
                    row += [
                        *_cells(other),
                        number(figure.times_better(ours.median, other.median)) if ours and other else "-",
                    ]
                rows.append(row)
        return rows

    def _primitive_rows(self) -> list[list[str]]:
        rows = [["what the machine can do", "unit", "median", "least", "most"]]
        for each in PRIMITIVES:
            if each.name in self.primitives:
                rows.append([each.title, each.unit, *_cells(self.primitives[each.name])])
        return rows


def _cells(summary: Summary | None) -> list[str]:
    return [number(value) for value in (summary.median, summary.least, summary.most)] if summary else ["-"] * 3


def _target_cells(figure: Figure, ours: Summary | None) -> list[str]:
    if figure.target is None:
        return ["", ""]
    sign = "<=" if figure.less_is_better else ">="
    met = "-" if ours is None else "yes" if figure.is_met_by(ours.median) else "NO"
    return [f"{sign} {figure.target:g}", met]


def _json_of(summary: Summary) -> dict[str, object]:
    return {
        "median": summary.median,
        "least": summary.least,
        "most": summary.most,
        "spread": summary.spread,
        "samples": list(summary.samples),
    }
