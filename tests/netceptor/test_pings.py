from __future__ import annotations

import pytest
from mesh_bench import Bench, join
from simulation import Simulation, line_of_nodes

from receptor.netceptor.effects import PingEnded
from receptor.netceptor.limits import MeshLimits
from receptor.netceptor.packets import Address


def ping(simulation: Simulation, node: str, target: str, hops: int = 30) -> PingEnded:
    number = simulation.nodes[node].pings.start(target, simulation.now, hops)
    simulation.settle(node)
    assert simulation.run_until(lambda: simulation.told_of(node, PingEnded))
    (ended,) = simulation.told_of(node, PingEnded)
    simulation.told[node].clear()
    assert ended.ping == number
    return ended


def test_a_ping_measures_the_way_there_and_back() -> None:
    simulation = line_of_nodes("a", "b", "c", latency=0.01)
    ended = ping(simulation, "a", "c")
    assert (ended.node, ended.problem) == ("c", None)
    assert ended.seconds == pytest.approx(0.04)


def test_a_ping_of_ourselves_is_answered_at_once() -> None:
    simulation = line_of_nodes("a", "b")
    for name in ("a", "localhost"):
        assert (ping(simulation, "a", name).node, ping(simulation, "a", name).seconds) == ("a", 0.0)


def test_traceroute_finds_each_node_on_the_way() -> None:
    simulation = line_of_nodes("a", "b", "c", "d")
    steps = [ping(simulation, "a", "d", hops) for hops in range(4)]
    assert [(step.node, step.problem) for step in steps] == [
        ("a", "message expired"),
        ("b", "message expired"),
        ("c", "message expired"),
        ("d", None),
    ]


def test_a_ping_without_a_route_ends_at_once() -> None:
    simulation = line_of_nodes("a", "b")
    assert ping(simulation, "a", "x").problem == "no route to node x"


def test_a_ping_without_an_answer_ends_after_ten_seconds() -> None:
    bench = Bench()
    near = join(bench, 1)
    start = bench.now
    bench.node.pings.start("near", bench.now)
    bench.wait(9.0)
    near.update({"us": 1.0})
    bench.wait(2.0)
    assert (start + 10.0, "ping 1 ended after 10 s: timeout") in bench.timeline()


def test_a_ping_ends_once() -> None:
    bench = Bench()
    near = join(bench, 1)
    bench.node.pings.start("near", bench.now)
    bench.poll()
    service = sent_service(bench.did())
    near.data(Address("near", "other"), Address("us", service))
    assert bench.did() == [], "that is no answer to a ping"
    near.data(Address("near", "ping"), Address("us", service))
    assert bench.did() == ["ping 1 ended after 0 s: answered by near"]
    near.data(Address("near", "ping"), Address("us", service))
    assert "service unknown" in bench.did()[0], "its service is closed again"


def sent_service(lines: list[str]) -> str:
    (line,) = lines
    return line.split("us:")[1].split()[0]


def test_only_so_many_pings_wait_at_once() -> None:
    bench = Bench(limits=MeshLimits(pings=2))
    join(bench, 1)
    for _ in range(3):
        bench.node.pings.start("near", bench.now)
    bench.poll()
    assert bench.did()[-1] == "ping 3 ended after 0 s: 2 pings of this node wait for an answer by us"
    bench.wait(10.0)
    bench.did()
    bench.node.pings.start("us", bench.now)
    bench.poll()
    assert bench.did() == ["ping 4 ended after 0 s: answered by us"]
