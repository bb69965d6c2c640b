from __future__ import annotations

import json

import pytest
from fake_control import FakeNode, answering
from mesh_answers import a_row_of_three
from receptorctl_runs import Receptorctl

NODES = """\
NODE  STATE        VIA  HOPS  COST  LINKS     WORK TYPES  LAST SEEN
foo   self         -       -     -  bar       -           2026-01-31T12:00:00Z
bar   linked       bar     1     1  baz, foo  cat         2026-01-31T12:00:05Z
baz   reachable    bar     2   3.5  bar       cat, safe   2026-01-31T12:00:00Z
gone  unreachable  -       -     -  -         -           -
"""
SERVICES = """\
NODE  SERVICE  TYPE        TAGS                             LAST SEEN
bar   control  stream      -                                2026-01-31T12:00:00Z
bar   shell    stream TLS  -                                2026-01-31T12:00:05Z
baz   control  stream      multiplex, type=Control Service  2026-01-31T12:00:00Z
foo   control  stream      -                                2026-01-31T12:00:00Z
"""
ROUTES = """\
TO   VIA  COST  HOPS
bar  bar     1     1
baz  bar   3.5     2
"""


@pytest.mark.parametrize(("verb", "table"), [("nodes", NODES), ("services", SERVICES), ("routes", ROUTES)])
def test_plain_tables_off_a_terminal(node: FakeNode, ctl: Receptorctl, verb: str, table: str) -> None:
    node.plays(answering(a_row_of_three()))
    assert ctl(verb).output.decode() == table


@pytest.mark.parametrize(
    ("verb", "number", "expected"),
    [
        ("routes", 1, {"NodeID": "baz", "Via": "bar", "Cost": 3.5, "Hops": 2}),
        (
            "services",
            2,
            {
                "NodeID": "baz",
                "Service": "control",
                "Type": "stream",
                "Tags": {"type": "Control Service", "multiplex": "true"},
                "LastSeen": "2026-01-31T12:00:00Z",
            },
        ),
        (
            "nodes",
            2,
            {
                "NodeID": "baz",
                "State": "reachable",
                "Via": "bar",
                "Cost": 3.5,
                "Hops": 2,
                "Links": {"bar": 2.5},
                "Services": ["control"],
                "WorkTypes": [{"WorkType": "cat", "Secure": False}, {"WorkType": "safe", "Secure": False}],
                "LastSeen": "2026-01-31T12:00:00Z",
            },
        ),
    ],
)
def test_json_for_programs(node: FakeNode, ctl: Receptorctl, verb: str, number: int, expected: object) -> None:
    node.plays(answering(a_row_of_three()))
    assert json.loads(ctl(verb, "--json").output)[number] == expected
