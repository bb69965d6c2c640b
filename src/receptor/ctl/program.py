"""What the program adds to click: verbs under headings, help of our own, and where a failing address comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType

import click
from click.core import ParameterSource

from receptor.ctl import terminal
from receptor.ctl.settings import Settings
from receptor.errors import ConfigurationError, OperatingError, PeerError, UnreachableError


class PageContext(click.Context):
    """The context of a command whose help is laid out by ``pages``."""

    def get_help(self) -> str:
        from receptor.ctl.pages import help_text  # only who asks for help pays for it

        return help_text(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Note in a mistake that click's parser has found in which command it is."""
        if isinstance(error, click.UsageError) and error.ctx is None:
            error.ctx = self
        super().__exit__(kind, error, trace)


def _show_help(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not context.resilient_parsing:
        terminal.show_text(context.get_help())
        context.exit()


_HELP = click.Option(
    ["--help", "-h"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_help,
    help="Show this message and exit.",
)
"""Instead of click's own, which ends in a traceback where standard output is full."""


class Program(click.Group):
    """A group whose commands stand under headings."""

    context_class = PageContext
    headings: dict[str, tuple[click.Command, ...]] = {}

    def add_section(self, heading: str, commands: Iterable[click.Command]) -> None:
        """Add commands, and show them under that heading."""
        self.headings = {**self.headings, heading: tuple(commands)}
        for command in self.headings[heading]:
            self.add_command(command)
            for _, one in with_all_below(command, command.name or ""):
                one.context_class = PageContext
                one.add_help_option = False
                one.params.append(_HELP)

    def get_help_option(self, ctx: click.Context) -> click.Option:
        return _HELP

    def invoke(self, ctx: click.Context) -> object:
        """Do what the words say. An address that fails, and that nobody has typed, is told with its origin."""
        try:
            return super().invoke(ctx)
        except (ConfigurationError, OperatingError, PeerError, UnreachableError) as error:
            error.args = (_with_origin(str(error), ctx.obj),)
            raise


def settings_of(context: click.Context) -> Settings:
    """What the program's own options say, typed or in the environment; raises UsageError if they contradict."""
    params, typed = context.params, _typed(context)
    if {"socket", "context_name"} <= typed:
        raise click.UsageError("--socket and --context both say where the node is; give one of them", context)
    if "context_name" in typed:
        # What the environment says is of another node.
        params = {name: value for name, value in params.items() if name in typed}
    origin = ""
    if params.get("socket"):
        origin = "" if "socket" in typed else "from RECEPTORCTL_SOCKET"
    elif params.get("context_name"):
        origin = "" if "context_name" in typed else "from RECEPTORCTL_CONTEXT"
    return Settings(
        socket=params.get("socket") or "",
        config=params.get("config") or "",
        tls_client=params.get("tlsclient") or "",
        rootcas=params.get("rootcas") or "",
        key=params.get("key") or "",
        cert=params.get("cert") or "",
        insecureskipverify=params.get("insecureskipverify") or False,
        context="" if params.get("socket") else params.get("context_name") or "",
        origin=origin,
    )


def _typed(context: click.Context) -> set[str]:
    return {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}


def with_all_below(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """A command and, if it is a group, those below it, each after its path: ``work``, ``work submit``."""
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from with_all_below(below, f"{path} {name}".strip())


def _with_origin(text: str, settings: object) -> str:
    """The text of an error, with the origin of the node's address if it names that."""
    if not isinstance(settings, Settings):
        return text
    try:
        resolved = settings.resolved
    except (ConfigurationError, OperatingError):
        return text  # which says where it has looked
    told = text.replace(f"--socket {resolved.socket}", "")  # in a command to copy
    return f"{text} (address {resolved.origin})" if resolved.origin and resolved.socket in told else text
