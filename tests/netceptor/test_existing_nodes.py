"""What nodes of ours do when an existing node is about, which depends on frequent repetitions."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mesh_bench import Bench, Neighbour, join
from simulation import Cable, Simulation, line_of_nodes

from receptor.netceptor.messages import decode_routing_update
from receptor.netceptor.pace import LONGEST_REFRESH, UPDATE_INTERVAL
from receptor.netceptor.packets import ROUTING_UPDATE
from receptor.netceptor.topology import MEMORY

OWN_UPDATE = "update of us (near at 1)"


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def near(bench: Bench) -> Neighbour:
    """A neighbour of ours."""
    return join(bench, 1, refresh=LONGEST_REFRESH)


def test_a_neighbour_that_is_an_existing_node_hears_from_us_every_ten_seconds(bench: Bench) -> None:
    neighbour = join(bench, 1)
    for _ in range(10):
        bench.wait(UPDATE_INTERVAL)
        neighbour.update({"us": 1.0})
    assert bench.did() == [f"1: {OWN_UPDATE}"] * 10


def test_it_does_so_even_if_somebody_says_in_its_name_that_it_need_not(bench: Bench) -> None:
    existing = join(bench, 1)
    join(bench, 2, "other", refresh=LONGEST_REFRESH).update(
        {"us": 1.0}, of="near", sequence=1000, refresh=LONGEST_REFRESH
    )
    bench.wait(0.5)
    bench.did()
    for _ in range(3):
        existing.update({"us": 1.0})
        bench.wait(UPDATE_INTERVAL)
    assert len([line for line in bench.did() if line.startswith("1: update of us")]) == 3


def test_we_repeat_ourselves_while_a_node_is_known_by_others_only(bench: Bench, near: Neighbour) -> None:
    """News of an existing node may get lost; those of its neighbours name it."""
    bench.wait(UPDATE_INTERVAL)
    bench.did()
    near.update({"us": 1.0, "far": 1.0}, refresh=LONGEST_REFRESH)
    bench.wait(UPDATE_INTERVAL)
    assert bench.did() == ["routes far=near near=near", f"1: {OWN_UPDATE}"]
    near.update({"near": 1.0}, of="far", refresh=LONGEST_REFRESH)
    near.update({"us": 1.0, "far": 1.0}, refresh=LONGEST_REFRESH)
    bench.wait(UPDATE_INTERVAL)
    assert bench.did() == ["1: greeting"]


@given(st.lists(st.floats(0.1, 15.0), min_size=50, max_size=50), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_a_link_is_never_silent_for_long_however_often_we_change_our_pace(waits: list[float], seed: int) -> None:
    bench = Bench()
    near = join(bench, 1, refresh=LONGEST_REFRESH)
    near.update({"us": 1.0, "far": 1.0}, refresh=LONGEST_REFRESH)
    bench.did()
    start = bench.now
    for number, wait in enumerate(waits):
        near.update({"near": 1.0}, of="far", refresh=(seed >> number % 32 & 1) * LONGEST_REFRESH)
        bench.wait(wait)
    times = [start, *(when for when, line in bench.timeline() if line.startswith("1: "))]
    assert all(later - earlier <= UPDATE_INTERVAL + 1e-3 for earlier, later in pairwise(times))


def updates_of(cable: Cable, node: str) -> int:
    """How many updates of a node a cable has carried since the last look."""
    carried, cable.carried = cable.carried, []
    updates = [decode_routing_update(packet) for _, packet in carried if packet[0] == ROUTING_UPDATE]
    return len([update for update in updates if update.node_id == node])


def test_everybody_repeats_itself_when_an_existing_node_joins_and_until_it_is_forgotten() -> None:
    simulation = line_of_nodes("a", "b", "c", "d")
    simulation.advertise("a")
    simulation.run(30.0)
    simulation.add("old", is_existing=True)
    cable = simulation.plug("d", "old")
    assert simulation.run_until(lambda: len(simulation.routes("old")) == 4, 3.0), "soon, and not by and by"
    assert simulation.services("old") == ["service svc of a"]
    simulation.run(UPDATE_INTERVAL)
    cable.carried = []
    simulation.run(120.0)
    told = [packet for _, packet in cable.carried if packet[0] != ROUTING_UPDATE]
    assert len(told) == 2, "a service each minute"
    assert all(b"Digest" not in packet for _, packet in cable.carried)
    assert updates_of(cable, "a") == 12
    simulation.kill("old")
    simulation.run(1.0)
    watched = simulation.cable_between("b", "c")
    watched.carried = []
    simulation.run(120.0)
    assert updates_of(watched, "a") == 12, "it may come back elsewhere"
    simulation.run(MEMORY)
    watched.carried = []
    simulation.run(120.0)
    assert updates_of(watched, "a") <= 1


def test_updates_that_were_passed_on_by_an_existing_node_count_as_its_own_do() -> None:
    """It passes on only what it knows."""
    simulation = Simulation()
    for name in ("a", "old", "c"):
        simulation.add(name, is_existing=name == "old")
    simulation.plug("a", "old")
    far = simulation.plug("old", "c")
    simulation.run(5.0)
    assert simulation.routes("c") == {"a": "old", "old": "old"}
    far.carried = []
    simulation.run(60.0)
    assert updates_of(far, "a") == 6
    simulation.plug("a", "c")
    simulation.kill("old")
    simulation.run(MEMORY + 2 * LONGEST_REFRESH)
    assert simulation.nodes["a"].mesh.topology.is_patient
    assert simulation.nodes["c"].mesh.topology.is_patient


def test_a_node_of_ours_behind_an_existing_one_hears_of_all_soon() -> None:
    simulation = line_of_nodes("a", "b")
    simulation.add("old", is_existing=True)
    simulation.plug("b", "old")
    simulation.run(30.0)
    simulation.add("c")
    simulation.plug("old", "c")
    assert simulation.run_until(lambda: len(simulation.routes("c")) == 3, 3.0)


def test_an_existing_node_is_known_behind_a_link_that_heals() -> None:
    simulation = line_of_nodes("a", "b")
    simulation.add("c")
    simulation.add("old", is_existing=True)
    simulation.plug("c", "old")
    simulation.run(120.0)
    simulation.plug("b", "c")
    assert simulation.run_until(lambda: len(simulation.routes("old")) == 3, 3.0)
    simulation.run(MEMORY / 10)
    assert not simulation.nodes["a"].mesh.topology.is_patient
