from __future__ import annotations

import sys
from pathlib import Path

from commands import pids_with

from bench.nodes import Setting, alone
from bench.scenarios import Effort, local_true, multiply_unit


def test_a_scenario_measures_a_real_node_and_leaves_none(short_folder: Path) -> None:
    setting = Setting([sys.executable, "-m", "receptor"], [], short_folder)

    samples = local_true(setting, Effort(repeats=2, latencies=3))

    assert list(samples) == ["local-true"]
    assert len(samples["local-true"]) == 2
    assert pids_with(str(short_folder)) == []


def test_a_finished_unit_is_copied_under_fresh_names(tmp_path: Path) -> None:
    (tmp_path / "abcd1234").mkdir()
    (tmp_path / "abcd1234" / "status").write_text("{}\n")
    (tmp_path / "not-a-unit").mkdir()

    multiply_unit(tmp_path, 20)

    copies = list(tmp_path.glob("*/status"))
    assert len(copies) == 20
    assert {copy.read_text() for copy in copies} == {"{}\n"}


def test_each_node_has_a_folder_of_its_own(tmp_path: Path) -> None:
    setting = Setting(["receptor"], [], tmp_path)

    with alone(setting) as first, alone(setting) as second:
        assert first.socket != second.socket
