"""The names that exist right now, for completion: units, nodes, work types and services, asked of the node."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import click
from click.shell_completion import CompletionItem

from receptor.client.replies import NodeStatus
from receptor.client.unit_replies import UnitStatus, parse_units
from receptor.ctl.program import settings_of
from receptor.ctl.time_limit import TimeIsUp, time_limit
from receptor.errors import ReceptorError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient

PATIENCE = 0.5
"""Seconds that a person who has pressed TAB may wait for the node."""

Names: TypeAlias = Mapping[str, str]
"""What each name means, by name."""

_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]*")
"""Names come from other nodes, and get onto command lines: a shell must not find anything in them to expand or do."""


def units(context: click.Context, incomplete: str, *, running: bool) -> list[CompletionItem[str]]:
    """The unit ids of the node, or of the one that ``--node`` names; only of those that have not ended if wanted."""
    params = context.params

    def ask(client: ControlClient) -> Names:
        if node := params.get("node"):
            client.go_to(node, params.get("tlsclient") or "")
        named = params.get("unit_ids") or ()
        return {
            unit.unit_id: _unit(unit)
            for unit in parse_units(client.units())
            if unit.unit_id not in named and not (running and unit.ended)
        }

    return _answers(context, incomplete, ask)


def nodes(context: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """The ids of the nodes that the node knows, itself included."""

    def ask(client: ControlClient) -> Names:
        status = _status(client, "NodeID", "RoutingTable", "Connections", "KnownConnectionCosts")
        linked = {node for node, _ in status.connections}
        names = dict.fromkeys(status.known_costs, "out of reach")
        names |= {node: "linked" if node in linked else f"via {via}" for node, via in status.routes.items()}
        return {**names, status.node_id: "this node"}

    return _answers(context, incomplete, ask)


def work_types(context: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """The work types of the node that ``--node`` names, or of all nodes."""
    wanted = context.params.get("node")

    def ask(client: ControlClient) -> Names:
        found: dict[str, list[str]] = {}
        for one in _status(client, "Advertisements").advertisements:
            if wanted in (None, one.node_id):
                for work_type in one.work_types:
                    found.setdefault(work_type.name, []).append(one.node_id)
        return {name: f"on {', '.join(dict.fromkeys(on))}" for name, on in found.items()}

    return _answers(context, incomplete, ask)


def services(context: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """The services of the node that the command names, or of all nodes."""
    wanted = context.params.get("node")

    def ask(client: ControlClient) -> Names:
        found = _status(client, "Advertisements").advertisements
        return {one.service: f"on {one.node_id}" for one in found if wanted in (None, one.node_id)}

    return _answers(context, incomplete, ask)


def beginning_with(incomplete: str, names: Names) -> list[CompletionItem[str]]:
    """The candidates among the names."""
    return [
        CompletionItem(name, help=meaning)
        for name, meaning in names.items()
        if name.startswith(incomplete) and _HARMLESS.fullmatch(name)
    ]


def _answers(
    context: click.Context, incomplete: str, ask: Callable[[ControlClient], Names]
) -> list[CompletionItem[str]]:
    """Candidates by what the node says; none if it does not say it in time, since nobody has asked for an error."""
    try:
        with time_limit(PATIENCE), settings_of(context.find_root()).client() as client:
            return beginning_with(incomplete, ask(client))
    except (ReceptorError, click.UsageError, TimeIsUp):
        return []


def _status(client: ControlClient, *fields: str) -> NodeStatus:
    return NodeStatus.parse(client.ask({"command": "status", "requested_fields": list(fields)}))


def _unit(unit: UnitStatus) -> str:
    """What a person may know a unit by: its name, state and work type, and where it runs."""
    node = f"on {unit.remote_node}" if unit.remote_node else ""
    return ", ".join(filter(None, (unit.name, unit.state.title, unit.work_type, node)))
