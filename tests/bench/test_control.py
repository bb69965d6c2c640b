from __future__ import annotations

import socket
from pathlib import Path

import pytest
from bench_node import bench_node

from bench.control import BenchError, Connection, Session, UnitStatus, parse_answer, submit_request, unit_of


def test_a_session_asks_one_command_after_the_other(short_folder: Path) -> None:
    with bench_node(short_folder) as node, Session(node.path) as session, Session(node.path) as submission:
        assert session.greeting == "Receptor Control, node fake"
        submission.send(submit_request("bar", "cat"))
        unit = unit_of(submission.line())
        submission.send_end()
        assert [session.status(unit).state for _ in range(2)] == [1, 2]


def test_a_node_that_is_not_there_is_told(short_folder: Path) -> None:
    with pytest.raises(BenchError, match="can't be reached"):
        Session(str(short_folder / "sock"))


def test_a_node_that_hangs_up_is_told(short_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_folder / "sock"))
        listener.listen()
        with Connection(str(short_folder / "sock")) as connection:
            listener.accept()[0].close()
            with pytest.raises(BenchError, match="closed the connection"):
                connection.line()


def test_lines_come_whole_however_they_are_cut(short_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_folder / "sock"))
        listener.listen()
        with Connection(str(short_folder / "sock")) as connection, listener.accept()[0] as peer:
            peer.sendall(b"one\ntw")
            assert connection.lines() == [b"one"]
            peer.sendall(b"o\nthree\nrest")
            peer.shutdown(socket.SHUT_WR)
            assert connection.line() == b"two"
            assert connection.line() == b"three"
            room = bytearray(10)
            assert room[: connection.read_into(room)] == b"rest"


def test_what_is_not_expected_is_told() -> None:
    with pytest.raises(BenchError, match="unknown work type"):
        unit_of(b"ERROR: unknown work type x")
    with pytest.raises(BenchError, match="unknown work unit"):
        parse_answer(b"ERROR: unknown work unit x")
    with pytest.raises(BenchError, match="answered"):
        parse_answer(b"{")


def test_a_unit_that_can_not_reach_the_state_any_more_is_told() -> None:
    assert not UnitStatus(0, "").has_reached(2)
    assert UnitStatus(2, "").has_reached(2)
    with pytest.raises(BenchError, match="exit status 1"):
        UnitStatus(3, "exit status 1").has_reached(2)


def test_a_submission_is_one_line() -> None:
    assert submit_request("bar", "cat").endswith(b"\n")
    assert parse_answer(submit_request("bar", "cat"))["worktype"] == "cat"
