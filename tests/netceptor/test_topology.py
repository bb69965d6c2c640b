from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from routes import assert_shortest

from receptor.netceptor.messages import RoutingUpdate
from receptor.netceptor.topology import MEMORY, MOST_SEEN_UPDATES, SEEN_UPDATE_MEMORY, Topology

node_names = st.sampled_from("abcdefgh")
cost_tables = st.dictionaries(
    node_names, st.dictionaries(node_names, st.integers(1, 9).map(float), max_size=5), max_size=8
)


def update_of(
    node: str, connections: dict[str, float], epoch: int = 1, sequence: int = 1, suspected_duplicate: int = 0
) -> RoutingUpdate:
    return RoutingUpdate(
        node_id=node,
        update_id=f"{node}{epoch}.{sequence}",
        epoch=epoch,
        sequence=sequence,
        connections=connections,
        forwarding_node=node,
        suspected_duplicate=suspected_duplicate,
    )


@given(cost_tables)
def test_routes_are_those_of_least_cost(costs: dict[str, dict[str, float]]) -> None:
    topology = Topology("a")
    topology.costs = costs
    topology.compute_routes()
    assert_shortest({"a": {}, **costs}, "a", topology.routes)


def test_a_detour_over_cheap_links_wins() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.connect("c", 5.0)
    topology.apply(update_of("b", {"a": 1.0, "c": 1.0}), now=0.0)
    assert topology.compute_routes()
    assert topology.routes == {"b": "b", "c": "b"}
    assert not topology.compute_routes(), "nothing changed"


def test_a_node_that_no_longer_lists_another_ends_the_edge_from_there_too() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {"a": 1.0, "c": 1.0}), now=0.0)
    topology.apply(update_of("c", {"b": 1.0}), now=0.0)
    assert topology.apply(update_of("c", {}, sequence=2), now=1.0)
    topology.compute_routes()
    assert topology.routes == {"b": "b"}


def test_what_others_say_does_not_end_a_link_of_ours() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {}), now=0.0)
    topology.compute_routes()
    assert topology.routes == {"b": "b"}
    topology.disconnect("b")
    topology.compute_routes()
    assert topology.routes == {}


def test_news_is_a_later_run_or_a_later_update_of_the_same_run() -> None:
    topology = Topology("a")
    topology.apply(update_of("b", {}, epoch=5, sequence=5), now=0.0)
    news = {(epoch, sequence) for epoch in (4, 5, 6) for sequence in (4, 5, 6)}
    assert {key for key in news if topology.is_news(update_of("b", {}, *key))} == {(5, 6), (6, 4), (6, 5), (6, 6)}


def test_the_same_edges_again_change_nothing() -> None:
    topology = Topology("a")
    assert topology.apply(update_of("b", {"a": 1.0}), now=0.0)
    assert not topology.apply(update_of("b", {"a": 1.0}, sequence=2), now=10.0)


def test_the_run_of_a_suspected_duplicate_is_left_for_that_of_the_older_node() -> None:
    topology = Topology("a")
    topology.apply(update_of("b", {}, epoch=9, sequence=3), now=0.0)
    older = update_of("b", {}, epoch=2, sequence=70)
    assert not topology.is_news(older)
    topology.adopt_run(update_of("b", {}, epoch=2, sequence=69, suspected_duplicate=8))
    assert not topology.is_news(older), "another run was suspected than the one we know"
    topology.adopt_run(update_of("b", {}, epoch=2, sequence=69, suspected_duplicate=9))
    assert topology.is_news(older)


# Memory


def test_an_update_is_seen_for_the_first_time_once() -> None:
    topology = Topology("a")
    assert topology.first_sight("x", 0.0)
    assert not topology.first_sight("x", 1.0)
    topology.forget_stale(SEEN_UPDATE_MEMORY - 1.0)
    assert not topology.first_sight("x", SEEN_UPDATE_MEMORY - 1.0)
    topology.forget_stale(SEEN_UPDATE_MEMORY)
    assert topology.first_sight("x", SEEN_UPDATE_MEMORY)


def test_the_memory_of_seen_updates_is_bounded_however_many_come() -> None:
    topology = Topology("a")
    for number in range(MOST_SEEN_UPDATES + 10):
        assert topology.first_sight(str(number), 0.0)
    assert not topology.first_sight("10", 0.0), "the newest are kept"
    assert topology.first_sight("9", 0.0), "the oldest are forgotten"


def test_a_node_out_of_reach_is_forgotten_ten_minutes_after_its_last_update() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {"a": 1.0, "c": 1.0}), now=0.0)
    topology.apply(update_of("c", {"b": 1.0, "d": 1.0}), now=50.0)
    topology.apply(update_of("d", {"c": 1.0}), now=100.0)
    topology.compute_routes()
    assert topology.forget_stale(5000.0) == [], "all are in reach"
    topology.disconnect("b")
    topology.compute_routes()
    assert sorted(topology.forget_stale(50.0 + MEMORY)) == ["b", "c"]
    assert topology.costs == {"a": {}, "d": {}}
    assert topology.forget_stale(100.0 + MEMORY) == ["d"]
    assert topology.nodes == {}
