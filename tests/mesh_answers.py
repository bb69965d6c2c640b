"""What nodes answer to ``status``, for tests of the verbs that show the mesh."""

from __future__ import annotations

from receptor.client.fields import JsonObject
from receptor.client.replies import NodeStatus


def advertisement(
    node_id: str,
    *work_types: str,
    service: str = "control",
    kind: int = 1,
    time: str = "2026-01-31T12:00:00Z",
    secure: bool = False,
    tags: dict[str, str] | None = None,
) -> JsonObject:
    return {
        "NodeID": node_id,
        "Service": service,
        "ConnType": kind,
        "Time": time,
        "Tags": tags,
        "WorkCommands": [{"WorkType": name, "Secure": secure} for name in work_types],
    }


def a_row_of_three(**more: object) -> JsonObject:
    """The answer of foo, which is linked with bar, which is linked with baz; gone was there once."""
    answer: JsonObject = {
        "NodeID": "foo",
        "Version": "1.2",
        "SystemCPUCount": 2,
        "SystemMemoryMiB": 1024,
        "Connections": [{"NodeID": "bar", "Cost": 1}],
        "RoutingTable": {"bar": "bar", "baz": "bar"},
        "KnownConnectionCosts": {
            "foo": {"bar": 1},
            "bar": {"foo": 1, "baz": 2.5},
            "baz": {"bar": 2.5},
            "gone": {},
        },
        "Advertisements": [
            advertisement("baz", "cat", "safe", tags={"type": "Control Service", "multiplex": "true"}),
            advertisement("bar", "cat"),
            advertisement("foo"),
            advertisement("bar", "cat", service="shell", kind=2, time="2026-01-31T12:00:05Z"),
        ],
    }
    return answer | more


def three(**more: object) -> NodeStatus:
    return NodeStatus.parse(a_row_of_three(**more))
