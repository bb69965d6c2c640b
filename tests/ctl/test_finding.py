from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from receptor.ctl import finding
from receptor.ctl.finding import Found, Places, find_socket, socket_of
from receptor.errors import ConfigurationError

MakeSocket: TypeAlias = Callable[[str], str]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose ``etc`` and ``run`` are the usual places."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)  # the paths of sockets must be short
    monkeypatch.setattr(finding, "PLACES", Places((f"{tmp_path}/etc/*.conf",), ("run/*.sock", "other/*.sock")))
    return tmp_path


@pytest.fixture
def listen() -> Iterator[MakeSocket]:
    with ExitStack() as sockets:

        def make(path: str) -> str:
            listener = sockets.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            return path

        yield make


def configure(machine: Path, name: str, path: str) -> None:
    (machine / "etc" / name).write_text(f"- node: foo\n- control-service: {{filename: {path}}}\n")


def test_the_socket_that_the_configuration_names(machine: Path, listen: MakeSocket) -> None:
    configure(machine, "receptor.conf", listen("foo.sock"))
    listen("run/other.sock")
    assert find_socket() == Found("foo.sock", f"in {machine}/etc/receptor.conf")


def test_the_socket_in_a_usual_place(machine: Path, listen: MakeSocket) -> None:
    listen("run/receptor.sock")
    (machine / "run" / "receptor.sock.lock").touch()
    assert find_socket() == Found("run/receptor.sock", "in run")


def test_a_configuration_whose_node_does_not_run_is_passed_over(machine: Path, listen: MakeSocket) -> None:
    configure(machine, "receptor.conf", "foo.sock")
    listen("run/receptor.sock")
    assert find_socket().socket == "run/receptor.sock"


def test_one_socket_by_two_names_is_one(machine: Path, listen: MakeSocket) -> None:
    listen("run/receptor.sock")
    (machine / "other").symlink_to("run")
    assert find_socket().socket == "run/receptor.sock"


def test_several_nodes_are_named_and_none_is_taken(machine: Path, listen: MakeSocket) -> None:
    configure(machine, "bar.conf", listen("bar.sock"))
    configure(machine, "foo.conf", listen("foo.sock"))
    with pytest.raises(ConfigurationError, match=r"several nodes .*: bar.sock \(in .*\) and foo.sock \(in .*--socket"):
        find_socket()


def test_where_it_has_looked_in_vain(machine: Path) -> None:
    configure(machine, "a.conf", "a.sock")
    (machine / "etc" / "b.conf").write_text("{")
    (machine / "etc" / "c.conf").write_text("- node: c\n")
    with pytest.raises(ConfigurationError) as caught:
        find_socket()
    said = str(caught.value)
    assert said.startswith("no control socket is given, and none is found on this machine; start the node, or say")
    assert f"{machine}/etc/a.conf names a.sock, where there is no socket; " in said
    assert f"{machine}/etc/b.conf: this is not YAML" in said
    assert f"{machine}/etc/c.conf names no control socket; " in said
    assert "no socket at run/*.sock or other/*.sock" in said


def test_a_file_that_is_no_socket_is_none(machine: Path) -> None:
    (machine / "run" / "receptor.sock").touch()
    with pytest.raises(ConfigurationError):
        find_socket()


def test_a_place_without_its_environment_variable_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(finding, "PLACES", Places((), ("$XDG_RUNTIME_DIR/receptor/*.sock", "/nosuch.sock")))
    with pytest.raises(ConfigurationError, match=r"no socket at /nosuch\.sock$"):
        find_socket()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_where_anyone_may_put_files_a_stranger_s_socket_is_not_trusted(machine: Path, listen: MakeSocket) -> None:
    listen("run/receptor.sock")
    os.chown("run/receptor.sock", 12345, 12345)
    assert find_socket().socket == "run/receptor.sock"
    (machine / "run").chmod(0o1777)
    with pytest.raises(ConfigurationError):
        find_socket()
    configure(machine, "receptor.conf", "run/receptor.sock")
    assert find_socket().socket == "run/receptor.sock"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- node: foo", "names no control socket; say which"),
        ("- control-service: {filename: /a}\n- control-service: {filename: /b}", r"several control sockets \(/a, /b\)"),
        ("{", "not YAML.*; correct --config, or say"),
    ],
)
def test_a_configuration_that_does_not_say_which_socket(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "receptor.conf"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint):
        socket_of(str(file))


@pytest.mark.skipif(os.geteuid() == 0, reason="root looks into every folder")
def test_a_folder_that_is_closed_is_told(machine: Path) -> None:
    (machine / "run").chmod(0)
    with pytest.raises(ConfigurationError, match="/run is closed to you; its owner may look"):
        find_socket()
