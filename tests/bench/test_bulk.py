from __future__ import annotations

from pathlib import Path

import pytest
from bench_node import bench_node

from bench.bulk import payload_seconds, results_seconds
from bench.control import BenchError

DATA = bytes(range(256)) * 8192


def test_a_payload_is_followed_until_its_unit_has_counted_it(short_folder: Path) -> None:
    with bench_node(short_folder) as node:
        assert payload_seconds(node.path, "bar", "count", DATA) > 0
    assert node.payloads == {"barcount0": b"%d" % len(DATA)}
    assert node.released == ["barcount0"]


def test_a_payload_that_did_not_arrive_as_a_whole_is_told(short_folder: Path) -> None:
    with bench_node(short_folder) as node, pytest.raises(BenchError, match="of a payload of 2 bytes 17 arrived"):
        payload_seconds(node.path, "bar", "cat", b"17")


def test_results_are_followed_to_their_end(short_folder: Path) -> None:
    with bench_node(short_folder) as node:
        assert results_seconds(node.path, "localhost", "cat", DATA, DATA) > 0
    assert node.released == ["localhostcat0"]


@pytest.mark.parametrize("expected", [DATA[:-1], DATA[1:] + b"x", DATA + b"x"])
def test_wrong_results_are_told(short_folder: Path, expected: bytes) -> None:
    with bench_node(short_folder) as node, pytest.raises(BenchError, match="the results are wrong"):
        results_seconds(node.path, "localhost", "cat", DATA, expected)
