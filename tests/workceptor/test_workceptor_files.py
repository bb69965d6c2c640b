from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from receptor.errors import OperatingError
from receptor.workceptor.files import locked, operating_errors, private, read_file, time_of, write_file, write_through


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_errors_while_a_file_is_written_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "stdin"
    path.symlink_to("/dev/full")
    with (
        pytest.raises(OperatingError, match=r"stdin: No space .*; free"),
        operating_errors(path),
        path.open("wb") as file,
    ):
        file.write(b"x")


def test_a_file_is_written_whole_and_for_its_owner_alone(path: Path) -> None:
    write_file(path, b"long and old", survives_power=False, time_of_it=1234.567891)
    write_file(path, b"new", survives_power=True)
    assert read_file(path, 100) == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_has_the_time_that_was_given_and_else_that_of_now(path: Path) -> None:
    assert time_of(path) == 0.0
    write_file(path, b"", survives_power=False, time_of_it=1234.567891)
    assert time_of(path) == 1234.567891
    write_file(path, b"", survives_power=False)
    assert time_of(path) > 1234567891


def test_no_more_is_read_than_was_asked_for(path: Path) -> None:
    assert read_file(path, 3) == b""
    path.write_bytes(b"12345")
    assert read_file(path, 3) == b"1234", "the one byte more tells that there is more"
    assert read_file(path, 5) == b"12345"


def test_what_is_written_through_is_seen_at_once(path: Path) -> None:
    with open(path, "ab", opener=private) as file:
        write_through(file, b"now")
        assert path.read_bytes() == b"now"
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600


def test_who_has_a_lock_is_waited_for(path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with locked(path, fcntl.LOCK_EX):
            order.append("second")

    with locked(path, fcntl.LOCK_EX):
        waiting = threading.Thread(target=second)
        waiting.start()
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
