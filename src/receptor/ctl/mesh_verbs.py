"""``receptorctl nodes``, ``services`` and ``routes``: the mesh as the node sees it, a table each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import json_option

if TYPE_CHECKING:
    from receptor.client.fields import JsonObject
    from receptor.client.replies import NodeStatus
    from receptor.ctl.settings import Settings


@click.command(short_help="List the nodes of the mesh.")
@json_option()
@click.pass_obj
def nodes(settings: Settings, as_json: bool) -> int:
    """List the nodes of the mesh that the node knows of, itself first.

    STATE is "self", "linked" (a neighbour), "reachable" (over others) or "unreachable" (known, but there is no way to
    it now). VIA is the neighbour on the way, COST that of the whole way.

    \b
    Examples:
      receptorctl nodes
      receptorctl nodes --json | jq -r '.[] | select(.State == "unreachable").NodeID'
    """
    from receptor.ctl import mesh_tables, mesh_view

    return _show(mesh_view.nodes(_ask(settings)), mesh_tables.show_nodes, as_json)


@click.command(short_help="List the services of the mesh.")
@json_option()
@click.pass_obj
def services(settings: Settings, as_json: bool) -> int:
    """List the services that the nodes of the mesh offer, with their tags.

    \b
    Examples:
      receptorctl services
      receptorctl services --json | jq -r '.[] | select(.NodeID == "bar").Service'
    """
    from receptor.ctl import mesh_tables, mesh_view

    return _show(mesh_view.services(_ask(settings)), mesh_tables.show_services, as_json)


@click.command(short_help="List the routes of the node.")
@json_option()
@click.pass_obj
def routes(settings: Settings, as_json: bool) -> int:
    """List the routes to all nodes in reach: the neighbour on the way, and the cost of the whole way.

    \b
    Examples:
      receptorctl routes
      receptorctl routes --json | jq '.[] | select(.Via == "bar")'
    """
    from receptor.ctl import mesh_tables, mesh_view

    return _show(mesh_view.routes(_ask(settings)), mesh_tables.show_routes, as_json)


class _Shown(Protocol):
    def as_json(self) -> JsonObject: ...


_Kind = TypeVar("_Kind", bound=_Shown)


def _show(found: Sequence[_Kind], show_table: Callable[[Sequence[_Kind]], None], as_json: bool) -> int:
    if as_json:
        terminal.show_json([one.as_json() for one in found])
    else:
        show_table(found)
    return 0


def _ask(settings: Settings) -> NodeStatus:
    from receptor.client.replies import NodeStatus

    with settings.client() as client:
        return NodeStatus.parse(client.status())
