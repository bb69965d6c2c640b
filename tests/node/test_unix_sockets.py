from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from receptor.errors import OperatingError
from receptor.node.unix_sockets import LONGEST_SOCKET_PATH, UnixSocketFile


def test_a_socket_is_made_and_removed(short_folder: Path) -> None:
    path = short_folder / "foo.sock"
    for _ in range(2):
        file = UnixSocketFile(path, 0o640, "test socket")
        with file.listen() as listening, socket.socket(socket.AF_UNIX) as client:
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
            client.connect(str(path))
            listening.accept()[0].close()
        file.remove()
        assert not path.exists()


def test_removing_what_was_never_made_touches_nobody_elses(short_folder: Path) -> None:
    path = short_folder / "foo.sock"
    first, second = UnixSocketFile(path, 0o600, "test socket"), UnixSocketFile(path, 0o600, "test socket")
    with first.listen():
        with pytest.raises(OperatingError, match=r"another node serves the test socket .*; stop it or give this node"):
            second.listen()
        second.remove()
        assert path.is_socket()
        first.remove()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nosuch/foo.sock", r"the test socket .* can't be made: No such file .*; check that its folder exists"),
        ("x" * LONGEST_SOCKET_PATH, r"the test socket's path is longer than 107 bytes: .*; choose a shorter filename"),
        (".", r"the test socket can't be made: .* exists and is no socket|can't be made"),
    ],
)
def test_what_is_in_the_way_is_told(short_folder: Path, name: str, told: str) -> None:
    file = UnixSocketFile(short_folder / name, 0o600, "test socket")
    with pytest.raises(OperatingError, match=told):
        file.listen()
    file.remove()
    assert os.path.isdir(short_folder)
