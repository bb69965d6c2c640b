"""What a mesh of real nodes costs: processes of this machine, linked over TCP."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from bench import processes
from bench.control import BenchError
from bench.growth.shapes import SHAPES, Wires
from bench.nodes import Node, Setting, free_port, listener, peer

LOOK_EVERY = 0.005
SETTLED_AFTER = 12.0
"""Seconds after which nodes have compared their tables once more."""
REST = 10.0

ADDRESS = "127.77.{}.{}"
NETWORK = "127.77.0.0/16"
"""Each node listens at an address of its own, so that no connection of another node can be in the way."""


class RealFigures(msgspec.Struct, frozen=True):
    """The costs of one mesh; those at rest are for each node."""

    shape: str
    nodes: int
    links: int
    start: float
    """Seconds from starting the last process until all nodes know a way to all; likewise join, cut and heal."""
    join: float
    cut: float
    heal: float
    cpu: float
    """Seconds of CPU a second."""
    memory: float
    """MiB (PSS)."""
    segments: float
    """TCP segments with data that are sent in a second."""
    sent_bytes: float
    """What links carry in a second, without the headers of TCP."""


def measure(setting: Setting, shape: str, nodes: int, rest: float = REST) -> RealFigures:
    """Start a mesh, let it rest, and shake it three times. Raises BenchError if it does not come together."""
    with _mesh(setting, SHAPES[shape](nodes), nodes) as mesh:
        start = mesh.start()
        time.sleep(SETTLED_AFTER)
        cpu, memory, segments, sent_bytes = mesh.rest(rest)
        join, cut, heal = mesh.join(), mesh.cut(), mesh.heal()
    return RealFigures(shape, nodes, mesh.links, start, join, cut, heal, cpu, memory, segments, sent_bytes)


class _Mesh:
    """The last node has dialled all its neighbours, and so links again at once when it starts again."""

    def __init__(self, setting: Setting, wires: Wires, nodes: int) -> None:
        self.links = len(wires)
        self.nodes: list[Node] = []
        self._setting = setting
        self._port = free_port()
        for number in range(nodes):
            self._add(*(one for one, other in wires if other == number))

    def start(self) -> float:
        """Start all; the seconds that the last one took to be known everywhere, and to know all."""
        for node in self.nodes[:-1]:
            node.start()
        return self._timed(self.nodes[-1].start)

    def rest(self, seconds: float) -> tuple[float, float, float, float]:
        """CPU, memory, segments and bytes of each node in a second in which nothing happens."""
        pids = [pid for node in self.nodes for pid in node.processes()]
        began, computed, carried = time.perf_counter(), processes.fine_cpu_seconds(pids), _carried()
        time.sleep(seconds)
        share = (time.perf_counter() - began) * len(self.nodes)
        computed = processes.fine_cpu_seconds(pids) - computed
        segments, sent_bytes = (after - before for before, after in zip(carried, _carried(), strict=True))
        return computed / share, processes.memory(pids) / len(self.nodes), segments / share, sent_bytes / share

    def join(self) -> float:
        """One more node, linked with the last but one of the others."""
        self._add(max(len(self.nodes) - 2, 0))
        return self._timed(self.nodes[-1].start)

    def cut(self) -> float:
        """The node that has joined dies; the seconds until nobody knows a way to it any more."""
        *others, lost = self.nodes
        began = time.perf_counter()
        lost.kill()
        for node in others:
            node.await_reach(lambda routes: lost.node_id not in routes, f"still reaches {lost.node_id}", LOOK_EVERY)
        return time.perf_counter() - began

    def heal(self) -> float:
        """It starts again."""
        return self._timed(self.nodes[-1].start)

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.stop()

    def _timed(self, event: Callable[[], object]) -> float:
        names = {node.node_id for node in self.nodes}
        began = time.perf_counter()
        event()
        for node in self.nodes:
            wanted = names - {node.node_id}
            node.await_reach(wanted.issubset, "does not reach all", LOOK_EVERY)
        return time.perf_counter() - began

    def _add(self, *neighbours: int) -> None:
        number = len(self.nodes)
        dials = [peer(self._port, _address(neighbour)) for neighbour in neighbours]
        self.nodes.append(
            Node(self._setting, f"node-{number:03}", listener(self._port, _address(number)), *dials),
        )


@contextmanager
def _mesh(setting: Setting, wires: Wires, nodes: int) -> Iterator[_Mesh]:
    mesh = _Mesh(setting, wires, nodes)
    try:
        yield mesh
    finally:
        mesh.stop()


def _address(number: int) -> str:
    return ADDRESS.format(number // 250, 1 + number % 250)


def _carried() -> tuple[int, int]:
    """Segments with data and bytes that all connections have carried so far, as their accepting ends count them."""
    try:
        text = subprocess.run(["ss", "-tinHO", f"src {NETWORK}"], capture_output=True, text=True, check=True).stdout
    except OSError as error:
        raise BenchError("ss is needed (package iproute2): it counts what connections carry") from error
    segments, carried = (
        sum(int(count) for key in keys for count in re.findall(rf"\b{key}:(\d+)", text))
        for keys in (("data_segs_out", "data_segs_in"), ("bytes_sent", "bytes_received"))
    )
    return segments, carried
