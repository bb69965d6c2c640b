"""The names that exist right now, for completion: units, nodes, work types and services, asked of the node."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import click
from click.shell_completion import CompletionItem

from receptor.client.replies import CANCELED, FAILED, SUCCEEDED, JsonObject, NodeStatus
from receptor.ctl.program import settings_of
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
            unit_id: _unit(status)
            for unit_id, status in client.units().items()
            if isinstance(status, dict) and unit_id not in named and not (running and _has_ended(status))
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


class _TooLate(BaseException):
    """The time is over; no Exception, so that nothing between takes it for trouble of its own."""


def _answers(
    context: click.Context, incomplete: str, ask: Callable[[ControlClient], Names]
) -> list[CompletionItem[str]]:
    """Candidates by what the node says; none if it does not say it in time, since nobody has asked for an error."""
    try:
        with _time_limit(PATIENCE), settings_of(context.find_root()).client() as client:
            return beginning_with(incomplete, ask(client))
    except (ReceptorError, click.UsageError, _TooLate):
        return []


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TooLate after that time, wherever the block is then; a process that completes does nothing else."""

    def end(*_: object) -> None:
        raise _TooLate

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _status(client: ControlClient, *fields: str) -> NodeStatus:
    return NodeStatus.parse(client.ask({"command": "status", "requested_fields": list(fields)}))


def _unit(status: JsonObject) -> str:
    """What a person may know a unit by: its name, state and work type, and where it runs."""
    extra = status.get("ExtraData")
    remote = extra if isinstance(extra, dict) else {}
    work_type = remote.get("RemoteWorkType") or status.get("WorkType")
    node = f"on {remote['RemoteNode']}" if remote.get("RemoteNode") else ""
    return ", ".join(_texts((status.get("Name"), status.get("StateName"), work_type, node)))


def _texts(values: Iterable[object]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)


def _has_ended(status: JsonObject) -> bool:
    return status.get("State") in (SUCCEEDED, FAILED, CANCELED)
