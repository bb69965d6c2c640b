from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from receptor.testing import MeshFactory, Node

pytest_plugins = ["pytester"]


def test_pytest_finds_it() -> None:
    (plugin,) = (one for one in entry_points(group="pytest11") if one.name == "receptor")
    assert plugin.value == "receptor.testing.plugin"


def test_it_costs_next_to_nothing() -> None:
    script = (
        "import sys, pytest; before = set(sys.modules); import receptor.testing.plugin;"
        " print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == ["receptor", "receptor.testing", "receptor.testing.plugin"]


def test_meshes_end_with_their_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        sockets = []

        def test_that_fails(receptor_mesh):
            for _ in range(2):
                sockets.append(receptor_mesh({"foo": {}})["foo"].socket)
            assert all(socket.exists() for socket in sockets)
            raise ValueError("as it should")

        def test_afterwards():
            assert len(sockets) == 2
            assert not any(socket.parent.exists() for socket in sockets)
        """
    )
    outcome = pytester.runpytest_inprocess()
    outcome.assert_outcomes(passed=1, failed=1)
    outcome.stdout.fnmatch_lines("*as it should*")


def test_the_fixture_takes_nodes_and_links(receptor_mesh: MeshFactory) -> None:
    mesh = receptor_mesh({"foo": {}, "bar": {}}, links=[])
    node: Node = mesh["foo"]
    with node.client() as client:
        assert client.status().connections == ()
