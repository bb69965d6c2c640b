"""``receptorctl context``: names for nodes that one talks to often."""

from __future__ import annotations

import click

from receptor.ctl import terminal
from receptor.ctl.connection_options import connection_options
from receptor.ctl.parameters import CONTEXT, json_option
from receptor.ctl.settings import Settings
from receptor.errors import ConfigurationError


@click.group(
    short_help="Give names to nodes, and say which one is meant.",
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.pass_context
def context(context: click.Context) -> None:
    """Give names to the nodes that you talk to often, and say which one is meant.

    \b
    Examples:
      receptorctl context set lab --socket tls://lab.example.com:8888 --rootcas ~/lab/ca.crt
      receptorctl --context lab status
      receptorctl context use lab

    A context stands for the options before the command. It is taken if --context or RECEPTORCTL_CONTEXT names it, or if
    it is the default and neither --socket nor RECEPTORCTL_SOCKET is given. The contexts are in
    ~/.config/receptorctl/contexts.toml.
    """
    if context.invoked_subcommand is None:
        terminal.show_help(context)


@context.command("list", short_help="List the contexts.")
@json_option()
def list_contexts(as_json: bool) -> int:
    """List the contexts, and which one is the default.

    \b
    Examples:
      receptorctl context list
      receptorctl context list --json | jq -r '.[].name'
    """
    from receptor.ctl.contexts import read_contexts
    from receptor.ctl.tables import Column

    contexts = read_contexts()
    everything = sorted(contexts.by_name.items())
    if as_json:
        terminal.show_json(
            [{"name": name, "default": name == contexts.default, **settings.said()} for name, settings in everything]
        )
        return 0
    if not everything:
        terminal.tell("There are no contexts yet; make one: receptorctl context set NAME --socket ADDRESS")
        return 0
    rows = [
        (name, settings.socket or f"as in {settings.config}", "yes" if name == contexts.default else "")
        for name, settings in everything
    ]
    terminal.show_table((Column("CONTEXT"), Column("NODE"), Column("DEFAULT")), rows)
    return 0


@context.command(short_help="Show which node commands go to, and why.")
@json_option()
@click.pass_obj
def show(settings: Settings, as_json: bool) -> int:
    """Show which node commands with these options and this environment go to, and who says so.

    \b
    Examples:
      receptorctl context show
      receptorctl --context lab context show
    """
    resolved = settings.resolved
    said = {**resolved.said(), "origin": resolved.origin or "from --socket"}
    if as_json:
        terminal.show_json(said)
        return 0
    for key, value in said.items():
        terminal.say(f"{key + ':':<20}{value if isinstance(value, str) else 'true'}")
    return 0


@context.command("set", short_help="Make a context, or replace one.")
@click.argument("name", type=CONTEXT)
@connection_options(from_environment=False)
def set_context(
    name: str,
    socket: str | None,
    config: str | None,
    tlsclient: str | None,
    rootcas: str | None,
    key: str | None,
    cert: str | None,
    insecureskipverify: bool,
) -> int:
    """Let NAME stand for these options, in place of those that it stood for.

    \b
    Examples:
      receptorctl context set foo --socket /tmp/foo.sock
      receptorctl context set bar --config /etc/receptor/bar.conf
      receptorctl context set lab --socket tls://lab.example.com:8888 --cert me.crt --key me.key
    """
    from receptor.ctl.contexts import read_contexts, write_contexts

    if not (socket or config):
        raise ConfigurationError(
            f"the context {name} needs to know where the node is; give --socket ADDRESS, or --config FILE to take its "
            "socket from there"
        )
    settings = Settings(
        socket or "", config or "", tlsclient or "", rootcas or "", key or "", cert or "", insecureskipverify
    )
    write_contexts(read_contexts().with_context(name, settings))
    terminal.tell(f"Context {name} is set. To use it: receptorctl --context {name} status")
    return 0


@context.command(short_help="Make a context the default.")
@click.argument("name", type=CONTEXT, required=False)
@click.option("--none", is_flag=True, help="Have no default any more.")
def use(name: str | None, none: bool) -> int:
    """Make NAME the context that is taken where nothing else says which node.

    \b
    Examples:
      receptorctl context use lab
      receptorctl context use --none
    """
    from dataclasses import replace

    from receptor.ctl.contexts import read_contexts, write_contexts

    if none == bool(name):
        raise ConfigurationError("give either the name of a context or --none; 'receptorctl context list' shows all")
    contexts = read_contexts()
    if name:
        contexts.find(name)
    write_contexts(replace(contexts, default=name or ""))
    terminal.tell(f"Commands go to {name} now." if name else "No context is the default now.")
    return 0


@context.command(short_help="Forget a context.")
@click.argument("name", type=CONTEXT)
def remove(name: str) -> int:
    """Forget what NAME stands for.

    \b
    Examples:
      receptorctl context remove lab
    """
    from receptor.ctl.contexts import read_contexts, write_contexts

    write_contexts(read_contexts().without(name))
    terminal.tell(f"Context {name} is removed.")
    return 0
