"""Everything that is printed: answers and results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TextIO

import click

from receptor.ctl.plain_text import printable
from receptor.errors import OperatingError

if TYPE_CHECKING:
    from datetime import datetime

    from receptor.ctl.tables import Cell, Column, Row

EXIT_FAILED = 1
EXIT_PING_FAILED = 2
EXIT_RELOAD_NEEDS_RESTART = 3
EXIT_RELOAD_CONFIGURATION = 4
EXIT_RELOAD_FAILED = 5
EXIT_NOT_SUBMITTED = 101
EXIT_TIMED_OUT = 124
EXIT_INTERRUPTED = 130
EXIT_OUTPUT_CLOSED = 141

EXIT_CODES = {
    0: "Done.",
    EXIT_FAILED: "Not done: a wrong command line, no connection, a refusal by the node, an unknown unit, or a unit "
    "that failed; doctor: there is a problem.",
    EXIT_PING_FAILED: "ping: at least one ping failed; doctor: there are warnings, but no problem.",
    EXIT_RELOAD_NEEDS_RESTART: "reload: a change needs a restart of the node.",
    EXIT_RELOAD_CONFIGURATION: "reload: the configuration has an error, or a backend failed.",
    EXIT_RELOAD_FAILED: "reload: it failed otherwise.",
    EXIT_NOT_SUBMITTED: "work submit: the node was reached, but the work could not be submitted, or its results were "
    "lost.",
    EXIT_TIMED_OUT: "work wait, work submit: the time of --timeout is over.",
    EXIT_INTERRUPTED: "Ctrl-C.",
    EXIT_OUTPUT_CLOSED: "Nobody reads the output any more, as in 'receptorctl ... | head'.",
}
"""What every exit code means, for help, manual pages and docs/receptorctl.md."""
make_room: Callable[[], AbstractContextManager[None]] = nullcontext
"""Takes away, while something is printed, the line that ``live_line`` draws on the terminal, if it draws one."""


def say(text: str = "") -> None:
    """Print one line of an answer."""
    with _output():
        click.echo(printable(text))


def show_text(text: str) -> None:
    """Print lines that are ours, with such colours as they have."""
    with _output():
        click.echo(text)


def show_json(value: object) -> None:
    """Print an answer as JSON, keys in order, as scripts know it."""
    import json

    with _output():
        click.echo(json.dumps(value, indent=4, sort_keys=True))


def show_json_line(value: object) -> None:
    """Print one record of a stream of them, on a line of its own and at once."""
    import json

    with _output():
        click.echo(json.dumps(value, sort_keys=True))


def show_table(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Print a table: fitted to the terminal and in colour, or whole and plain where there is no terminal."""
    from receptor.ctl.tables import table_lines

    width = os.get_terminal_size(sys.stdout.fileno()).columns if is_terminal(sys.stdout) else None
    with _output():
        for line in table_lines(columns, rows, width=width or None, coloured=has_colours(sys.stdout)):
            click.echo(line)


def say_cells(cells: Iterable[Cell]) -> None:
    """Print one line of texts with a space between them, in their colours on a terminal."""
    coloured = has_colours(sys.stdout)
    texts = (
        click.style(printable(cell.text), fg=cell.colour) if coloured and cell.colour else printable(cell.text)
        for cell in cells
    )
    with _output():
        click.echo(" ".join(texts))


def when(moment: str | datetime | None) -> str:
    """A moment for a table: how long ago on a terminal, RFC 3339 elsewhere; ``-`` if there is none."""
    import time

    from receptor.ctl.moments import ago, parse_moment, rfc3339, seconds_of

    seconds = parse_moment(moment) if isinstance(moment, str) else seconds_of(moment)
    if moment is None or seconds is None:
        return "-"
    if is_terminal(sys.stdout):
        return ago(seconds, time.time())
    return moment if isinstance(moment, str) else rfc3339(moment)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads that stream."""
    return stream is not None and stream.isatty()


def has_colours(stream: TextIO | None) -> bool:
    """Whether to write colours to that stream: to a terminal that has some, unless NO_COLOR is set (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_bytes(data: bytes) -> None:
    """Pass bytes to standard output at once, exactly as they are."""
    with _output():
        descriptor = sys.stdout.fileno()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # another program that shares our standard output has made it so
                select.select([], [descriptor], [])


def tell(text: str) -> None:
    """Say something on standard error that is neither a warning nor an error."""
    with make_room():
        click.echo(printable(text), err=True)


def tell_after_interrupt(text: str) -> None:
    """Say on standard error what Ctrl-C came to; below the ``^C`` that a terminal shows."""
    if is_terminal(sys.stderr):
        click.echo(err=True)
    tell(text)


def show_help(context: click.Context) -> None:
    """Answer a command line that lacks a command; it ends the program with exit code 1."""
    click.echo(context.get_help(), err=True)
    context.exit(EXIT_FAILED)


def warn(text: str) -> None:
    _complain(f"Warning: {printable(text)}", "magenta")


def fail(text: str) -> None:
    """Report on one line what went wrong."""
    _complain(f"ERROR: {printable(text)}", "red")


def _complain(text: str, colour: str) -> None:
    with make_room():
        click.echo(click.style(text, fg=colour) if has_colours(sys.stderr) else text, err=True)


@contextmanager
def _output() -> Iterator[None]:
    """End the program quietly when nobody reads its output any more, as ``cat`` would."""
    if sys.stdout is None:
        raise OperatingError("standard output is closed; redirect it to /dev/null if you don't want it")
    try:
        with make_room() if is_terminal(sys.stdout) else nullcontext():
            yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_OUTPUT_CLOSED)
    except OSError as error:
        raise OperatingError(f"can't write to standard output: {error.strerror}") from error


def can_ask() -> bool:
    """Whether a person sits there who can answer."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def confirm(question: str) -> bool:
    """Ask on the terminal, yes or no; no if Enter is all that is pressed."""
    return click.confirm(printable(question), err=True)
