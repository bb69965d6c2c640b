"""What to add to a refusal by the node: the name that was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receptor.ctl.meant import nearest
from receptor.errors import ReceptorError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.client.replies import NodeStatus


def meant_on(client: ControlClient, node: str, *, service: str = "", work_type: str = "") -> str:
    """What to add to the refusal of a service or work type of a node: ``; did you mean 'bar'?``, or nothing.

    It asks the node for its status, and adds nothing if it does not get that: the refusal is what matters.
    """
    from receptor.client.replies import NodeStatus

    try:
        meant = _meant(NodeStatus.parse(client.status()), node, service, work_type)
    except ReceptorError:
        return ""
    return f"; did you mean {meant!r}?" if meant else ""


def _meant(status: NodeStatus, node: str, service: str, work_type: str) -> str:
    """The name instead of the first one that does not exist; empty if all do, or nothing is near."""
    nodes = {status.node_id, *status.known_costs, *status.routes}
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
