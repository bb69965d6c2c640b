"""The test bed itself."""

from __future__ import annotations

import pytest
from simulation import Simulation, line_of_nodes

from receptor.netceptor.effects import DatagramArrived, LinkUp
from receptor.netceptor.packets import Address


def transcript(seed: int) -> list[tuple[str, bytes]]:
    """What four nodes in a ring say while one of their cables loses packets and another is unplugged."""
    simulation = Simulation(seed)
    for name in "abcd":
        simulation.add(name)
    cables = [
        simulation.plug(one, other, latency=simulation.rng.uniform(0.001, 0.1))
        for one, other in ("ab", "bc", "cd", "da")
    ]
    cables[1].loss = 0.3
    simulation.run(15.0)
    simulation.unplug(cables[2])
    simulation.run(15.0)
    return [carried for cable in cables for carried in cable.carried]


def test_the_same_seed_gives_the_same_packets() -> None:
    first = transcript(1)
    assert len(first) > 50
    assert transcript(1) == first
    assert transcript(2) != first


def test_time_passes_without_waiting() -> None:
    simulation = Simulation()
    simulation.run(1e6)
    assert simulation.now == 1e6


def test_a_condition_ends_the_wait_or_is_reported_missing() -> None:
    simulation = Simulation()
    simulation.add("a")
    simulation.add("b")
    simulation.plug("a", "b", latency=0.25)
    assert simulation.run_until(lambda: simulation.told_of("b", LinkUp))
    assert simulation.now == 0.25
    assert not simulation.run_until(lambda: False, 5.0)
    assert simulation.now == 5.25


def test_an_unplugged_cable_is_noticed_at_both_ends_and_a_cut_one_at_neither() -> None:
    simulation = line_of_nodes("a", "b")
    (cable, _) = simulation.cables.values()
    cable.cut = True
    simulation.run(5.0)
    assert simulation.routes("a") == {"b": "b"}
    simulation.unplug(cable)
    assert simulation.routes("a") == simulation.routes("b") == {}


def test_a_node_that_is_killed_is_gone_for_its_neighbours() -> None:
    simulation = line_of_nodes("a", "b", "c")
    simulation.kill("c")
    simulation.run(1.0)
    assert simulation.routes("a") == {"b": "b"}


@pytest.mark.parametrize(("loss", "fewest", "most"), [(0.0, 300, 300), (0.5, 100, 200), (1.0, 0, 0)])
def test_a_cable_loses_packets_but_keeps_their_order(loss: float, fewest: int, most: int) -> None:
    simulation = line_of_nodes("a", "b")
    (cable, _) = simulation.cables.values()
    cable.loss = loss
    simulation.nodes["b"].open_datagrams("sink")
    for number in range(300):
        cable.latency = simulation.rng.random()
        simulation.nodes["a"].send_datagram("x", Address("b", "sink"), b"%d" % number, simulation.now)
        simulation.settle("a")
    simulation.run(2.0)
    arrived = [int(told.datagram.payload) for told in simulation.told_of("b", DatagramArrived)]
    assert fewest <= len(arrived) <= most
    assert arrived == sorted(arrived)
