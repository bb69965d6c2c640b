"""What to do when a node does not answer: the next step, and the name that was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receptor.ctl import terminal
from receptor.ctl.meant import nearest
from receptor.errors import ReceptorError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.client.replies import NodeStatus
    from receptor.ctl.settings import Settings


def tell_next_step(client: ControlClient, settings: Settings, node_id: str) -> None:
    """Say on standard error why ``node_id`` may not answer and what to do; nothing if its status can't be had."""
    from receptor.client.replies import NodeStatus

    try:
        status = NodeStatus.parse(client.status())
    except ReceptorError:
        return  # the failure itself has been told already
    terminal.tell(next_step(status, node_id, settings))


def next_step(status: NodeStatus, node_id: str, settings: Settings) -> str:
    """The sentence for a person. Pure."""
    from receptor.ctl.mesh_view import nodes

    by_id = {node.node_id: node for node in nodes(status)}
    known = by_id.get(node_id)
    if known is None:
        meant = nearest(node_id, by_id)
        guess = f"; did you mean {meant!r}?" if meant else "."
        listing = settings.command_line("nodes")
        return f"{status.node_id} knows no node {node_id!r}{guess} All nodes that it knows: {listing}"
    if known.standing == "unreachable":
        return f"{status.node_id} knows {node_id}, but has no way to it now. What may be wrong: {_doctor(settings)}"
    trace = settings.command_line("traceroute", node_id)
    return f"There is a way to {node_id}, but no answer. How far it leads: {trace}"


def _doctor(settings: Settings) -> str:
    return settings.command_line("doctor")
