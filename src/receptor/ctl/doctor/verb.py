"""The verb ``receptorctl doctor`` and what it prints."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import json_option, tls_client_option
from receptor.ctl.work_options import DURATION

if TYPE_CHECKING:
    from receptor.ctl.doctor.findings import Finding
    from receptor.ctl.settings import Settings
    from receptor.ctl.tables import Cell

EXIT_PROBLEMS, EXIT_WARNINGS = 1, 2
_COLOURS = {"ok": "green", "skipped": "bright_black", "warning": "yellow", "problem": "red"}
_MARKS = {"ok": "✓", "skipped": "·", "warning": "!", "problem": "✗"}
_ASCII_MARKS = {"ok": "ok", "skipped": "--", "warning": "!!", "problem": "XX"}


@click.command(short_help="Look for what is wrong, and say what to do about it.")
@click.option(
    "--timeout",
    metavar="DURATION",
    type=DURATION,
    default="15s",
    show_default=True,
    help="How long to wait for the other nodes of the mesh.",
)
@tls_client_option()
@json_option()
@click.pass_context
def doctor(context: click.Context, timeout: float, tlsclient: str | None, as_json: bool) -> int:
    """Look for what is wrong with the node, the way to it, its mesh and its work, and say what to do about it.

    The other nodes are asked over the mesh for their clocks and certificates. The exit code is 0 if nothing is found, 1
    if there is a problem, 2 if there are warnings only.

    \b
    Examples:
      receptorctl doctor
      receptorctl --socket /run/receptor/receptor.sock doctor --tls-client mesh
      receptorctl doctor --json | jq -r '.Findings[] | select(.Verdict == "problem").Text'
    """
    from receptor.ctl.doctor.diagnosis import diagnose
    from receptor.ctl.doctor.examination import examine
    from receptor.ctl.doctor.findings import Verdict, worst

    settings: Settings = context.obj
    known_variables = [
        variable
        for parameter in context.find_root().command.params
        if isinstance(variable := getattr(parameter, "envvar", None), str)
    ]
    facts = examine(settings, os.environ, known_variables, tlsclient or "", timeout)
    findings = diagnose(facts, settings.command_line)
    verdict = worst(findings)
    if as_json:
        terminal.show_json({"Verdict": verdict.word, "Findings": [one.as_json() for one in findings]})
    else:
        _show(findings)
    return {Verdict.PROBLEM: EXIT_PROBLEMS, Verdict.WARNING: EXIT_WARNINGS}.get(verdict, 0)


def _show(findings: Sequence[Finding]) -> None:
    from receptor.ctl.tables import Cell

    has_unicode = "utf" in (getattr(sys.stdout, "encoding", "") or "").lower()
    for area, members in groupby(findings, key=lambda one: one.area.value):
        terminal.say_cells([Cell(area, "cyan")])
        for cells in _lines(members, has_unicode=has_unicode):
            terminal.say_cells(cells)
        terminal.say()
    terminal.say(summary(findings))


def _lines(findings: Iterable[Finding], *, has_unicode: bool) -> Iterator[list[Cell]]:
    from receptor.ctl.tables import Cell

    marks, arrow = (_MARKS, "→") if has_unicode else (_ASCII_MARKS, "->")
    for one in findings:
        word = one.verdict.word
        indent = " " * (len(marks[word]) + 2)
        yield [Cell(f"  {marks[word]}", _COLOURS[word]), Cell(one.text)]
        if one.fix:
            yield [Cell(f"{indent} {arrow}", "blue"), Cell(one.fix)]


def summary(findings: Iterable[Finding]) -> str:
    """How many of what there are, the worst first."""
    counts = Counter(one.verdict.word for one in findings)
    nouns = {"problem": "problem", "warning": "warning", "ok": "check in order", "skipped": "check skipped"}
    parts = [_count(counts[word], noun) for word, noun in nouns.items() if counts[word] or word == "problem"]
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    first, *rest = noun.split(" ", 1)
    plural = first if number == 1 else f"{first}s"
    return " ".join([str(number) if number else "no", plural, *rest])
