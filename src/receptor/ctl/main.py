"""The program ``receptorctl``: the options before the command, exit codes, and errors on one line."""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import click

from receptor.ctl import mesh_verbs, node_verbs, terminal
from receptor.ctl.doctor.verb import doctor
from receptor.ctl.events_verb import events
from receptor.ctl.settings import Settings
from receptor.ctl.top.verb import top
from receptor.ctl.work_verbs import work
from receptor.errors import ReceptorError, UnknownUnit


@click.group(
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"max_content_width": 100},
    epilog="""\b
Examples:
  receptorctl --socket /tmp/foo.sock status
  export RECEPTORCTL_SOCKET=/tmp/foo.sock
  receptorctl work submit echoint --node bar --no-payload -f
""",
)
@click.option(
    "--socket",
    envvar="RECEPTORCTL_SOCKET",
    show_envvar=True,
    metavar="ADDRESS",
    help="Where the node's control service listens: the path of a Unix socket, tcp://HOST:PORT or tls://HOST:PORT.",
)
@click.option(
    "--config",
    "-c",
    envvar="RECEPTORCTL_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help="A configuration file of Receptor, to take the tls-client from.",
)
@click.option(
    "--tls-client",
    "tlsclient",
    envvar="RECEPTORCTL_TLSCLIENT",
    show_envvar=True,
    metavar="NAME",
    help="The tls-client of that file to use for tls://.",
)
@click.option("--rootcas", metavar="FILE", help="Trust these authorities instead of the system's for tls://.")
@click.option("--key", metavar="FILE", help="The private key of --cert.")
@click.option("--cert", metavar="FILE", help="The certificate to show for tls://.")
@click.option(
    "--insecureskipverify",
    type=bool,
    default=False,
    show_default=True,
    help="Accept any certificate for tls://.",
)
@click.pass_context
def receptorctl(
    context: click.Context,
    socket: str | None,
    config: str | None,
    tlsclient: str | None,
    rootcas: str | None,
    key: str | None,
    cert: str | None,
    insecureskipverify: bool,
) -> None:
    """Talk to a Receptor node: see the mesh, run units of work and fetch their results."""
    if context.invoked_subcommand is None:
        terminal.show_help(context)
    context.obj = Settings(
        socket or "", config or "", tlsclient or "", rootcas or "", key or "", cert or "", insecureskipverify
    )


for command in (
    node_verbs.status,
    mesh_verbs.nodes,
    mesh_verbs.services,
    mesh_verbs.routes,
    events,
    doctor,
    top,
    node_verbs.ping,
    node_verbs.traceroute,
    node_verbs.reload,
    node_verbs.connect,
    node_verbs.version,
    work,
):
    receptorctl.add_command(command)


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit code. Every error that can be foreseen is one line on standard error."""
    try:
        exit_code: int | None = receptorctl.main(arguments, prog_name="receptorctl", standalone_mode=False)
    except click.Abort:
        return terminal.EXIT_INTERRUPTED
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "receptorctl"
        terminal.fail(f"{error.format_message()} ('{command} --help' explains)")
        return terminal.EXIT_FAILED
    except UnknownUnit as error:
        terminal.fail(f"{error}; 'receptorctl work list' shows the units of this node")
        return terminal.EXIT_FAILED
    except ReceptorError as error:
        terminal.fail(str(error))
        return terminal.EXIT_FAILED
    return exit_code or 0


def run() -> NoReturn:
    """The entry point of the installed program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of few letters is no reason to fail
    sys.exit(main(sys.argv[1:]))
