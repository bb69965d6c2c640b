"""The program ``receptorctl``: the options before the command, exit codes, and errors on one line."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

import click

from receptor import __version__
from receptor.ctl import mesh_verbs, node_verbs, terminal
from receptor.ctl.completion_verb import completion
from receptor.ctl.connection_options import connection_options
from receptor.ctl.context_verbs import context
from receptor.ctl.doctor.verb import doctor
from receptor.ctl.events_verb import events
from receptor.ctl.parameters import CONTEXT
from receptor.ctl.program import Program, settings_of
from receptor.ctl.top.verb import top
from receptor.ctl.work_verbs import work
from receptor.errors import ReceptorError

COMPLETE = "_RECEPTORCTL_COMPLETE"
"""The environment variable in which a shell asks for candidates, as click has it."""


def _show_version(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not context.resilient_parsing:
        terminal.say(f"receptorctl {__version__}")
        context.exit()


@click.group(
    cls=Program,
    short_help="Talk to a Receptor node.",
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"max_content_width": 100, "help_option_names": ["--help", "-h"]},
)
@connection_options(from_environment=True)
@click.option(
    "--context",
    "context_name",
    envvar="RECEPTORCTL_CONTEXT",
    show_envvar=True,
    metavar="NAME",
    type=CONTEXT,
    help="The context that says all this; 'receptorctl context --help' tells of them.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version of receptorctl.",
)
@click.pass_context
def receptorctl(context: click.Context, /, **_: object) -> int:
    """Talk to a Receptor node: see the mesh, run units of work and fetch their results.

    \b
    Examples:
      receptorctl status
      receptorctl --socket /tmp/foo.sock work submit echoint --node bar --no-payload -f
      receptorctl work results t1BlAB18

    Which node: the one that --socket names, or else RECEPTORCTL_SOCKET, a context, or the configuration of a node on
    this machine; 'receptorctl context show' tells. These options come before the command.
    """
    if context.invoked_subcommand is None:
        terminal.show_help(context)
    context.obj = settings_of(context)
    return 0


receptorctl.add_section(
    "The mesh",
    (
        node_verbs.status,
        mesh_verbs.nodes,
        mesh_verbs.services,
        mesh_verbs.routes,
        events,
        top,
        doctor,
        node_verbs.ping,
        node_verbs.traceroute,
        node_verbs.connect,
        node_verbs.reload,
    ),
)
receptorctl.add_section("Units of work", (work,))
receptorctl.add_section("This tool", (context, completion, node_verbs.version))


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit code. Every error that can be foreseen is one line on standard error."""
    if COMPLETE in os.environ:
        from receptor.ctl.completing import add_shells

        add_shells()
    try:
        exit_code: int | None = receptorctl.main(arguments, prog_name="receptorctl", standalone_mode=False)
    except click.Abort:
        return terminal.EXIT_INTERRUPTED
    except click.UsageError as error:
        from receptor.ctl.mistakes import explained

        terminal.fail(explained(error))
        return terminal.EXIT_FAILED
    except ReceptorError as error:
        from receptor.ctl.hints import advised

        terminal.fail(advised(error))
        return terminal.EXIT_FAILED
    return exit_code or 0


def run() -> NoReturn:
    """The entry point of the installed program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of few letters is no reason to fail
    sys.exit(main(sys.argv[1:]))
