"""What units cost a node that does nothing else: finished ones on disk, and commands that sleep."""

from __future__ import annotations

import time

import msgspec

from bench import processes
from bench.control import RUNNING, Session
from bench.load import Load, drive
from bench.nodes import Node, Setting, alone
from bench.scenarios import CLIENTS, CROWD_ASKS_EVERY, SETTLED_AFTER, await_units, list_time, multiply_unit
from bench.summary import percentile

MOST_ASLEEP = 1_000
"""Each sleeping unit is a process, or two."""
LISTS = 10


class UnitFigures(msgspec.Struct, frozen=True):
    """The costs of so many units."""

    kind: str
    """``finished`` or ``sleeping``."""
    units: int
    memory: float
    """MiB (PSS) beyond the same node without them, after it has started with them; without the sleeping commands."""
    list_p50: float
    """Milliseconds of ``work list``."""
    start: float
    """Milliseconds from starting the process until ``work list`` has shown them all."""


def finished(setting: Setting, units: int) -> UnitFigures:
    """A node finds them on disk when it starts."""
    with alone(setting) as node:
        empty = _memory_without_units(node)
        node.await_work()
        node.stop()
        multiply_unit(node.units, units)
        return _started_with("finished", node, units, empty)


def sleeping(setting: Setting, units: int) -> UnitFigures:
    """The commands outlive the node, which finds them when it starts again."""
    with alone(setting) as node:
        empty = _memory_without_units(node)
        drive(node.socket, Load("localhost", "sleep", CLIENTS, units, CROWD_ASKS_EVERY, until=RUNNING))
        node.kill()
        return _started_with("sleeping", node, units, empty)


def _memory_without_units(node: Node) -> float:
    node.start()
    time.sleep(SETTLED_AFTER)
    return processes.memory(node.processes())


def _started_with(kind: str, node: Node, units: int, empty: float) -> UnitFigures:
    began = time.perf_counter()
    node.start()
    with Session(node.socket) as session:
        await_units(session, units)
        start = 1000 * (time.perf_counter() - began)
        time.sleep(SETTLED_AFTER)
        list_p50 = percentile([list_time(session) for _ in range(LISTS)], 50)
    return UnitFigures(kind, units, processes.memory(node.processes()) - empty, list_p50, start)
