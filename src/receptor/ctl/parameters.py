"""The arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

_Function = TypeVar("_Function", bound=Callable[..., int])


class UnitId(click.types.StringParamType):
    """The id of a unit of work, or the beginning of one that no other unit of the node has."""

    name = "unit"


class NodeId(click.types.StringParamType):
    """The id of a node of the mesh."""

    name = "node"


class WorkType(click.types.StringParamType):
    """The name of a work type that some node offers."""

    name = "worktype"


class Service(click.types.StringParamType):
    """The name of a service that some node offers."""

    name = "service"


UNIT_ID, NODE_ID, WORK_TYPE, SERVICE = UnitId(), NodeId(), WorkType(), Service()


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
