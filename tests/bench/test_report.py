from __future__ import annotations

import json

from bench.report import Measured, Report
from bench.summary import Summary

PRIMITIVES = {"spawns": Summary.of([1500.0, 1600.0, 1700.0])}


def report(*daemons: Measured) -> Report:
    return Report("2026-01-02T03:04:05Z", "abc1234", "2 CPUs", PRIMITIVES, list(daemons))


OURS = Measured("receptor 1", {"local-true": Summary.of([4.0, 5.0, 6.0]), "local-units": Summary.of([300.0])})
OTHER = Measured("receptor v1.4.9", {"local-true": Summary.of([10.0])}, {"local-units": "it hung up"})


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def test_the_table_tells_each_figure_and_whether_its_target_is_met() -> None:
    table = rows(report(OURS).table())

    assert table[1] == ["local", "unit", "true,", "p50", "ms", "5.00", "4.00", "6.00", "<=", "5", "yes"]
    assert table[2][-4:] == ["300", ">=", "350", "NO"]


def test_the_table_tells_what_the_machine_can_do() -> None:
    assert ["bare", "posix_spawn", "of", "true", "/s", "1,600", "1,500", "1,700"] in rows(report(OURS).table())


def test_against_another_daemon_it_tells_how_many_times_better_ours_is() -> None:
    table = report(OURS, OTHER).table()

    assert "receptor v1.4.9" in table.splitlines()[0]
    assert rows(table)[1][-4:] == ["10.0", "10.0", "10.0", "2.00"]


def test_what_could_not_be_measured_is_told_with_the_reason() -> None:
    table = report(OURS, OTHER).table()

    assert rows(table)[2][-4:] == ["-"] * 4
    assert table.splitlines()[-1] == "local-units of receptor v1.4.9 could not be measured: it hung up"


def test_the_file_holds_all_samples_and_what_they_mean() -> None:
    written = json.loads(json.dumps(report(OURS, OTHER).as_json(), allow_nan=False))

    assert written["commit"] == "abc1234"
    assert written["primitives"]["spawns"]["median"] == 1600.0
    assert written["figures"]["local-true"]["unit"] == "ms"
    assert written["figures"]["local-true"]["target"] == 5
    ours, other = written["daemons"]
    assert ours["figures"]["local-true"]["samples"] == [4.0, 5.0, 6.0]
    assert other["failures"] == {"local-units": "it hung up"}
