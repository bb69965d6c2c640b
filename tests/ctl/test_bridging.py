from __future__ import annotations

import os
import pty
import termios
import threading

import pytest
from fake_control import FakeNode, Peer

from receptor.client.address import UnixAddress
from receptor.client.connection import connect
from receptor.ctl.bridging import bridge, raw_terminal
from receptor.errors import OperatingError


def test_both_directions_at_once_with_more_than_any_buffer_holds(node: FakeNode) -> None:
    blob = os.urandom(4_000_000)
    received: list[bytes] = []

    def session(peer: Peer) -> None:
        peer.greet()
        peer.send(blob)
        received.append(peer.rest())

    def feed() -> None:
        with open(writer, "wb") as file:
            file.write(blob)

    node.plays(session)
    reader, writer = os.pipe()
    feeder = threading.Thread(target=feed)
    feeder.start()
    output: list[bytes] = []
    with connect(UnixAddress(node.path)) as connection, open(reader, "rb"):
        bridge(connection, reader, output.append)
    feeder.join()
    assert b"".join(output) == blob
    assert received == [blob]


def test_the_end_of_the_service_ends_the_bridge_while_nobody_types(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.send(b"bye")

    node.plays(session)
    reader, writer = os.pipe()
    output: list[bytes] = []
    with connect(UnixAddress(node.path)) as connection:
        bridge(connection, reader, output.append)
    os.close(writer)
    assert output == [b"bye"]


def test_a_source_that_can_not_be_read_ends_the_bridge(node: FakeNode, tmp_path: os.PathLike[str]) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        assert peer.rest() == b""

    node.plays(session)
    folder = os.open(tmp_path, os.O_RDONLY)
    with connect(UnixAddress(node.path)) as connection, pytest.raises(OperatingError, match="standard input"):
        bridge(connection, folder, lambda data: None)
    os.close(folder)


def test_a_raw_terminal_is_put_back() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with raw_terminal(slave):
        local_modes = termios.tcgetattr(slave)[3]
        assert not local_modes & (termios.ISIG | termios.ICANON | termios.ECHO)
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)
