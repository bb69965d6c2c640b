"""Many nodes in virtual time: what follows from the rules that each of them keeps."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations

import pytest
from routes import assert_shortest
from simulation import Cable, Simulation, line_of_nodes

from receptor.netceptor.effects import DatagramArrived, Duplicate, Notice, StreamClosed, StreamData, StreamOpened
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.messages import RoutingUpdate, encode_routing_update
from receptor.netceptor.packets import ADVERTISEMENT, Address
from receptor.netceptor.topology import MEMORY

NODES = 25


def random_mesh(seed: int) -> tuple[Simulation, list[Cable]]:
    """A tree with a few more cables, of random costs and latencies."""
    simulation = Simulation(seed)
    rng = simulation.rng
    names = [f"n{number}" for number in range(NODES)]
    edges = {(rng.choice(names[:number]), names[number]) for number in range(1, NODES)}
    edges |= set(rng.sample(list(combinations(names, 2)), NODES // 2))
    for name in names:
        simulation.add(name)
    cables = [
        simulation.plug(one, other, LinkTerms(cost=float(rng.randint(1, 9))), latency=rng.uniform(0.001, 0.2))
        for one, other in sorted(edges)
    ]
    return simulation, cables


def costs_of(simulation: Simulation) -> dict[str, dict[str, float]]:
    """The links that each node has."""
    return {
        name: {neighbour: link.cost for neighbour, link in node.mesh.neighbours.items()}
        for name, node in simulation.nodes.items()
    }


def assert_converged(simulation: Simulation) -> None:
    costs = costs_of(simulation)
    for name in simulation.nodes:
        assert_shortest(costs, name, simulation.routes(name))


def across(cables: Iterable[Cable], island: set[str]) -> list[Cable]:
    return [cable for cable in cables if (cable.ends[0][0] in island) != (cable.ends[1][0] in island)]


# An update that is overtaken by a later one of its neighbour can hide an edge until the next round of updates, so
# a mesh may take ten seconds to settle.


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_routes_converge_after_start_partition_and_healing(seed: int) -> None:
    simulation, cables = random_mesh(seed)
    simulation.run(15.0)
    assert_converged(simulation)
    assert all(len(simulation.routes(name)) == NODES - 1 for name in simulation.nodes)
    island = set(simulation.rng.sample(sorted(simulation.nodes), NODES // 3))
    bridges = across(cables, island)
    for cable in bridges:
        simulation.unplug(cable)
    simulation.run(15.0)
    assert_converged(simulation)
    assert all((name in island) == (node in island) for node in island for name in simulation.routes(node))
    for cable in bridges:
        (one, _), (other, _) = cable.ends
        simulation.plug(one, other, LinkTerms(cost=float(simulation.rng.randint(1, 9))))
    simulation.run(15.0)
    assert_converged(simulation)
    assert all(len(simulation.routes(name)) == NODES - 1 for name in simulation.nodes)


def test_datagrams_follow_the_routes_to_every_node() -> None:
    simulation, _ = random_mesh(4)
    simulation.run(5.0)
    for name, node in simulation.nodes.items():
        node.open_datagrams("sink")
        for other in simulation.nodes.keys() - {name}:
            node.send_datagram("x", Address(other, "sink"), b"", simulation.now)
    for name in simulation.nodes:
        simulation.settle(name)
    simulation.run(10.0)
    for name in simulation.nodes:
        sources = {told.datagram.source.node for told in simulation.told_of(name, DatagramArrived)}
        assert sources == simulation.nodes.keys() - {name}


def test_links_that_fall_silent_are_routed_around() -> None:
    simulation = line_of_nodes("a", "b", "c")
    simulation.plug("a", "c", LinkTerms(cost=9.0))
    simulation.run(1.0)
    assert simulation.routes("a")["c"] == "b"
    next(cable for cable in simulation.cables.values() if {end[0] for end in cable.ends} == {"b", "c"}).cut = True
    simulation.run(25.0)
    assert simulation.routes("a") == {"b": "b", "c": "c"}
    assert simulation.routes("c") == {"a": "a", "b": "a"}


def test_a_lossy_mesh_settles_all_the_same() -> None:
    simulation, cables = random_mesh(5)
    for cable in cables:
        cable.loss = 0.1
    simulation.run(15.0)
    for cable in cables:
        cable.loss = 0.0
    simulation.run(15.0)
    assert_converged(simulation)


def test_many_nodes_that_join_at_once_do_not_say_much_more_than_they_must() -> None:
    simulation = Simulation()
    simulation.add("hub")
    cables = []
    for number in range(60):
        simulation.add(f"n{number}")
        cables.append(simulation.plug("hub", f"n{number}"))
    simulation.run(2.0)
    assert_converged(simulation)
    assert max(len(cable.carried) for cable in cables) < 5 * 60


# Services


def full_mesh() -> tuple[Simulation, list[Cable]]:
    """Six nodes, each linked with each."""
    simulation = Simulation()
    for name in "abcdef":
        simulation.add(name)
    cables = [simulation.plug(one, other) for one, other in combinations("abcdef", 2)]
    simulation.run(2.0)
    return simulation, cables


def advertised(simulation: Simulation, node: str) -> list[str]:
    return [str(one) for one in simulation.nodes[node].mesh.advertisements.everything()]


def test_a_service_and_its_end_pass_each_link_at_most_twice() -> None:
    simulation, cables = full_mesh()
    mesh = simulation.nodes["a"].mesh
    mesh.advertise("svc", 1, {}, None, simulation.now)
    simulation.settle("a")
    simulation.run(5.0)
    assert all(advertised(simulation, node) == ["service svc of a"] for node in "abcdef")
    mesh.withdraw("svc", simulation.now)
    simulation.settle("a")
    simulation.run(5.0)
    assert all(advertised(simulation, node) == [] for node in "abcdef")
    for cable in cables:
        assert sum(packet[0] == ADVERTISEMENT for _, packet in cable.carried) <= 4


def test_a_service_is_known_on_both_sides_after_a_partition() -> None:
    simulation = line_of_nodes("a", "b", "c")
    cable = next(iter(simulation.cables.values()))
    simulation.unplug(cable)
    simulation.nodes["a"].mesh.advertise("new", 1, {}, None, simulation.now)
    simulation.nodes["b"].mesh.advertise("other", 1, {}, None, simulation.now)
    simulation.settle("a")
    simulation.settle("b")
    simulation.run(5.0)
    simulation.plug("a", "b")
    simulation.run(5.0)
    for node in "abc":
        assert set(advertised(simulation, node)) == {"service new of a", "service other of b"}


def test_a_service_that_ended_during_a_partition_is_denied_when_that_is_over() -> None:
    simulation = line_of_nodes("a", "b", "c")
    simulation.nodes["a"].mesh.advertise("svc", 1, {}, None, simulation.now)
    simulation.settle("a")
    simulation.run(1.0)
    simulation.unplug(next(iter(simulation.cables.values())))
    simulation.nodes["a"].mesh.withdraw("svc", simulation.now)
    simulation.plug("a", "b")
    simulation.run(1.0)
    assert advertised(simulation, "c") == ["service svc of a"]
    simulation.run(1.0)
    assert advertised(simulation, "c") == []


# Node ids


def test_of_two_nodes_with_one_id_the_newcomer_ends() -> None:
    simulation = line_of_nodes("a", "b", "c", "d")
    older = simulation.nodes["a"]
    simulation.run(100.0)
    simulation.told["a"].clear()
    simulation.add("newcomer", node_id="a")
    simulation.plug("newcomer", "d")
    assert simulation.run_until(lambda: simulation.told_of("newcomer", Duplicate), 30.0)
    simulation.run(1.0)
    assert simulation.nodes["a"] is older
    assert any("a node started later uses our id a" in notice.text for notice in simulation.told_of("a", Notice))
    assert simulation.routes("d") == {"a": "c", "b": "c", "c": "c"}
    assert_converged(simulation)


def test_a_node_whose_clock_was_set_back_is_heard_again() -> None:
    simulation = line_of_nodes("a", "b", "c")
    simulation.kill("b")
    simulation.run(1.0)
    simulation.add("b", clock_error=-1e9)
    simulation.add("d")
    for neighbour in "adc":
        simulation.plug("b", neighbour)
    simulation.run(5.0)
    assert_converged(simulation)
    assert simulation.routes("c") == {"a": "b", "b": "b", "d": "b"}


LARGEST = 2**64 - 1


@pytest.mark.parametrize("seed", range(5))
def test_forged_updates_end_no_node_and_no_stream_and_hide_nobody_for_long(seed: int) -> None:
    simulation = line_of_nodes("a", "b", "c", "forger")
    rng = random.Random(seed)
    simulation.nodes["a"].streams.listen("svc")
    simulation.run(100.0)
    stream = simulation.nodes["c"].streams.dial("a", "svc", simulation.now)
    simulation.settle("c")
    simulation.run(1.0)
    session = simulation.nodes["c"].mesh.neighbours["forger"].session
    epochs = [node.mesh.identity.epoch for node in simulation.nodes.values()]
    for number in range(200):
        forged = RoutingUpdate(
            node_id=rng.choice("abc"),
            update_id=f"forged{number}",
            epoch=rng.choice([0, LARGEST, LARGEST - number, *epochs, epochs[0] + number]),
            sequence=rng.choice([0, 1, 100, LARGEST]),
            connections={node: rng.choice([1e-300, 1.0, 1e300]) for node in rng.sample("abcdefg", 3)},
            forwarding_node="forger",
            suspected_duplicate=rng.choice([0, 0, LARGEST, *epochs]),
        )
        simulation.nodes["c"].packets_received(session, [encode_routing_update(forged)], simulation.now)
        simulation.settle("c")
        simulation.run(rng.choice([0.0, 0.01, 0.5]))
    simulation.run(15.0)
    assert simulation.nodes.keys() == {"a", "b", "c", "forger"}
    for name in simulation.nodes:
        assert simulation.routes(name).keys() == simulation.nodes.keys() - {name}
    simulation.nodes["c"].streams.write(stream, b"unharmed")
    simulation.settle("c")
    simulation.run(1.0)
    assert [told.data for told in simulation.told_of("a", StreamData)] == [b"unharmed"]
    assert not any(simulation.told_of(name, StreamClosed) for name in "ac")


def test_services_of_a_node_whose_clock_was_set_back_are_known_everywhere() -> None:
    """Though it said farewell at a time that is still to come for it."""
    simulation = line_of_nodes("a", "b", "c", "d")
    simulation.nodes["b"].mesh.advertise("svc", 1, {}, None, simulation.now)
    simulation.settle("b")
    simulation.run(5.0)
    simulation.nodes["b"].mesh.withdraw("svc", simulation.now)
    simulation.settle("b")
    simulation.run(1.0)
    simulation.kill("b")
    simulation.add("b", clock_error=-1e6)
    simulation.nodes["b"].mesh.advertise("svc", 1, {}, None, simulation.now)
    simulation.plug("a", "b")
    simulation.plug("b", "c")
    simulation.run(5.0)
    for node in "abcd":
        assert advertised(simulation, node) == ["service svc of b"]


# Memory


def test_nodes_that_have_gone_are_forgotten_everywhere() -> None:
    simulation = line_of_nodes("a", "b", "c", "d")
    simulation.nodes["d"].mesh.advertise("svc", 1, {}, None, simulation.now)
    simulation.settle("d")
    simulation.run(5.0)
    simulation.kill("d")
    simulation.run(MEMORY + 70.0)
    for name in "abc":
        mesh = simulation.nodes[name].mesh
        assert "d" not in mesh.topology.nodes
        assert "d" not in mesh.topology.costs
        assert "d" not in mesh.names.values()
        assert not any("d" in edges for edges in mesh.topology.costs.values())
        assert mesh.advertisements.everything() == ()
        assert simulation.routes(name).keys() == set("abc") - {name}


# Streams


def test_every_node_can_dial_every_other() -> None:
    simulation = line_of_nodes(*"abcdef")
    for node in simulation.nodes.values():
        node.streams.listen("svc")
    dialled = 0
    for name, node in simulation.nodes.items():
        for other in simulation.nodes:
            node.streams.dial(other, "svc", simulation.now)
            dialled += 1
        simulation.settle(name)
    simulation.run(5.0)
    opened = [effect for name in simulation.nodes for effect in simulation.told_of(name, StreamOpened)]
    assert len(opened) == 2 * dialled
    assert not [effect for name in simulation.nodes for effect in simulation.told_of(name, StreamClosed)]
