"""``receptorctl connect``: standard input and output on one side, a service on the other."""

from __future__ import annotations

import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from receptor.errors import OperatingError, UnreachableError

if TYPE_CHECKING:
    from receptor.client.connection import Connection


def bridge(connection: Connection, source: int, sink: Callable[[bytes], None]) -> None:
    """Copy both ways until the service ends the connection; waits for ever.

    The end of the source is passed on to the service as the end of what it reads, so that it can still answer.
    Raises UnreachableError if the connection breaks, OperatingError if the source can't be read.
    """
    from receptor.client.control_client import read_chunks

    problem: list[OperatingError] = []

    def forward() -> None:
        try:
            try:
                for chunk in read_chunks(source, "standard input"):
                    connection.send(chunk, None)
            except OperatingError as error:
                problem.append(error)
            connection.close_write()
        except UnreachableError:
            pass  # reading from the service ends as well, and says how

    # A daemon: when the service ends the connection, nobody types the line that this thread waits for.
    threading.Thread(target=forward, name="standard input", daemon=True).start()
    while data := connection.read_some():
        sink(data)
    if problem:
        raise problem[0]


@contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """Pass every key on as it is typed, Ctrl-C included; the terminal is put back as it was in the end."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
