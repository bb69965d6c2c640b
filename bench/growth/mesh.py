"""What a simulated mesh costs: at rest, and until everybody knows of a join, a cut and a heal."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from simulation import Cable, Simulation

from bench.growth.shapes import SHAPES
from receptor.netceptor.pace import EARLIEST_REFRESH, LONGEST_REFRESH

LATENCY = 0.005
AT_ONCE = 100
"""Links that are set up at the same moment while a mesh is built: a node takes only so many strangers."""

SETTLING = LONGEST_REFRESH * (EARLIEST_REFRESH + 0.05)
"""Seconds until nodes that have started together repeat themselves."""

REST = 60.0
"""Seconds, so that services are told of as well."""
WINDOW = 12.0
"""Seconds after an event in which its last effect on any route is looked for: more than a round of updates."""


class Change(msgspec.Struct, frozen=True):
    """Until no node's routes changed any more."""

    seconds: float
    packets: int
    """Those beyond what the mesh sends in the same time at rest."""


class Figures(msgspec.Struct, frozen=True):
    """The costs of one mesh; those at rest are for each node and second."""

    shape: str
    nodes: int
    links: int
    start: Change
    """All nodes start together and know nothing."""
    rest_packets: float
    rest_bytes: float
    rest_cpu: float
    """Seconds of CPU, with those of the simulated cables."""
    join: Change
    cut: Change
    heal: Change


def measure(shape: str, nodes: int) -> Figures:
    """Build a mesh, let it rest, and shake it three times. Raises RuntimeError if it does not come together."""
    mesh = _Mesh(shape, nodes)
    start = mesh.change(mesh.build)
    mesh.check()
    mesh.simulation.run(SETTLING)
    rest_packets, rest_bytes, rest_cpu = mesh.rest()
    join = mesh.change(mesh.join)
    cut = mesh.change(mesh.cut)
    heal = mesh.change(mesh.heal)
    mesh.check()
    return Figures(shape, nodes, len(mesh.wires), start, rest_packets, rest_bytes, rest_cpu, join, cut, heal)


class _Mesh:
    def __init__(self, shape: str, nodes: int) -> None:
        self.simulation = Simulation(nodes, keeps=())
        self.names = [f"node-{number:05}" for number in range(nodes)]
        self.wires = [(self.names[one], self.names[other]) for one, other in SHAPES[shape](nodes)]
        self._cables: dict[tuple[str, str], Cable] = {}
        self._packets_a_second = 0.0

    def build(self) -> None:
        for name in self.names:
            self._start(name)
        for number, wire in enumerate(self.wires):
            self._plug(wire)
            if number % AT_ONCE == AT_ONCE - 1:
                self.simulation.run(4 * LATENCY)

    def rest(self) -> tuple[float, float, float]:
        """Packets, bytes and CPU of each node in a second in which nothing happens."""
        simulation = self.simulation
        packets, sent_bytes, cpu = simulation.sent_packets, simulation.sent_bytes, time.process_time()
        simulation.run(REST)
        packets, sent_bytes = simulation.sent_packets - packets, simulation.sent_bytes - sent_bytes
        self._packets_a_second = packets / REST
        share = REST * len(self.names)
        return packets / share, sent_bytes / share, (time.process_time() - cpu) / share

    def join(self) -> None:
        self.names.append("newcomer")
        self._start("newcomer")
        self._plug((self.names[-2], "newcomer"))

    def cut(self) -> None:
        self.simulation.unplug(self._cables[self.wires[len(self.wires) // 2]])

    def heal(self) -> None:
        self._plug(self.wires[len(self.wires) // 2])

    def change(self, event: Callable[[], None]) -> Change:
        """Let it happen, and see how long it keeps the mesh busy."""
        simulation = self.simulation
        began = settled = simulation.now
        packets_before = packets = simulation.sent_packets
        event()
        while simulation.now < began + WINDOW:
            if simulation.routes_changed_at > settled:
                settled, packets = simulation.routes_changed_at, simulation.sent_packets
            simulation.run(LATENCY)
        at_rest = self._packets_a_second * (settled - began)
        return Change(settled - began, max(round(packets - packets_before - at_rest), 0))

    def check(self) -> None:
        """See that everybody knows everybody."""
        for name in self.names:
            if len(self.simulation.routes(name)) != len(self.names) - 1:
                raise RuntimeError(f"{name} reaches {len(self.simulation.routes(name))} of {len(self.names) - 1} nodes")

    def _start(self, name: str) -> None:
        """Start a node with one service, as most have: the control service."""
        self.simulation.add(name).mesh.advertise("control", 1, {"type": "Control Service"}, [], self.simulation.now)

    def _plug(self, wire: tuple[str, str]) -> None:
        self._cables[wire] = self.simulation.plug(*wire, latency=LATENCY)
