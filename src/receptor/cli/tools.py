"""The commands of ``receptor`` that are no node: their words, errors and output, as people have it from others."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from receptor.errors import ConfigurationError

if TYPE_CHECKING:
    from receptor.cli.new_node.wanted import Dial
    from receptor.config.kind import Kind

T = TypeVar("T")


def run_tool(command: click.Command, name: str, arguments: Sequence[str]) -> None:
    """Do what the words after ``receptor NAME`` say; raises ReceptorError if it can't be done."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of few letters is no reason to fail
    try:
        command.main(list(arguments), prog_name=f"receptor {name}", standalone_mode=False)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else f"receptor {name}"
        raise ConfigurationError(f"{error.format_message().rstrip('.')} ('{path} --help' explains)") from None


def value_of(kind: Kind) -> Callable[[str], object]:
    """A value of one of the configuration's kinds, for click."""

    def read(text: str) -> object:
        return read_as(kind.read, text, kind.expects)

    return read


def peer_address(text: str) -> Dial:
    """A node to dial, for click."""
    from receptor.cli.new_node.wanted import A_PEER, dial_of

    return read_as(dial_of, text, A_PEER)


def read_as(read: Callable[[str], T], text: str, expects: str) -> T:
    """What the text stands for; raises click.BadParameter if the reader raises ValueError."""
    try:
        return read(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not {expects}") from None
