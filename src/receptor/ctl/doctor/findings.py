"""What a check has come to."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from receptor.client.fields import JsonObject


class Area(enum.Enum):
    """What findings are about, in the order in which they are shown."""

    ENVIRONMENT = "Environment"
    SOCKET = "Socket"
    NODE = "Node"
    CLOCKS = "Clocks"
    CERTIFICATES = "Certificates"
    MESH = "Mesh"
    WORK = "Work"


class Verdict(enum.IntEnum):
    """How bad it is; ``SKIPPED`` could not be checked."""

    OK = 0
    SKIPPED = 1
    WARNING = 2
    PROBLEM = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis: what was found, and what to do about it if something is to be done."""

    area: Area
    verdict: Verdict
    text: str
    fix: str = ""

    def as_json(self) -> JsonObject:
        return {"Area": self.area.value, "Verdict": self.verdict.word, "Text": self.text, "Fix": self.fix or None}


def ok(area: Area, text: str) -> Finding:
    return Finding(area, Verdict.OK, text)


def skipped(area: Area, text: str, fix: str = "") -> Finding:
    return Finding(area, Verdict.SKIPPED, text, fix)


def warning(area: Area, text: str, fix: str) -> Finding:
    return Finding(area, Verdict.WARNING, text, fix)


def problem(area: Area, text: str, fix: str) -> Finding:
    return Finding(area, Verdict.PROBLEM, text, fix)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict of them all; what could not be checked is no finding in itself."""
    verdict = max((one.verdict for one in findings), default=Verdict.OK)
    return Verdict.OK if verdict is Verdict.SKIPPED else verdict


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names in a sentence, no more than so many of them."""
    known = list(names)
    rest = len(known) - most
    return ", ".join(known[:most]) + (f" and {rest} more" if rest > 0 else "")
