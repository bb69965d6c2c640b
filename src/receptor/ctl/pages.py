"""What is said of a command, for ``--help`` and for manual pages: taken out of its click definition."""

from __future__ import annotations

import inspect
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import click

from receptor.ctl.program import Program, with_all_below
from receptor.ctl.terminal import EXIT_CODES, has_colours

Paragraph: TypeAlias = str | tuple[str, ...]
"""A text to wrap, or lines to leave as they are."""

_EXAMPLES = re.compile(r"Examples?:")
_WIDEST, _NARROWEST = 100, 50
_WIDEST_NAME = 30


@dataclass(frozen=True)
class Section:
    """A heading, and below it names with what they mean."""

    heading: str
    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Page:
    """What is said of one command.

    A command declares its examples as a part of its docstring that begins with ``\\b`` and the line ``Examples:``.
    """

    command: str
    usage: str
    about: str
    examples: tuple[str, ...]
    details: tuple[Paragraph, ...]
    sections: tuple[Section, ...]


def contexts_of(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """A context for the command, and one for each below it, such as they have when they are called."""
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for other, below in command.commands.items():
            yield from contexts_of(below, other, context)


def page_of(context: click.Context) -> Page:
    """The page of the context's command."""
    command = context.command
    examples: tuple[str, ...] = ()
    paragraphs: list[Paragraph] = []
    for paragraph in _paragraphs(command.help or ""):
        if isinstance(paragraph, tuple) and _EXAMPLES.fullmatch(paragraph[0]):
            examples += tuple(inspect.cleandoc("\n".join(paragraph[1:])).splitlines())
        else:
            paragraphs.append(paragraph)
    about, *details = paragraphs or [short_help(command)]
    return Page(
        command=context.command_path,
        usage=" ".join(command.collect_usage_pieces(context)),
        about=about if isinstance(about, str) else "\n".join(about),
        examples=examples,
        details=tuple(details),
        sections=tuple(section for section in _sections(context) if section.entries),
    )


def short_help(command: click.Command) -> str:
    """What the command does, in one line."""
    return command.short_help or " ".join((command.help or "").partition("\n\n")[0].split())


def help_text(context: click.Context) -> str:
    """The page for a terminal: usage, examples, then all the rest."""
    width = max(min(shutil.get_terminal_size().columns, _WIDEST) - 2, _NARROWEST)
    return laid_out(page_of(context), width, coloured=has_colours(sys.stdout))


def laid_out(page: Page, width: int, *, coloured: bool = False) -> str:
    """The page as text of that width; examples are never wrapped, so that they can be copied."""

    def heading(text: str) -> str:
        return click.style(f"{text}:", bold=True) if coloured else f"{text}:"

    formatter = click.HelpFormatter(width=width)
    formatter.write_usage(page.command, page.usage, f"{heading('Usage')} ")
    _write_paragraph(formatter, page.about)
    if page.examples:
        formatter.write(f"\n{heading('Examples')}\n")
        formatter.write("".join(f"  {line}".rstrip() + "\n" for line in page.examples))
    for paragraph in page.details:
        _write_paragraph(formatter, paragraph)
    for section in page.sections:
        formatter.write(f"\n{heading(section.heading)}\n")
        with formatter.indentation():
            formatter.write_dl(section.entries, _WIDEST_NAME)
    return formatter.getvalue().rstrip("\n")


def _write_paragraph(formatter: click.HelpFormatter, paragraph: Paragraph) -> None:
    formatter.write("\n")
    if isinstance(paragraph, str):
        with formatter.indentation():
            formatter.write_text(paragraph)
    else:
        formatter.write("".join(f"  {line}\n" for line in paragraph))


def _paragraphs(text: str) -> Iterator[Paragraph]:
    """The paragraphs of a docstring; those that begin with a line ``\\b`` keep their lines."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.strip("\n").splitlines()
        if lines and lines[0] == "\b":
            yield tuple(lines[1:])
        elif lines:
            yield " ".join(lines)


def _sections(context: click.Context) -> Iterator[Section]:
    command = context.command
    if isinstance(command, Program):
        for heading, commands in command.headings.items():
            yield Section(heading, tuple(_verbs(commands)))
    elif isinstance(command, click.Group):
        yield Section("Commands", tuple((name, short_help(below)) for name, below in command.commands.items()))
    params = command.get_params(context)
    arguments = (one for one in params if isinstance(one, click.Argument) and one.help)
    options = (one for one in params if isinstance(one, click.Option))
    yield Section("Arguments", tuple(_records(context, arguments)))
    yield Section("Options", tuple(_records(context, options)))
    if isinstance(command, Program):
        yield Section("Exit codes", tuple((str(code), meaning) for code, meaning in EXIT_CODES.items()))


def _verbs(commands: tuple[click.Command, ...]) -> Iterator[tuple[str, str]]:
    """Every verb that does something, with what it does."""
    for command in commands:
        for path, one in with_all_below(command, command.name or ""):
            if not isinstance(one, click.Group) and not one.hidden:
                yield path, short_help(one)


def _records(context: click.Context, params: Iterable[click.Parameter]) -> Iterator[tuple[str, str]]:
    for param in params:
        if record := param.get_help_record(context):
            yield record
