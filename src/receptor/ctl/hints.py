"""What to add where a node refuses, or another does not answer: the name that was probably meant, the next step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from receptor.ctl import terminal
from receptor.ctl.meant import nearest
from receptor.errors import ReceptorError, UnknownUnit

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.client.replies import NodeStatus
    from receptor.ctl.settings import Settings


def meant_on(client: ControlClient, node: str, *, service: str = "", work_type: str = "") -> str:
    """What to add to the refusal of a service or work type of a node: ``; did you mean 'bar'?``, or nothing.

    It asks the node for its status, and adds nothing if it does not get that: the refusal is what matters.
    """
    status = _status(client)
    meant = _meant(status, node, service, work_type) if status else ""
    return f"; did you mean {meant!r}?" if meant else ""


def unknown_node(client: ControlClient, node_id: str) -> str:
    """``foo knows no node 'baz'; did you mean 'bar'?``; empty if it knows that node, or does not tell."""
    status = _status(client)
    if status is None:
        return ""
    known = _node_ids(status)
    return "" if node_id in known or node_id == "localhost" else _unknown(status.node_id, node_id, known)


def tell_next_step(client: ControlClient, settings: Settings, node_id: str) -> None:
    """Say on standard error why ``node_id`` may not answer and what to do; nothing if its status can't be had."""
    status = _status(client)
    if status is not None:
        terminal.tell(next_step(status, node_id, settings))


def next_step(status: NodeStatus, node_id: str, settings: Settings) -> str:
    """The sentence for a person. Pure."""
    from receptor.ctl.mesh_view import nodes

    by_id = {node.node_id: node for node in nodes(status)}
    known = by_id.get(node_id)
    if known is None:
        return f"{_unknown(status.node_id, node_id, by_id)} All nodes that it knows: {settings.command_line('nodes')}"
    if known.standing == "unreachable":
        doctor = settings.command_line("doctor")
        return f"{status.node_id} knows {node_id}, but has no way to it now. What may be wrong: {doctor}"
    trace = settings.command_line("traceroute", node_id)
    return f"There is a way to {node_id}, but no answer. How far it leads: {trace}"


def _status(client: ControlClient) -> NodeStatus | None:
    """The node's status; None if it can't be had: what has failed before is what matters."""
    from receptor.client.replies import NodeStatus

    try:
        return NodeStatus.parse(client.status())
    except ReceptorError:
        return None


def _unknown(asked: str, node_id: str, known: Iterable[str]) -> str:
    meant = nearest(node_id, known)
    guess = f"; did you mean {meant!r}?" if meant else "."
    return f"{asked} knows no node {node_id!r}{guess}"


def _node_ids(status: NodeStatus) -> set[str]:
    return {status.node_id, *status.known_costs, *status.routes}


def _meant(status: NodeStatus, node: str, service: str, work_type: str) -> str:
    """The name instead of the first one that does not exist; empty if all do, or nothing is near."""
    nodes = _node_ids(status)
    wanted = status.node_id if node == "localhost" else node
    if wanted not in nodes:
        return nearest(wanted, nodes)
    offers = [one for one in status.advertisements if one.node_id == wanted]
    services = {one.service for one in offers}
    work_types = {one.name for offer in offers for one in offer.work_types}
    for given, names in ((service, services), (work_type, work_types)):
        if given and given not in names:
            return nearest(given, names)
    return ""


def advised(error: ReceptorError) -> str:
    """What the error says, and what to do next where it does not say that itself."""
    if isinstance(error, UnknownUnit):
        return f"{error}; 'receptorctl work list' shows the units of this node"
    return str(error)


def about_unit(unit_id: str, text: str) -> str:
    """The text, which names the unit."""
    return text if unit_id in text else f"{unit_id}: {text}"
