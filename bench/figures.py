"""What is measured, and what is to be reached on a machine with the primitives told in docs/benchmarks.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Something that a user can feel, as a number."""

    name: str
    title: str
    unit: str
    less_is_better: bool
    target: float | None
    """Our own; None where there is none."""

    def is_met_by(self, value: float) -> bool | None:
        """Whether the value reaches the target; None if there is none."""
        if self.target is None:
            return None
        return value <= self.target if self.less_is_better else value >= self.target

    def times_better(self, value: float, than: float) -> float:
        """How many times better a value is; 2 means twice as fast, or half as much memory."""
        good, bad = (than, value) if self.less_is_better else (value, than)
        return good / bad if bad else float("inf")


def _at_most(name: str, title: str, unit: str, target: float | None) -> Figure:
    return Figure(name, title, unit, True, target)


def _at_least(name: str, title: str, unit: str, target: float | None) -> Figure:
    return Figure(name, title, unit, False, target)


FIGURES = {
    figure.name: figure
    for figure in [
        _at_most("remote-overhead", "remote unit, overhead, p50", "ms", 30),
        _at_most("local-overhead", "local unit, overhead, p50", "ms", 10),
        _at_most("local-true", "local unit true, p50", "ms", 5),
        _at_most("remote-true", "remote unit true, p50", "ms", None),
        _at_least("local-units", "local units a second, 16 clients", "/s", 350),
        _at_least("remote-units", "remote units a second, 16 clients", "/s", 300),
        _at_most("local-cpu", "CPU for a local unit, all processes", "ms", None),
        _at_most("remote-cpu", "CPU for a remote unit, both nodes", "ms", None),
        _at_least("payload", "payload to the next node", "MiB/s", 200),
        _at_least("results", "results from the next node, followed", "MiB/s", 200),
        _at_least("middle-payload", "payload over a middle node", "MiB/s", 100),
        _at_least("middle-results", "results over a middle node, followed", "MiB/s", 100),
        _at_least("local-cat", "local cat, bytes in and out", "MiB/s", 500),
        _at_most("ping-p50", "ping to the next node, p50", "ms", 0.25),
        _at_most("ping-p95", "ping to the next node, p95", "ms", 0.5),
        _at_most("sleeping-memory", "300 sleeping units: memory beyond idle", "MiB", 40),
        _at_most("sleeping-cpu", "300 sleeping units: CPU, of a core", "%", 0.5),
        _at_most("idle-memory", "memory of an idle node (PSS)", "MiB", 30),
        _at_most("start", "node start to greeting", "ms", 150),
        _at_most("status-command", "receptorctl status, whole process", "ms", 70),
        _at_most("list-5000", "work list with 5,000 units on disk", "ms", 50),
        _at_most("start-5000", "node start with 5,000 units on disk", "ms", 1000),
    ]
}
"""By name, in the order of the table."""
