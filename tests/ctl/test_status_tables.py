from __future__ import annotations

from receptor.client.replies import Advertisement, NodeStatus, WorkType
from receptor.ctl.status_tables import status_lines

CAT, SAFE = WorkType("cat", secure=False), WorkType("safe", secure=True)


def a_status(
    connections: tuple[tuple[str, float], ...] = (), advertisements: tuple[Advertisement, ...] = ()
) -> NodeStatus:
    return NodeStatus(
        node_id="foo",
        version="1.2",
        cpu_count=2,
        memory_mib=1024,
        connections=connections,
        routes={node: node for node, _ in connections},
        advertisements=advertisements,
        known_costs={"foo": dict(connections)} if connections else {},
        additional={},
    )


def test_a_node_without_links_has_no_empty_tables() -> None:
    assert list(status_lines(a_status())) == [
        "Node ID: foo",
        "Version: 1.2",
        "System CPU Count: 2",
        "System Memory MiB: 1024",
    ]


def test_every_table() -> None:
    tags = {"type": "Control Service"}
    control = Advertisement("bar", "control", 1, "2024-05-06T07:08:09.123+02:00", tags, (CAT, SAFE))
    second = Advertisement("bar", "second", 2, "2024-05-06T07:08:10Z", None, (CAT, SAFE))
    odd = Advertisement("foo", "odd", 9, "", None, ())
    lines = list(status_lines(a_status((("bar", 1), ("far-away-node-x", 1.5)), (control, second, odd))))
    assert [line.rstrip() for line in lines[4:]] == [
        "",
        "Connection      Cost",
        "bar             1",
        "far-away-node-x 1.5",
        "",
        "Known Node      Known Connections",
        "foo             bar: 1 far-away-node-x: 1.5",
        "",
        "Route           Via",
        "bar             bar",
        "far-away-node-x far-away-node-x",
        "",
        "Node            Service   Type       Last Seen             Tags",
        "bar             control   Stream     2024-05-06 07:08:09   {'type': 'Control Service'}",
        "bar             second    StreamTLS  2024-05-06 07:08:10   -",
        "foo             odd       9                                -",
        "",
        "Node            Work Types",
        "bar             cat",
        "",
        "Node            Secure Work Types",
        "bar             safe",
    ]
