"""How nodes of ours come to know the same, and at which cost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mesh_bench import OUR_EPOCH, Bench, Neighbour, join
from simulation import Simulation, line_of_nodes

from receptor.netceptor.advertisements import SERVICE_MEMORY
from receptor.netceptor.agreement import LONGEST_PAUSE, SECOND_LOOK
from receptor.netceptor.announcer import CORRECTION_DELAY
from receptor.netceptor.limits import MeshLimits
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.pace import LONGEST_REFRESH, UPDATE_INTERVAL
from receptor.netceptor.topology import MEMORY, RUN_SILENCE

MENDED = UPDATE_INTERVAL + SECOND_LOOK + 0.5
"""Seconds in which neighbours find out what one of them lacks, and tell it."""

OWN_UPDATE = "update of us (near at 1)"


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def near(bench: Bench) -> Neighbour:
    """A neighbour of ours, which knows something that we don't: no digest of its agrees with what we have."""
    return join(bench, 1, refresh=LONGEST_REFRESH)


def ring_of(size: int) -> Simulation:
    """Nodes in a ring, each with a service, that all know each other."""
    simulation = Simulation()
    names = [f"n{number}" for number in range(size)]
    for name in names:
        simulation.add(name)
        simulation.advertise(name)
    for one, other in pairwise([*names, names[0]]):
        simulation.plug(one, other)
    simulation.run(30.0)
    assert all(len(simulation.routes(name)) == size - 1 for name in names)
    assert all(len(simulation.services(name)) == size for name in names)
    return simulation


def sent_in(simulation: Simulation, seconds: float) -> int:
    """How many packets the mesh sends in that time."""
    before = simulation.sent_packets
    simulation.run(seconds)
    return simulation.sent_packets - before


# What got lost is mended


@pytest.mark.parametrize("where", ["ab", "bc", "cd"])
def test_an_update_that_gets_lost_on_any_link_is_told_soon(where: str) -> None:
    simulation = line_of_nodes("a", "b", "c", "d")
    simulation.run(20.0)
    simulation.add("x")
    cable = simulation.cable_between(*where)
    cable.loss = 1.0
    simulation.plug("a", "x")
    simulation.run(2.0)
    cable.loss = 0.0
    assert simulation.run_until(
        lambda: {"x"} <= simulation.routes("d").keys() and "d" in simulation.routes("x"), MENDED
    )


@pytest.mark.parametrize("where", ["ab", "bc", "cd"])
def test_the_end_of_a_link_that_gets_lost_on_any_other_is_told_soon(where: str) -> None:
    simulation = line_of_nodes("x", "a", "b", "c", "d")
    simulation.run(20.0)
    cable = simulation.cable_between(*where)
    cable.loss = 1.0
    simulation.unplug(simulation.cable_between("x", "a"))
    simulation.run(2.0)
    assert "x" in simulation.routes("d")
    cable.loss = 0.0
    assert simulation.run_until(lambda: "x" not in simulation.routes("d"), MENDED)


@pytest.mark.parametrize("where", ["ab", "bc", "cd"])
def test_a_service_and_its_end_that_get_lost_are_told_soon(where: str) -> None:
    simulation = line_of_nodes("a", "b", "c", "d")
    simulation.run(20.0)
    cable = simulation.cable_between(*where)
    cable.loss = 1.0
    simulation.advertise("a")
    cable.loss = 0.0
    assert simulation.run_until(lambda: simulation.services("d") == ["service svc of a"], MENDED)
    simulation.run(UPDATE_INTERVAL)
    cable.loss = 1.0
    simulation.nodes["a"].mesh.withdraw("svc", simulation.now)
    simulation.settle("a")
    cable.loss = 0.0
    assert simulation.run_until(lambda: simulation.services("d") == [], MENDED + CORRECTION_DELAY)


def test_a_service_that_a_restarted_node_does_not_offer_any_more_is_soon_denied() -> None:
    simulation = line_of_nodes("a", "b", "c")
    simulation.advertise("a")
    simulation.run(20.0)
    assert simulation.services("c") == ["service svc of a"]
    simulation.kill("a")
    simulation.add("a")
    simulation.plug("a", "b")
    assert simulation.run_until(lambda: simulation.services("c") == [], CORRECTION_DELAY + 0.5)
    assert simulation.services("b") == []


def test_a_notice_of_a_duplicate_that_gets_lost_is_told_soon() -> None:
    """Who has missed it follows the namesake, and takes the true node's updates for those of an earlier run."""
    bench = Bench()
    near = join(bench, 1, refresh=LONGEST_REFRESH)
    other = join(bench, 2, "other", refresh=LONGEST_REFRESH)
    near.update({"us": 1.0, "far": 1.0}, refresh=LONGEST_REFRESH)
    near.update({"near": 1.0}, of="far", epoch=9, refresh=LONGEST_REFRESH)
    near.update({"near": 1.0}, of="far", epoch=5, sequence=70, suspects=9, refresh=LONGEST_REFRESH)
    near.update({"near": 1.0}, of="far", epoch=5, sequence=71, refresh=LONGEST_REFRESH)
    bench.wait(1.0)
    bench.did()
    other.greet(1)
    told = [line for line in bench.did() if "of far" in line]
    update, notice = "2: update of far via us (near at 1)", "2: update of far via us (near at 1) suspects 9"
    assert told == [update, notice, update]


def test_a_node_that_took_up_an_earlier_run_of_another_is_put_right_by_what_it_has_heard_before(
    bench: Bench, near: Neighbour
) -> None:
    """Some part of the mesh that was cut off has brought it back."""
    other = join(bench, 2, "other", refresh=LONGEST_REFRESH)

    def told_all() -> None:
        near.update({"near": 1.0, "true": 1.0}, of="far", epoch=5, sequence=71, update_id="true")
        near.update({"near": 1.0}, of="far", epoch=5, sequence=70, suspects=9, update_id="notice")
        near.update({"near": 1.0, "true": 1.0}, of="far", epoch=5, sequence=71, update_id="true")

    near.update({"us": 1.0, "far": 1.0}, refresh=LONGEST_REFRESH)
    told_all()
    other.update({"other": 1.0}, of="far", epoch=9, update_id="former")
    far = bench.node.mesh.topology
    assert far.claims["far"] == {"other": 1.0}
    bench.did()
    told_all()
    assert far.claims["far"] == {"near": 1.0, "true": 1.0}
    other.update({"other": 1.0}, of="far", epoch=9, update_id="former")
    assert far.claims["far"] == {"near": 1.0, "true": 1.0}
    assert bench.did() == [], "nothing is passed on twice"


def test_two_halves_of_a_mesh_that_meet_tell_each_other_of_all() -> None:
    simulation = Simulation()
    for name in "abcdef":
        simulation.add(name)
        simulation.advertise(name)
    for one, other in ("ab", "bc", "de", "ef"):
        simulation.plug(one, other)
    simulation.run(20.0)
    simulation.plug("c", "d")
    simulation.run(1.0)
    for name in "abcdef":
        assert len(simulation.routes(name)) == 5
        assert len(simulation.services(name)) == 6


def test_a_node_that_dies_without_a_word_is_missed_as_soon_as_its_links_are() -> None:
    simulation = line_of_nodes("a", "b", "c", "d")
    simulation.run(45.0)
    for cable in {id(cable): cable for cable in simulation.cables.values()}.values():
        cable.cut = "d" in {name for name, _ in cable.ends}
    assert simulation.run_until(lambda: "d" not in simulation.routes("a"), 22.0)


def test_a_restart_with_an_earlier_clock_is_followed_at_once() -> None:
    simulation = line_of_nodes("a", "b", "c")
    simulation.run(200.0)
    simulation.kill("c")
    simulation.add("c", clock_error=-1e6)
    simulation.plug("b", "c", LinkTerms())
    assert simulation.run_until(lambda: "c" in simulation.routes("a") and "a" in simulation.routes("c"), RUN_SILENCE)


# What it costs


def test_at_rest_a_link_carries_one_small_message_each_way_in_ten_seconds() -> None:
    simulation = ring_of(8)
    before = simulation.sent_bytes
    assert sent_in(simulation, 200.0) == 8 * 2 * 20
    assert simulation.sent_bytes - before < 8 * 2 * 20 * 200


def test_a_node_repeats_itself_and_its_services_within_ten_minutes() -> None:
    simulation = ring_of(8)
    simulation.run(1.1 * LONGEST_REFRESH)
    for name, node in simulation.nodes.items():
        for other in simulation.nodes.keys() - {name}:
            assert node.mesh.topology.nodes[other].heard_at > 30.0
    sent = sent_in(simulation, 10 * LONGEST_REFRESH)
    greetings = 8 * 2 * LONGEST_REFRESH
    assert greetings < sent < 1.5 * greetings
    assert all(len(simulation.services(name)) == 8 for name in simulation.nodes)


def test_those_who_can_never_agree_tell_each_other_all_ever_more_seldom() -> None:
    simulation = ring_of(8)
    simulation.add("small", limits=MeshLimits(services_of_a_node=1))
    simulation.plug("small", "n0")
    simulation.advertise("n4", "one too many")
    simulation.run(300.0)
    assert "service svc of n4" in simulation.services("small")
    assert len(simulation.services("small")) == 8
    sent = sent_in(simulation, 3600.0)
    greetings = 2 * 9 * 360
    repetitions = (9 + 9) * 2 * 9 * 3600 / (0.5 * LONGEST_REFRESH)
    tables = 2 * (9 + 9) * (3600 / LONGEST_PAUSE)
    assert greetings < sent < greetings + repetitions + tables
    assert simulation.nodes["n0"].mesh.neighbours["small"].comparison.pause == LONGEST_PAUSE


# What a neighbour can make us do


def true_digest(bench: Bench) -> int:
    """What the node on the bench greets with."""
    mesh = bench.node.mesh
    return mesh.topology.digest(OUR_EPOCH) ^ mesh.advertisements.digest(mesh.topology.routes)


def tables_sent(bench: Bench, node: str = "far") -> list[float]:
    """When the neighbour of session 1 was told all that we know, with that node."""
    return [when for when, line in bench.timeline() if line.startswith(f"1: update of {node} via us")]


def know_far(bench: Bench) -> Neighbour:
    """Have another neighbour, and a node behind it."""
    other = join(bench, 2, "other", refresh=LONGEST_REFRESH)
    other.update({"us": 1.0, "far": 1.0}, refresh=LONGEST_REFRESH)
    other.update({"other": 1.0}, of="far", epoch=3, refresh=LONGEST_REFRESH)
    bench.wait(1.0)
    bench.did()
    return other


def test_what_a_neighbour_new_to_the_mesh_lacks_is_told_at_once_and_a_later_one_when_it_lasts(
    bench: Bench, near: Neighbour
) -> None:
    know_far(bench)
    near.greet(1)
    assert "1: update of far via us (other at 1)" in bench.did()
    bench.wait(UPDATE_INTERVAL)
    bench.did()
    near.greet(2)
    assert bench.did() == []
    bench.wait(SECOND_LOOK)
    assert bench.did() == ["1: greeting"], "so that the neighbour may see for itself"
    near.greet(2)
    assert "1: update of far via us (other at 1)" in bench.did()


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.integers(1, 3)), min_size=200, max_size=200))
@settings(max_examples=10, deadline=None)
def test_whatever_a_neighbour_greets_with_it_is_not_told_all_more_often_than_an_existing_node(
    greetings: list[tuple[float, int]],
) -> None:
    bench = Bench()
    near = join(bench, 1, refresh=LONGEST_REFRESH)
    know_far(bench)
    for wait, kind in greetings:
        bench.wait(wait)
        near.greet(true_digest(bench) if kind == 1 else true_digest(bench) ^ kind)
    times = tables_sent(bench)
    assert all(later - earlier >= UPDATE_INTERVAL - 1e-6 for earlier, later in pairwise(times))


def test_a_neighbour_of_ours_that_knows_the_same_is_told_nothing(bench: Bench) -> None:
    bench.node.mesh.advertise("svc", 1, {}, None, bench.now)
    near = join(bench, 1, refresh=LONGEST_REFRESH)
    near.greet(true_digest(bench))
    near.greet(true_digest(bench) ^ 1)
    assert bench.did() == []


def test_services_of_existing_nodes_are_forgotten_sooner(bench: Bench, near: Neighbour) -> None:
    other = join(bench, 2, "other")
    near.advertise("svc", of="near")
    other.advertise("svc", of="other")
    remembered = []
    for age in range(0, 1300, 10):
        bench.wait(10.0)
        near.greet(0)
        other.update({"us": 1.0})
        remembered += [(str(one), age) for one in bench.node.mesh.advertisements.everything()]
    ages = dict(remembered)
    assert MEMORY - 10 <= ages["service svc of other"] <= MEMORY + 60
    assert SERVICE_MEMORY - 10 <= ages["service svc of near"] <= SERVICE_MEMORY + 60


def test_what_a_neighbour_that_was_in_reach_before_lacks_is_told_when_the_difference_lasts() -> None:
    """A link more within a mesh: what differs now is most likely on its way."""
    bench = Bench()
    know_far(bench)
    far = join(bench, 1, "far", refresh=LONGEST_REFRESH)
    far.greet(1)
    assert tables_sent(bench, "other") == []
    bench.wait(SECOND_LOOK)
    far.greet(1)
    assert tables_sent(bench, "other") == [bench.now]


def test_a_flood_of_greetings_is_answered_once_a_second(bench: Bench, near: Neighbour) -> None:
    know_far(bench)
    near.greet(1)
    bench.wait(UPDATE_INTERVAL)
    bench.did()
    for _ in range(250):
        bench.wait(0.01)
        near.greet(true_digest(bench) ^ 1)
        near.greet(true_digest(bench))
    assert len([line for line in bench.did() if line == "1: greeting"]) == 2


def test_a_difference_that_stays_is_told_ever_more_seldom_but_a_new_one_soon(bench: Bench, near: Neighbour) -> None:
    other = know_far(bench)
    for _ in range(360):
        bench.wait(UPDATE_INTERVAL - 2.0)
        other.update({"us": 1.0, "far": 1.0}, refresh=LONGEST_REFRESH)
        for _ in range(2):
            bench.wait(1.0)
            near.greet(1)
    times = tables_sent(bench)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[:5] == sorted(pauses[:5])
    assert all(LONGEST_PAUSE <= pause <= LONGEST_PAUSE + UPDATE_INTERVAL for pause in pauses[5:])
    for _ in range(2):
        bench.wait(1.0)
        near.greet(2)
    assert tables_sent(bench) != []
