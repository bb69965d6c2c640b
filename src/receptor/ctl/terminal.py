"""Everything that is printed: answers and results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from receptor.errors import OperatingError

EXIT_FAILED = 1
EXIT_PING_FAILED = 2
EXIT_NOT_SUBMITTED = 101
EXIT_INTERRUPTED = 130
EXIT_OUTPUT_CLOSED = 141


def say(text: str = "") -> None:
    """Print one line of an answer."""
    with _output():
        click.echo(_printable(text))


def show_json(value: object) -> None:
    """Print an answer as JSON, keys in order, as scripts know it."""
    import json

    with _output():
        click.echo(json.dumps(value, indent=4, sort_keys=True))


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
    click.echo(_printable(text), err=True)


def tell_after_interrupt(text: str) -> None:
    """Say on standard error what Ctrl-C came to; below the ``^C`` that a terminal shows."""
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo(err=True)
    tell(text)


def show_help(context: click.Context) -> None:
    """Answer a command line that lacks a command; it ends the program with exit code 1."""
    click.echo(context.get_help(), err=True)
    context.exit(EXIT_FAILED)


def warn(text: str) -> None:
    click.echo(click.style(f"Warning: {_printable(text)}", fg="magenta"), err=True)


def fail(text: str) -> None:
    """Report on one line what went wrong."""
    click.echo(click.style(f"ERROR: {_printable(text)}", fg="red"), err=True)


def _printable(text: str) -> str:
    """The text on one line; what other nodes call themselves must not steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


@contextmanager
def _output() -> Iterator[None]:
    """End the program quietly when nobody reads its output any more, as ``cat`` would."""
    if sys.stdout is None:
        raise OperatingError("standard output is closed; redirect it to /dev/null if you don't want it")
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_OUTPUT_CLOSED)
    except OSError as error:
        raise OperatingError(f"can't write to standard output: {error.strerror}") from error
