from __future__ import annotations

import sys
from pathlib import Path
from shutil import which

import pytest
from commands import pids_with

from bench.growth import mesh, real, tables, units
from bench.growth.shapes import SHAPES
from bench.nodes import Setting


@pytest.fixture
def setting(short_folder: Path) -> Setting:
    return Setting([sys.executable, "-m", "receptor"], [], short_folder)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_names_each_wire_once_from_the_lower_node(shape: str) -> None:
    wires = SHAPES[shape](20)
    assert len(set(wires)) == len(wires)
    assert all(0 <= one < other < 20 for one, other in wires)
    assert {other for _, other in wires} == set(range(1, 20))


def test_a_simulated_mesh_is_measured() -> None:
    figures = mesh.measure("chain", 3)
    assert (figures.nodes, figures.links) == (3, 2)
    assert 0 < figures.join.seconds < mesh.WINDOW
    assert figures.join.packets > 0
    assert tables.simulated_row(figures).startswith("| chain | 3 | 2 | ")


@pytest.mark.skipif(which("ss") is None, reason="needs ss")
def test_a_mesh_of_real_nodes_is_measured_and_leaves_none(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, short_folder: Path
) -> None:
    monkeypatch.setattr(real, "SETTLED_AFTER", 0.0)

    figures = real.measure(setting, "star", 2, rest=1.5)

    assert figures.links == 1
    assert min(figures.start, figures.join, figures.cut, figures.heal, figures.cpu, figures.memory) > 0
    assert figures.segments > 0, "new neighbours compare again after a second"
    assert tables.real_row(figures).startswith("| star | 2 | 1 | ")
    assert pids_with(str(short_folder)) == []


def test_units_are_measured_and_leave_no_command(setting: Setting, short_folder: Path) -> None:
    rows = [tables.units_row(measure(setting, 3)) for measure in (units.finished, units.sleeping)]

    assert [row.split(" | ")[:2] for row in rows] == [["| finished", "3"], ["| sleeping", "3"]]
    assert pids_with(str(short_folder)) == []
