from __future__ import annotations

from pathlib import Path

import pytest

from bench.control import BenchError
from bench.nodes import Setting
from bench.report import Measured, Report
from bench.runs import measure, settings_of, version_of, wanted
from bench.scenarios import FULL, SCENARIOS, Effort, Samples, Scenario


def good(setting: Setting, effort: Effort) -> Samples:
    return {"ping-p50": [float(len(setting.daemon))], "ping-p95": [2.0]}


def broken(setting: Setting, effort: Effort) -> Samples:
    raise BenchError("it hung up")


def test_what_can_not_be_measured_does_not_keep_the_rest_from_it(tmp_path: Path) -> None:
    report = Report("", "", "", {}, [Measured("ours"), Measured("other")])
    settings = [Setting(["receptor"], [], tmp_path), Setting(["python", "receptor"], [], tmp_path)]

    measure(report, settings, [Scenario(("start",), broken), Scenario(("ping-p50", "ping-p95"), good)], FULL)

    assert [daemon.failures for daemon in report.daemons] == [{"start": "it hung up"}] * 2
    assert [daemon.figures["ping-p50"].median for daemon in report.daemons] == [1, 2]


def test_only_what_is_asked_for_is_measured() -> None:
    assert wanted([]) == SCENARIOS
    assert [each.figures for each in wanted(["ping-p95", "local-true"])] == [("local-true",), ("ping-p50", "ping-p95")]


def test_the_folder_of_a_run_is_gone_after_it() -> None:
    with settings_of("/opt/receptor --quiet") as (ours, other):
        assert other.daemon == ["/opt/receptor", "--quiet"]
        folders = [ours.folder, other.folder]
        assert all(folder.is_dir() for folder in folders)
    assert not any(folder.exists() for folder in folders)


def test_a_daemon_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="can't be started"):
        version_of([str(tmp_path / "receptor")])
    with pytest.raises(BenchError, match="does not tell its version"):
        version_of(["false"])
