"""A storm over a simulated mesh: links come and go, nodes die and return with wrong clocks, impostors join, packets
get lost, and what must hold at every step, and after a while of quiet, is checked.

In storms of even seeds some of the nodes behave as existing ones do. Everything follows from the seed. A failure names
it; replay it, or try a larger storm, with

    python tests/storm.py SEED [NODES [STEPS]]
"""

from __future__ import annotations

import heapq
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

from simulation import Cable, Simulation
from storm_transfers import SINK, Transfers

from receptor.netceptor.effects import Duplicate, StreamClosed, StreamData, StreamEnded, StreamOpened
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.packets import MOST_HOPS

REDIAL = 2.5
SETTLING = 50.0
"""Seconds in which a mesh comes to rest: a silent link is missed for 21 s, a run of a node that was followed by one
with an earlier clock for 35 s, and the news may take a round of 10 s."""

ADVERTISING = 70.0
REST = 30
"""Steps between two rests."""

FEWEST_NODES = 10
KEPT = (Duplicate, StreamOpened, StreamData, StreamEnded, StreamClosed)

Costs = Mapping[str, Mapping[str, float]]


@dataclass
class Wire:
    """Where two nodes are to be linked; ``down`` while the storm keeps them apart."""

    one: str
    other: str
    cost: float
    latency: float
    cable: Cable | None = None
    down: bool = False

    def joins(self, node: str) -> bool:
        return node in (self.one, self.other)


def shortest(costs: Costs, start: str) -> dict[str, float]:
    """The least cost to each node within reach, worked out from the wires alone (Dijkstra)."""
    found: dict[str, float] = {}
    queue = [(0.0, start)]
    while queue:
        distance, node = heapq.heappop(queue)
        if node not in found:
            found[node] = distance
            for neighbour, cost in costs[node].items():
                heapq.heappush(queue, (distance + cost, neighbour))
    return found


class Storm:
    """A mesh, the wires that it should have, and the weather."""

    def __init__(self, seed: int, nodes: int) -> None:
        self.simulation = Simulation(seed, keeps=KEPT)
        self.rng = random.Random(f"storm {seed}")
        self.wires: list[Wire] = []
        self.services: dict[str, set[str]] = {}
        self.clock_errors: dict[str, float] = {}
        self.transfers = Transfers(self.simulation, self.rng)
        self.share_of_existing = 0.0 if seed % 2 else 0.2
        self.existing: set[str] = set()
        self.started = 0
        self.names = (f"n{number}" for number in count())
        self.log: list[str] = []
        self._next_redial = 0.0
        for _ in range(nodes):
            self.new_node()
        for _ in range(nodes // 2):
            self._wire(*self.rng.sample(sorted(self.services), 2))
        self.redial()

    # Weather

    def new_node(self) -> str:
        """A node joins the mesh at some other."""
        name = next(self.names)
        if self.rng.random() < self.share_of_existing:
            self.existing.add(name)
        others = sorted(self.services)
        self._start(name)
        if others:
            self._wire(name, self.rng.choice(others))
        return name

    def death(self) -> None:
        """A node dies; perhaps it said farewell before, and its services are gone."""
        if len(self.services) <= FEWEST_NODES:
            return
        name = self._some_node()
        for service in list(self.services[name]):
            if self.rng.random() < 0.5:
                self.simulation.nodes[name].mesh.withdraw(service, self.simulation.now)
        self.simulation.settle(name)
        self._kill(name)
        del self.services[name]
        self.wires = [wire for wire in self.wires if not wire.joins(name)]

    def restart(self) -> None:
        """A node dies and is back at once or soon, with a clock that may be wrong by years."""
        name = self._some_node()
        self._kill(name)
        self.let_pass(self.rng.choice([0.0, 1.0, 30.0]))
        self._start(name, self.rng.choice([0.0, 0.0, -100.0, -1e6, -1e9, 1e6]))

    def break_down(self) -> None:
        """A link ends, and both ends notice."""
        wire = self.rng.choice(self.wires)
        wire.down = True
        if wire.cable is not None:
            self.simulation.unplug(wire.cable)

    def silence(self) -> None:
        """A link swallows everything from now on, for a moment or for good."""
        wire = self.rng.choice(self.wires)
        wire.down = True
        if wire.cable is not None:
            wire.cable.cut = True

    def partition(self) -> None:
        """A part of the mesh is cut off."""
        island = set(self.rng.sample(sorted(self.services), self.rng.randint(1, len(self.services) // 2)))
        for wire in self.wires:
            if (wire.one in island) != (wire.other in island):
                wire.down = True
                if wire.cable is not None:
                    self.simulation.unplug(wire.cable)

    def loss(self) -> None:
        """Some links lose packets."""
        for wire in self.rng.sample(self.wires, len(self.wires) // 5):
            if wire.cable is not None:
                wire.cable.loss = 0.2

    def new_cost(self) -> None:
        """A link is configured anew at both ends."""
        wire = self.rng.choice(self.wires)
        wire.cost = self._cost()
        if wire.cable is not None:
            self.simulation.unplug(wire.cable)

    def impostor(self) -> None:
        """Somebody starts a node with an id that is in use, and has to go."""
        victim, neighbour = self._some_node(), self._some_node()
        is_linked = bool(self.simulation.nodes[victim].mesh.neighbours)
        if victim == neighbour or not is_linked or victim not in self.simulation.routes(neighbour):
            return
        self.clearing()
        older = self.simulation.nodes[victim]
        name = f"impostor of {victim}"
        self.simulation.add(name, node_id=victim, clock_error=self.clock_errors[victim] + 1.0)
        self.simulation.plug(name, neighbour)
        self.let_pass(15.0)
        if name in self.simulation.nodes:
            assert not self.simulation.nodes[name].mesh.neighbours, f"the {name} is still there"
            self.simulation.kill(name)  # A neighbour of the victim has refused it.
        assert self.simulation.nodes[victim] is older, f"the {name} has driven it out"

    def clearing(self) -> None:
        """Everything is mended."""
        for wire in self.wires:
            wire.down = False
            if wire.cable is not None:
                wire.cable.cut = False
                wire.cable.loss = 0.0

    def service(self) -> None:
        """A node begins to offer a service."""
        name, service = self._some_node(), f"s{self.rng.randrange(1000)}"
        self.services[name].add(service)
        self.simulation.nodes[name].mesh.advertise(service, 1, {}, None, self.simulation.now)
        self.simulation.settle(name)

    def transfer(self) -> None:
        """A node begins to send to another over a stream."""
        self.transfers.begin(self._some_node(), self._some_node())

    WEATHER: tuple[tuple[Callable[[Storm], object], int], ...] = (
        (new_node, 2), (death, 2), (restart, 3), (impostor, 1), (service, 3), (transfer, 8),
        (break_down, 4), (silence, 3), (partition, 1), (loss, 1), (new_cost, 2), (clearing, 3),
    )  # fmt: skip

    def step(self) -> None:
        """Something happens, time passes, and what must always hold is checked."""
        (event,) = self.rng.choices([event for event, _ in self.WEATHER], [weight for _, weight in self.WEATHER])
        self.log.append(f"{self.simulation.now:8.3f} {event.__name__}")
        event(self)
        self.transfers.go_on()
        self.let_pass(self.rng.choice([0.01, 0.3, 1.0, 3.0]))
        self.check_always()

    def let_pass(self, seconds: float) -> None:
        """Time passes; nodes dial again where a link is missing."""
        end = self.simulation.now + seconds
        while self._next_redial <= end:
            self.simulation.run(max(self._next_redial - self.simulation.now, 0.0))
            self._next_redial = self.simulation.now + REDIAL
            self.redial()
        self.simulation.run(end - self.simulation.now)

    def redial(self) -> None:
        present = {id(cable) for cable in self.simulation.cables.values()}
        for wire in self.wires:
            if wire.down or (wire.cable is not None and id(wire.cable) in present):
                continue
            if wire.one in self.simulation.nodes and wire.other in self.simulation.nodes:
                wire.cable = self.simulation.plug(wire.one, wire.other, LinkTerms(cost=wire.cost), latency=wire.latency)

    # What must hold

    def check_always(self) -> None:
        """At every step: no route without its link, no more names than nodes, streams that deliver what was sent."""
        for node in self.simulation.nodes.values():
            topology = node.mesh.topology
            assert set(topology.routes.values()) <= node.mesh.neighbours.keys()
            assert len(node.mesh.names) <= self.started
            assert len(topology.nodes) <= self.started
            assert topology.edges <= self.started**2
        self.transfers.check()

    def check_at_rest(self) -> None:
        """After a while of quiet: every table is one of the shortest ways, from end to end and without loops."""
        self.clearing()
        self.let_pass(SETTLING)
        costs: dict[str, dict[str, float]] = {name: {} for name in self.services}
        for wire in self.wires:
            for one, other in ((wire.one, wire.other), (wire.other, wire.one)):
                costs[one][other] = wire.cost
        distances = {name: shortest(costs, name) for name in costs}
        for name, reached in distances.items():
            routes = self.simulation.routes(name)
            assert routes.keys() == reached.keys() - {name}, f"{name} reaches other nodes than it should"
            for destination, hop in routes.items():
                assert costs[name][hop] + distances[hop][destination] == reached[destination], (
                    f"{name} takes a detour to {destination}"
                )
        for name, reached in distances.items():
            for destination in reached.keys() - {name}:
                self._follow(name, destination)

    def check_services(self) -> None:
        """After a minute more: every node knows the services of all nodes within reach."""
        self.let_pass(ADVERTISING)
        for name in self.services:
            known: dict[str, set[str]] = {}
            for one in self.simulation.nodes[name].mesh.advertisements.everything():
                known.setdefault(one.node_id, set()).add(one.service)
            for other in (name, *self.simulation.routes(name)):
                assert known.get(other, set()) == self.services[other], f"{name} knows other services of {other}"

    def check_transfers(self) -> None:
        """In the end every stream has delivered everything or is known to have broken, and has left nothing behind."""
        self.check_always()
        self.transfers.finish()
        for _ in range(15):
            self.let_pass(5.0)
            self.check_always()
        self.transfers.check_end()

    def _follow(self, start: str, destination: str) -> None:
        node = start
        for _ in range(max(MOST_HOPS, len(self.services))):
            if node == destination:
                return
            node = self.simulation.routes(node)[destination]
        raise AssertionError(f"the way from {start} to {destination} goes round in circles")

    # Helpers

    def _some_node(self) -> str:
        return self.rng.choice(sorted(self.services))

    def _cost(self) -> float:
        return float(self.rng.randint(1, 9))

    def _wire(self, one: str, other: str) -> None:
        if not any(wire.joins(one) and wire.joins(other) for wire in self.wires):
            self.wires.append(Wire(one, other, self._cost(), self.rng.uniform(0.001, 0.1)))

    def _start(self, name: str, clock_error: float = 0.0) -> None:
        self.started += 1
        self.clock_errors[name] = clock_error
        node = self.simulation.add(name, clock_error=clock_error, is_existing=name in self.existing)
        node.streams.listen(SINK)
        for service in sorted(self.services.setdefault(name, set())):
            node.mesh.advertise(service, 1, {}, None, self.simulation.now)

    def _kill(self, name: str) -> None:
        self.transfers.break_all_of(name)
        self.simulation.kill(name)


def run(seed: int, nodes: int, steps: int) -> None:
    """Let a storm pass and check what must hold. Raises AssertionError, which names the seed and what happened."""
    storm = Storm(seed, nodes)
    try:
        storm.let_pass(SETTLING)
        for number in range(steps):
            storm.step()
            if number % REST == REST - 1:
                storm.check_at_rest()
        storm.check_at_rest()
        storm.check_services()
        storm.check_transfers()
    except Exception as error:
        happened = "\n".join(storm.log[-20:])
        raise AssertionError(
            f"{error}\nat {storm.simulation.now:.3f} s, after\n{happened}\n"
            f"replay it with: python tests/storm.py {seed} {nodes} {steps}"
        ) from error


if __name__ == "__main__":
    began = time.monotonic()
    numbers = [int(word) for word in sys.argv[1:]]
    seed, nodes, steps = numbers + [1, 300, 60][len(numbers) :]
    run(seed, nodes, steps)
    seconds = time.monotonic() - began
    sys.stdout.write(f"seed {seed}, {nodes} nodes, {steps} steps: all as it must be, in {seconds:.1f} s\n")
