"""What doctor is told and what it says of that, for tests of its checks."""

from __future__ import annotations

from collections.abc import Iterable

from mesh_answers import three

from receptor.ctl.doctor.facts import Facts, NodeFacts
from receptor.ctl.doctor.findings import Finding

NOW = 1_769_860_860.0
"""2026-01-31 12:01:00 UTC, a minute after the services of mesh_answers were advertised."""


HEALTHY = Facts(
    now=NOW,
    our_version="1.2",
    address="/tmp/foo.sock",
    status=three(KnownConnectionCosts={"foo": {"bar": 1}, "bar": {"foo": 1, "baz": 2.5}, "baz": {"bar": 2.5}}),
    own=NodeFacts("foo", version="1.2", clock_offset=0.0, started=NOW - 300, certificates=()),
    others={name: NodeFacts(name, clock_offset=0.0, certificates=()) for name in ("bar", "baz")},
)
"""A mesh of three in order, all with the same clock."""


def command(*words: str) -> str:
    return " ".join(("receptorctl", *words))


def lines(findings: Iterable[Finding]) -> list[str]:
    """Each as ``verdict: text -> fix``."""
    return [
        f"{one.verdict.word}: {one.text} -> {one.fix}" if one.fix else f"{one.verdict.word}: {one.text}"
        for one in findings
    ]
