from __future__ import annotations

import pytest
from mesh_answers import three

from receptor.ctl.missing_nodes import next_step
from receptor.ctl.settings import Settings


@pytest.mark.parametrize(
    ("node_id", "said"),
    [
        ("goner", "did you mean 'gone'? All nodes that it knows: receptorctl --socket /s nodes"),
        ("xyz", "foo knows no node 'xyz'. All nodes"),
        ("gone", "has no way to it now. What may be wrong: receptorctl --socket /s doctor"),
        ("baz", "How far it leads: receptorctl --socket /s traceroute baz"),
    ],
)
def test_the_next_step(node_id: str, said: str) -> None:
    assert said in next_step(three(), node_id, Settings(socket="/s"))
