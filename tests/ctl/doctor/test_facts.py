from __future__ import annotations

from datetime import UTC, datetime

import pytest

from receptor.client.fields import JsonObject
from receptor.ctl.doctor.facts import Certificate, NodeFacts
from receptor.errors import PeerError

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
CERTIFICATE: JsonObject = {
    "Name": "tls-server mesh",
    "Subject": "CN=bar",
    "NodeIDs": ["bar"],
    "NotBefore": "2026-01-31T12:00:00Z",
    "NotAfter": "2026-01-31T13:00:00Z",
}


def test_everything_that_a_node_tells_of_itself() -> None:
    answer: JsonObject = {
        "NodeID": "bar",
        "Version": "1.2",
        "Time": "2026-01-31T12:00:00Z",
        "StartTime": "2026-01-31T11:00:00Z",
        "Certificates": [CERTIFICATE],
        "DataFolder": {"Path": "/data", "FreeMiB": 5},
    }
    assert NodeFacts.parse(answer, NOON, NOON) == NodeFacts(
        node_id="bar",
        version="1.2",
        clock_offset=0.0,
        started=NOON - 3600,
        certificates=(Certificate("tls-server mesh", "CN=bar", ("bar",), NOON, NOON + 3600, ""),),
        data_folder="/data",
        free_mib=5,
    )


def test_a_node_of_go_tells_little() -> None:
    assert NodeFacts.parse({"NodeID": "bar", "Version": "v1.4.9"}, NOON, NOON) == NodeFacts("bar", version="v1.4.9")


@pytest.mark.parametrize(("asked", "answered", "offset"), [(-1, 1, 0.0), (-5, -3, 3.0), (2, 4, -2.0)])
def test_a_clock_differs_by_what_the_time_of_the_answer_does_not_explain(
    asked: float, answered: float, offset: float
) -> None:
    facts = NodeFacts.parse({"Time": "2026-01-31T12:00:00Z"}, NOON + asked, NOON + answered)
    assert facts.clock_offset == offset


@pytest.mark.parametrize(
    "answer",
    [
        {"NodeID": 1},
        {"Certificates": 1},
        {"Certificates": ["x"]},
        {"DataFolder": "x"},
        {"Certificates": [{"NodeIDs": 1}]},
    ],
)
def test_what_can_t_be_read_is_an_error(answer: JsonObject) -> None:
    with pytest.raises(PeerError, match="the node's answer has a"):
        NodeFacts.parse(answer, NOON, NOON)
