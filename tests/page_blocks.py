"""The code blocks of a page in Markdown, and the commands in them.

A block is played, loaded or compiled by its language, unless its title begins with ``Not run by the tests``: such a
block needs what tests don't have, and its title says what. Other titles are names of files with that content; with
``(add)`` after it, it is added to the file. A page whose comment says ``Played with examples/NAME`` has the files of
that folder, and its nodes are running.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from textwrap import dedent

NOT_RUN = "Not run by the tests"
ADDED = " (add)"
_BLOCK = re.compile(r'^( *)```(\w+)(?: title="(.*?)")?\n(.*?)^\1```$', re.MULTILINE | re.DOTALL)
_LIST_ITEM = re.compile(r"(?:[*-]|\d+\.) ")
_FENCE = re.compile(r"^ *```", re.MULTILINE)
_NODES = re.compile(r"<!-- Played with examples/([\w-]+) -->")
_START_OF_A_NODE = re.compile(r"receptor (?:--config (\w+)\.yml|--node id=(\w+) .*--control-service)", re.DOTALL)
_TERMINAL_CODES = re.compile(r"\x1b\[[?0-9;]*[a-z]|\r")
_UNIT = re.compile(r"Unit ID: (\w{8})")


@dataclass(frozen=True)
class Block:
    """A code block: its language, its title (empty without one) and its text."""

    language: str
    title: str
    text: str

    @property
    def is_run(self) -> bool:
        return not self.title.startswith(NOT_RUN)

    @property
    def file(self) -> str:
        """The name of the file that it is the content of; empty if it is none."""
        return self.title.removesuffix(ADDED) if self.is_run else ""

    @property
    def is_added(self) -> bool:
        """Whether it is added to what the file has already."""
        return self.title.endswith(ADDED)


def blocks_of(page: str) -> list[Block]:
    """The code blocks of a page, in order. Raises ValueError if a fence is none that can be read."""
    blocks = [Block(match[2], match[3] or "", dedent(match[4])) for match in _BLOCK.finditer(page)]
    if 2 * len(blocks) != len(_FENCE.findall(page)):
        raise ValueError("a code block lacks its language or its end, or has more than a title")
    return blocks


def indented_code(page: str) -> list[str]:
    """The first line of each block of code that is made by indenting it: 4 columns, or 8 within a list."""
    found = []
    in_list, after_blank = False, True
    for line in _BLOCK.sub("", page).splitlines():
        if line.strip():
            code = " " * (8 if in_list else 4)
            if after_blank and line.startswith(code):
                found.append(line.strip())
            if not line.startswith(" "):
                in_list = _LIST_ITEM.match(line) is not None
        after_blank = not line.strip() or line.startswith("#")
    return found


def example_of(page: str) -> str:
    """The name of the example whose nodes the page is played with; empty if it needs none."""
    found = _NODES.search(page)
    return found[1] if found else ""


@dataclass(frozen=True)
class Command:
    """One command of a page."""

    line: str
    output: str
    """What the page shows."""

    @property
    def goes_on(self) -> bool:
        return self.line.endswith(" &")

    @property
    def node(self) -> str | None:
        """The id of the node that it starts; None also for one that nobody could talk to."""
        started = _START_OF_A_NODE.match(self.line)
        return started[1] or started[2] if started and self.goes_on else None

    def with_units(self, units: Mapping[str, str]) -> Command:
        """The same, with the ids that units really have."""
        line, output = self.line, self.output
        for on_the_page, real in units.items():
            line, output = line.replace(on_the_page, real), output.replace(on_the_page, real)
        return Command(line, output)

    def check(self, shown: str) -> dict[str, str]:
        """Which ids the units have really whose ids the page tells after ``Unit ID:``.

        Raises AssertionError if something else than on the page is shown.
        """
        found = self._pattern().fullmatch(_as_lines(shown))
        assert found, f"$ {self.line}\n{shown}\nThe page has instead:\n{self.output}"
        return {name.removeprefix("unit_"): unit for name, unit in found.groupdict().items()}

    def is_told_by(self, shown: str) -> bool:
        """Whether this, as a terminal shows it, is the output of the page."""
        return self._pattern().fullmatch(_as_lines(shown)) is not None

    def _pattern(self) -> re.Pattern[str]:
        lines = self.output.splitlines()
        return re.compile("".join("(?:.*\n)*" if line.strip() == "..." else _as_pattern(line) + "\n" for line in lines))


def _as_lines(shown: str) -> str:
    return "".join(f"{line}\n" for line in _TERMINAL_CODES.sub("", shown).splitlines())


def _as_pattern(line: str) -> str:
    if unit := _UNIT.fullmatch(line):
        return rf"Unit ID: (?P<unit_{unit[1]}>\w{{8}})"
    return ".*".join(map(re.escape, line.split("...")))


def steps_of(blocks: list[Block]) -> list[Command | Block]:
    """What a reader does, in order: type commands, and write the blocks that are files."""
    steps: list[Command | Block] = []
    for block in blocks:
        if block.file:
            steps.append(block)
        elif block.language == "console" and block.is_run:
            steps += map(_command, re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:])
    return steps


def _command(typed: str) -> Command:
    """Lines that begin with ``>`` go on with the command."""
    first, *others = typed.splitlines(keepends=True)
    more = list(takewhile(lambda line: line.startswith("> "), others))
    line = first + "".join(line.removeprefix("> ") for line in more)
    return Command(line.removesuffix("\n"), "".join(others[len(more) :]))
