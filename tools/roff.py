"""Text as ``man`` reads it: the few macros that manual pages need, and everything else kept from being one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from textwrap import wrap

_OPTION_OR_VALUE = re.compile(r"((?<![\w-])--?[A-Za-z][\w-]*|\b[A-Z][A-Z_]+\b)")


def page(*parts: str) -> str:
    """The whole page. The first paragraph after a heading needs no command of its own."""
    return re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", "".join(parts), flags=re.MULTILINE)


def title(name: str, section: int, version: str) -> str:
    """The line that every page begins with; without a date, so that a page changes only with what it says."""
    return f'.TH "{escaped(name.upper())}" {section} "" "{escaped(version)}" "Receptor"\n'


def heading(text: str) -> str:
    return f".SH {escaped(text.upper())}\n"


def subheading(text: str) -> str:
    return f'.SS "{escaped(text)}"\n'


def paragraph(text: str) -> str:
    return f".PP\n{filled(text)}"


def literal(lines: Iterable[str]) -> str:
    """Lines to leave as they are, such as commands."""
    body = "".join(f"{_line(line)}\n" for line in lines)
    return f".PP\n.RS 4\n.EX\n{body}.EE\n.RE\n"


def item(term: str, text: str) -> str:
    """A term and, below it and indented, what it means."""
    return f".TP\n{_styled(term)}\n{filled(text)}"


def filled(text: str) -> str:
    """Running text, in lines of a length that people can read and compare."""
    lines = wrap(" ".join(text.split()), 72, break_long_words=False, break_on_hyphens=False)
    return "".join(f"{_line(line)}\n" for line in lines)


def escaped(text: str) -> str:
    """What shows as that text: dashes that can be copied as such, and no commands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return text.replace("^", "\\(ha").replace("~", "\\(ti").replace('"', "\\(dq")


def _line(text: str) -> str:
    """With nothing at its beginning that would make it a command."""
    shown = escaped(text)
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown


def _styled(term: str) -> str:
    """Options in bold, what stands for a value in italics."""
    return "".join(
        f"\\fB{escaped(part)}\\fR"
        if part.startswith("-")
        else f"\\fI{escaped(part)}\\fR"
        if part.isupper()
        else escaped(part)
        for part in _OPTION_OR_VALUE.split(term)
    )
