"""The clock of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receptor.ctl.moments import parse_moment

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient


def node_time(client: ControlClient) -> float | None:
    """What time it is for the node, in seconds since 1970; None if the node is none of ours, or an older one."""
    told = client.ask({"command": "status", "requested_fields": ["Time"]}).get("Time")
    return parse_moment(told) if isinstance(told, str) else None
