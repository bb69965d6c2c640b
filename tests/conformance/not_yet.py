"""A pytest plugin that holds the conformance checks listed in not-yet.txt to that list.

A listed check is run like the others. It may fail; if it passes, the run fails, for its line must go. A line
that names no check fails the run too. ``.ci/run`` loads this plugin: ``-p conformance.not_yet``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

LIST = Path(__file__).with_name("not-yet.txt")


def listed_checks(text: str) -> list[str]:
    """The node ids in a list: one a line; empty lines and lines that begin with ``#`` are left out."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class LineWithoutCheck(pytest.Item):
    """Stands for a line of the list that names no check: it fails and says so."""

    def runtest(self) -> None:
        pytest.fail(f"{LIST.name} names a check that does not exist: take the line out", pytrace=False)


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    listed = listed_checks(LIST.read_text())
    may_fail = pytest.mark.xfail(strict=True, reason=f"take its line out of {LIST.name}")
    for item in items:
        if item.nodeid in listed:
            item.add_marker(may_fail)
    existing = {item.nodeid for item in items}
    items += [LineWithoutCheck.from_parent(session, name=line) for line in listed if line not in existing]
