"""The entry point of ``receptor``."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import receptor
from receptor.config.command_line import (
    Check,
    MakeCertificates,
    RunNode,
    RunTool,
    ShowHelp,
    ShowSample,
    ShowSchema,
    ShowVersion,
    node_configuration,
    parse_command_line,
)
from receptor.errors import OperatingError, ReceptorError

if TYPE_CHECKING:
    from receptor.config.configuration import Configuration

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130


def run() -> None:
    """Do what the command line says; the exit status is 0, or 1 with the reason on standard error.

    It is 130 after Ctrl-C before the node has begun to start.
    """
    try:
        _carry_out(sys.argv[1:])
    except ReceptorError as error:
        for line in str(error).splitlines():
            print(f"receptor: {line}", file=sys.stderr)
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _carry_out(words: list[str]) -> None:
    # What only one of these needs is imported where it is needed: questions of the user are answered at once.
    match parse_command_line(words):
        case ShowVersion():
            _say(receptor.__version__)
        case ShowHelp(action):
            from receptor.config.help import help_text

            _say(help_text(action))
        case ShowSchema():
            from receptor.config.schema import schema_text

            _say(schema_text())
        case ShowSample():
            from receptor.config.sample import sample_text

            _say(sample_text())
        case Check(work):
            from receptor.cli.checking import verdict

            found = verdict(work)
            for warning in found.warnings:
                print(f"receptor: warning: {warning}", file=sys.stderr)
            _say(found.text)
        case RunTool(name, arguments):
            _run_tool(name, list(arguments))
        case MakeCertificates(actions):
            from receptor.cli.cert_actions import carry_out

            carry_out(actions)
        case RunNode(configuration):
            _run_node(configuration, words)


def _run_tool(name: str, arguments: list[str]) -> None:
    match name:
        case "certs":
            from receptor.cli.certs import run_certs

            run_certs(arguments)
        case "init":
            from receptor.cli.init import run_init

            run_init(arguments)
        case "systemd":
            from receptor.cli.systemd_files import run_systemd

            run_systemd(arguments)


def _say(text: str) -> None:
    """Print an answer; a reader that has seen enough, as in ``| head``, is no error."""
    try:
        print(text, flush=True)
    except OSError as error:
        # Otherwise the interpreter tries once more at its end, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OperatingError(f"can't write to standard output: {error.strerror}") from None


def _run_node(configuration: Configuration, words: list[str]) -> None:
    # Whoever asks for a reload this early does not want the node to end. A handler, as an ignored signal is inherited.
    signal.signal(signal.SIGHUP, lambda *_: None)
    from receptor.cli.running import run_node

    run_node(configuration, lambda: node_configuration(words))
