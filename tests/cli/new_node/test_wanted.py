"""What a new node is to be, as people write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from receptor.cli.new_node.wanted import Dial, Listen, Place, Work, dial_of, listen_of, place_of, work_of


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("27199", Listen("tcp", "", 27199)),
        ("tcp:27199", Listen("tcp", "", 27199)),
        ("192.0.2.1:27199", Listen("tcp", "192.0.2.1", 27199)),
        ("udp:[::1]:27199", Listen("udp", "::1", 27199)),
        ("ws:8080", Listen("ws", "", 8080)),
    ],
)
def test_where_a_node_listens(text: str, meant: Listen) -> None:
    assert listen_of(text) == meant
    assert str(meant) == text.removeprefix("tcp:")


@pytest.mark.parametrize("text", ["", "many", "70000", "udp:", ":x"])
def test_nowhere_to_listen(text: str) -> None:
    with pytest.raises(ValueError):
        listen_of(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("foo:1", Dial("tcp", "foo:1")),
        ("udp:foo:1", Dial("udp", "foo:1")),
        ("wss://foo/mesh", Dial("ws", "wss://foo/mesh")),
    ],
)
def test_whom_a_node_dials(text: str, meant: Dial) -> None:
    assert dial_of(text) == meant
    assert str(meant) == text


@pytest.mark.parametrize("text", ["", "foo", "foo:x", "http://foo/", "ws:foo:1"])
def test_nobody_to_dial(text: str) -> None:
    with pytest.raises(ValueError):
        dial_of(text)


def test_work() -> None:
    assert work_of("cat=cat") == Work("cat", "cat", "")
    assert work_of('say = bash -c "echo a=b"') == Work("say", "bash", '-c "echo a=b"')


@pytest.mark.parametrize("text", ["", "cat", "=cat", "cat=", "remote=cat", 'a=bash -c "open'])
def test_no_work(text: str) -> None:
    with pytest.raises(ValueError):
        work_of(text)


def test_where_files_go() -> None:
    assert place_of(Path("/etc/receptor/edge.conf")) == Place(
        Path("/etc/receptor/edge.conf"), Path("/var/lib/receptor"), Path("/run/receptor/edge.sock"), "0660"
    )
    assert place_of(Path("/home/me/r/foo.yml")) == Place(
        Path("/home/me/r/foo.yml"), Path("/home/me/r/data"), Path("/home/me/r/foo.sock"), "0600"
    )
