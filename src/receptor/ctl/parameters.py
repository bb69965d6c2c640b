"""The arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import click

from receptor.errors import ConfigurationError, OperatingError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Candidates: TypeAlias = "list[CompletionItem[str]]"

_Function = TypeVar("_Function", bound=Callable[..., int])


class WholeNumber(click.ParamType[int]):
    """A whole number of 0 or more."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit()):
            self.fail(f"{text!r} is not a whole number of 0 or more", param, ctx)
        return int(text)


class UnitId(click.types.StringParamType):
    """The id of a unit of work, or the beginning of one that no other unit of the node has.

    ``running``: one that has not ended makes sense only, so that the others are not offered for completion.
    """

    name = "unit"

    def __init__(self, *, running: bool = False) -> None:
        self._running = running

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
        from receptor.ctl.live_names import units

        return units(ctx, incomplete, running=self._running)


class NodeId(click.types.StringParamType):
    """The id of a node of the mesh."""

    name = "node"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
        from receptor.ctl.live_names import nodes

        return nodes(ctx, incomplete)


class WorkType(click.types.StringParamType):
    """The name of a work type that some node offers."""

    name = "worktype"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
        from receptor.ctl.live_names import work_types

        return work_types(ctx, incomplete)


class Service(click.types.StringParamType):
    """The name of a service that some node offers."""

    name = "service"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
        from receptor.ctl.live_names import services

        return services(ctx, incomplete)


class FileName(click.types.StringParamType):
    """The name of a file, or - for standard input where a verb says so."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class ContextName(click.types.StringParamType):
    """The name of a context of the user."""

    name = "context"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Candidates:
        from receptor.ctl.contexts import read_contexts
        from receptor.ctl.live_names import beginning_with

        try:
            contexts = read_contexts()
        except (ConfigurationError, OperatingError):
            return []  # the command itself tells what is wrong
        return beginning_with(incomplete, {name: one.socket or one.config for name, one in contexts.by_name.items()})


UNIT_ID, RUNNING_UNIT_ID = UnitId(), UnitId(running=True)
NODE_ID, WORK_TYPE, SERVICE = NodeId(), WorkType(), Service()
WHOLE_NUMBER = WholeNumber()
FILE, CONTEXT = FileName(), ContextName()


def json_option(help: str = "Print JSON instead, for programs.") -> Callable[[_Function], _Function]:
    """The option ``--json``, which the function gets as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def node_option(help: str) -> Callable[[_Function], _Function]:
    """The option ``--node``, which the function gets as ``node``."""
    return click.option("--node", metavar="NODE", type=NODE_ID, help=help)


def tls_client_option() -> Callable[[_Function], _Function]:
    """The option ``--tls-client`` of verbs that may go to another node, which the function gets as ``tlsclient``."""
    return click.option(
        "--tls-client",
        "tlsclient",
        metavar="NAME",
        help="Reach the other node with this tls-client of the node connected to.",
    )
