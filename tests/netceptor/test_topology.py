from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routes import assert_shortest

from receptor.errors import PeerError
from receptor.netceptor.digests import digest_of
from receptor.netceptor.limits import MeshLimits
from receptor.netceptor.messages import PATIENT, RoutingUpdate
from receptor.netceptor.topology import MEMORY, RUN_SILENCE, SEEN_UPDATE_MEMORY, SILENCE, Topology

node_names = st.sampled_from("abcdefgh")
cost_tables = st.dictionaries(
    node_names, st.dictionaries(node_names, st.integers(1, 9).map(float), max_size=5), max_size=8
)


def update_of(
    node: str,
    connections: dict[str, float],
    epoch: int = 1,
    sequence: int = 1,
    suspected_duplicate: int = 0,
    refresh: int = 0,
) -> RoutingUpdate:
    return RoutingUpdate(
        node_id=node,
        update_id=f"{PATIENT if refresh else ''}{node}{epoch}.{sequence}",
        epoch=epoch,
        sequence=sequence,
        connections=connections,
        forwarding_node=node,
        suspected_duplicate=suspected_duplicate,
    )


@given(cost_tables)
def test_routes_are_those_of_least_cost_over_edges_that_both_ends_list(costs: dict[str, dict[str, float]]) -> None:
    costs = {"a": {}, **costs}
    topology = Topology("a")
    for neighbour, cost in costs["a"].items():
        topology.connect(neighbour, cost)
    for node, connections in costs.items():
        if node != "a":
            topology.apply(update_of(node, connections), now=0.0)
    topology.compute_routes(0.0)
    agreed = {
        node: {
            other: cost for other, cost in edges.items() if node == "a" or other not in costs or node in costs[other]
        }
        for node, edges in costs.items()
    }
    assert_shortest(agreed, "a", topology.routes)


def test_a_detour_over_cheap_links_wins() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.connect("c", 5.0)
    topology.apply(update_of("b", {"a": 1.0, "c": 1.0}), now=0.0)
    assert topology.compute_routes(0.0)
    assert topology.routes == {"b": "b", "c": "b"}
    assert not topology.compute_routes(0.0), "nothing changed"


def test_a_node_that_no_longer_lists_another_ends_the_edge_from_there_too() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {"a": 1.0, "c": 1.0}), now=0.0)
    topology.apply(update_of("c", {"b": 1.0}), now=0.0)
    assert topology.apply(update_of("c", {}, sequence=2), now=1.0)
    topology.compute_routes(0.0)
    assert topology.routes == {"b": "b"}


def test_an_edge_that_one_end_claims_leads_nowhere_in_whatever_order_they_speak() -> None:
    of_b, of_c, of_thief = (
        update_of("b", {"a": 1.0}),
        update_of("c", {"b": 1.0}),
        update_of("thief", {"a": 0.1, "c": 0.1}),
    )
    for updates in permutations((of_b, of_c, of_thief)):
        topology = Topology("a")
        topology.connect("b", 1.0)
        for update in updates:
            topology.apply(update, now=0.0)
        topology.compute_routes(0.0)
        assert topology.routes == {"b": "b"}


def test_the_edges_of_a_new_link_are_shown_in_both_directions() -> None:
    topology = Topology("a")
    assert topology.costs == {}
    topology.connect("b", 2.0)
    assert topology.costs == {"a": {"b": 2.0}, "b": {"a": 2.0}}
    topology.apply(update_of("b", {"a": 2.0, "c": 1.0, "d": 1.0}), now=0.0)
    topology.apply(update_of("c", {}), now=0.0)
    assert topology.costs == {"a": {"b": 2.0}, "b": {"a": 2.0, "d": 1.0}, "c": {}}


def test_what_others_say_does_not_end_a_link_of_ours() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {}), now=0.0)
    topology.compute_routes(0.0)
    assert topology.routes == {"b": "b"}
    topology.disconnect("b")
    topology.compute_routes(0.0)
    assert topology.routes == {}


def test_news_is_a_later_run_or_a_later_update_of_the_same_run() -> None:
    topology = Topology("a")
    topology.apply(update_of("b", {}, epoch=5, sequence=5), now=0.0)
    news = {(epoch, sequence) for epoch in (4, 5, 6) for sequence in (4, 5, 6)}
    assert {key for key in news if topology.is_news(update_of("b", {}, *key), now=RUN_SILENCE - 1)} == {
        (5, 6),
        (6, 4),
        (6, 5),
        (6, 6),
    }


def test_a_run_with_an_earlier_clock_is_news_when_the_later_one_has_been_silent() -> None:
    topology = Topology("a")
    topology.apply(update_of("b", {}, epoch=5, sequence=5), now=0.0)
    topology.apply(update_of("b", {}, epoch=5, sequence=6), now=10.0)
    assert not topology.is_news(update_of("b", {}, epoch=4), now=9.9 + RUN_SILENCE)
    assert topology.is_news(update_of("b", {}, epoch=4), now=10.0 + RUN_SILENCE)
    assert not topology.is_news(update_of("b", {}, epoch=5, sequence=4), now=10.0 + RUN_SILENCE)


def test_the_same_edges_again_change_nothing() -> None:
    topology = Topology("a")
    assert topology.apply(update_of("b", {"a": 1.0}), now=0.0)
    assert not topology.apply(update_of("b", {"a": 1.0}, sequence=2), now=10.0)


def test_the_run_of_a_suspected_duplicate_is_left_for_that_of_the_older_node() -> None:
    topology = Topology("a")
    topology.apply(update_of("b", {}, epoch=9, sequence=3), now=0.0)
    older = update_of("b", {}, epoch=2, sequence=70)
    assert not topology.is_news(older, now=1.0)
    topology.adopt_run(update_of("b", {}, epoch=2, sequence=69, suspected_duplicate=8))
    assert not topology.is_news(older, now=1.0), "another run was suspected than the one we know"
    topology.adopt_run(update_of("b", {}, epoch=2, sequence=69, suspected_duplicate=9))
    assert topology.is_news(older, now=1.0)


# Memory


def test_an_update_that_has_passed_is_remembered_for_an_hour() -> None:
    topology = Topology("a")
    assert not topology.has_passed("x")
    topology.passed("x", 0.0)
    topology.forget_stale(SEEN_UPDATE_MEMORY - 1.0)
    assert topology.has_passed("x")
    topology.forget_stale(SEEN_UPDATE_MEMORY)
    assert not topology.has_passed("x")


def test_the_memory_of_seen_updates_is_bounded_however_many_come() -> None:
    topology = Topology("a", MeshLimits(seen_updates=1000))
    for number in range(1010):
        topology.passed(str(number), 0.0)
    assert topology.has_passed("10"), "the newest are kept"
    assert not topology.has_passed("9"), "the oldest are forgotten"


def test_a_node_out_of_reach_is_forgotten_ten_minutes_after_its_last_update() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {"a": 1.0, "c": 1.0}), now=0.0)
    topology.apply(update_of("c", {"b": 1.0, "d": 1.0}), now=50.0)
    topology.apply(update_of("d", {"c": 1.0}), now=100.0)
    topology.compute_routes(0.0)
    assert topology.forget_stale(5000.0) == [], "all are in reach"
    topology.disconnect("b")
    topology.compute_routes(100.0)
    assert sorted(topology.forget_stale(50.0 + MEMORY)) == ["b", "c"]
    assert topology.costs == {"d": {"c": 1.0}}
    assert topology.forget_stale(100.0 + MEMORY) == ["d"]
    assert topology.nodes == {}


def full(size: int = 5) -> Topology:
    """A node with the neighbour b, behind which are others: n0, n1 and so on, as many as may be remembered."""
    topology = Topology("a", MeshLimits(nodes=size))
    topology.connect("b", 1.0)
    others = [f"n{number}" for number in range(size - 1)]
    topology.apply(update_of("b", {"a": 1.0, **dict.fromkeys(others, 1.0)}), now=0.0)
    for number, name in enumerate(others):
        topology.apply(update_of(name, {"b": 1.0}), now=float(number))
    topology.compute_routes(0.0)
    return topology


def test_who_is_known_stays_known_when_there_are_more_nodes_than_we_care_to_keep() -> None:
    topology = full()
    with pytest.raises(PeerError, match="more than 5 nodes"):
        topology.make_room(10.0)
    assert topology.nodes.keys() == {"b", "n0", "n1", "n2", "n3"}


def test_a_node_out_of_reach_makes_room_for_another() -> None:
    topology = full()
    topology.apply(update_of("b", {"a": 1.0, "n0": 1.0, "n3": 1.0}, sequence=2), now=10.0)
    topology.compute_routes(0.0)
    assert topology.make_room(10.0) == ["n1"], "heard of before n2"
    assert topology.nodes.keys() == {"b", "n0", "n2", "n3"}
    assert topology.make_room(10.0) == [], "there is room now"


def test_a_node_within_reach_that_has_fallen_silent_makes_room_but_no_neighbour_does() -> None:
    topology = full()
    assert topology.make_room(SILENCE) == ["n0"]
    topology.apply(update_of("x", {"a": 1.0}), now=SILENCE + 1.5)
    with pytest.raises(PeerError):
        topology.make_room(SILENCE + 0.5)
    assert topology.make_room(SILENCE + 2.0) == ["n1"]
    assert "b" in topology.nodes


def test_room_is_made_for_some_at_once_and_not_searched_for_each() -> None:
    topology = full(1000)
    topology.disconnect("b")
    topology.compute_routes(0.0)
    assert len(topology.make_room(2000.0)) == 63


def test_the_search_for_room_is_not_repeated_at_once() -> None:
    topology = full()
    with pytest.raises(PeerError):
        topology.make_room(SILENCE - 0.1)
    with pytest.raises(PeerError):
        topology.make_room(SILENCE)
    assert topology.make_room(SILENCE + 1.0) == ["n0"]


def test_there_are_no_more_edges_than_we_care_to_keep() -> None:
    topology = Topology("a", MeshLimits(edges=10))
    topology.apply(update_of("b", dict.fromkeys("123456", 1.0)), now=0.0)
    with pytest.raises(PeerError, match="name more than 10 neighbours together"):
        topology.apply(update_of("c", dict.fromkeys("12345", 1.0)), now=0.0)
    topology.apply(update_of("c", dict.fromkeys("1234", 1.0)), now=0.0)
    topology.apply(update_of("b", dict.fromkeys("654321", 2.0), sequence=2), now=1.0)
    topology.apply(update_of("b", {"1": 1.0}, sequence=3), now=2.0)
    topology.apply(update_of("d", dict.fromkeys("12345", 1.0)), now=3.0)
    assert topology.edges == 10


@given(st.lists(st.tuples(node_names, st.dictionaries(node_names, st.just(1.0), max_size=5) | st.none())))
def test_edges_are_counted_right_whatever_happens(events: list[tuple[str, dict[str, float] | None]]) -> None:
    topology = Topology("us")
    topology.connect("a", 1.0)
    for sequence, (node, connections) in enumerate(events):
        if connections is not None:
            topology.apply(update_of(node, connections, sequence=sequence), now=0.0)
        elif node in topology.nodes:
            topology.forget(node)
        assert topology.edges == sum(map(len, topology.claims.values())) - 1


# What nodes of ours tell of themselves


changes = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), node_names, st.dictionaries(node_names, st.just(1.0), max_size=4)),
        st.tuples(st.just("adopt"), node_names, st.just({})),
        st.tuples(st.just("forget"), node_names, st.just({})),
        st.tuples(st.just("connect"), node_names, st.just({})),
        st.tuples(st.just("disconnect"), node_names, st.just({})),
        st.tuples(st.just("compute"), node_names, st.just({})),
    ),
    max_size=40,
)


@given(changes)
def test_the_digest_that_is_kept_up_to_date_is_that_of_the_nodes_in_reach(
    steps: list[tuple[str, str, dict[str, float]]],
) -> None:
    topology = Topology("a")
    for number, (step, node, edges) in enumerate(steps, 1):
        if node == "a":
            continue
        match step:
            case "apply":
                topology.apply(update_of(node, edges, epoch=10, sequence=number, refresh=number % 2), float(number))
            case "adopt":
                topology.adopt_run(update_of(node, {}, epoch=number, suspected_duplicate=10))
            case "forget" if node in topology.nodes:
                topology.forget(node)
            case "connect":
                topology.connect(node, 1.0)
            case "disconnect":
                topology.disconnect(node)
            case _:
                topology.compute_routes(float(number))
        expected = digest_of("a", 5, topology.claims["a"])
        for other in topology.routes.keys() & topology.nodes.keys():
            expected ^= digest_of(other, topology.nodes[other].epoch, topology.claims[other])
        assert topology.digest(5) == expected
        promised = all(known.refresh for known in topology.nodes.values())
        assert topology.is_patient == (promised and topology.routes.keys() <= topology.nodes.keys())


def test_all_who_know_the_same_have_the_same_digest() -> None:
    edges = {"a": {"b": 1.0, "c": 2.0}, "b": {"a": 1.0}, "c": {"a": 2.0, "d": 1.0}, "d": {"c": 1.0}}
    digests = set()
    for name, own in edges.items():
        topology = Topology(name)
        for neighbour, cost in own.items():
            topology.connect(neighbour, cost)
        for sequence, other in enumerate(edges.keys() - {name}):
            topology.apply(update_of(other, edges[other], sequence=sequence), 0.0)
        topology.compute_routes(0.0)
        digests.add(topology.digest(1))
    assert len(digests) == 1


def test_a_run_that_may_be_silent_for_long_is_over_only_after_that_or_when_it_was_out_of_reach() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {"a": 1.0}, epoch=9, refresh=600), 0.0)
    topology.compute_routes(0.0)
    earlier = update_of("b", {"a": 1.0}, epoch=5, refresh=600)
    assert not topology.is_news(earlier, 600.0 + RUN_SILENCE - 1.0)
    assert topology.is_news(earlier, 600.0 + RUN_SILENCE)
    topology.disconnect("b")
    topology.compute_routes(100.0)
    topology.connect("b", 1.0)
    topology.compute_routes(101.0)
    assert not topology.is_news(earlier, 100.0 + RUN_SILENCE - 1.0)
    assert topology.is_news(earlier, 100.0 + RUN_SILENCE)


def test_a_node_that_may_be_silent_for_long_does_not_make_room_because_of_it() -> None:
    topology = Topology("a", MeshLimits(nodes=3))
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {"a": 1.0, "old": 1.0, "ours": 1.0}), 0.0)
    topology.apply(update_of("ours", {"b": 1.0}, refresh=600), 0.0)
    topology.apply(update_of("old", {"b": 1.0}), 0.0)
    topology.compute_routes(0.0)
    assert topology.make_room(590.0) == ["old"]


def test_who_is_out_of_reach_is_remembered_for_ten_minutes_however_long_it_had_been_silent() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {"a": 1.0}, refresh=600), 0.0)
    topology.compute_routes(0.0)
    topology.disconnect("b")
    topology.compute_routes(590.0)
    assert topology.forget_stale(590.0 + MEMORY - 1.0) == []
    assert topology.forget_stale(590.0 + MEMORY) == ["b"]


def test_told_is_what_is_in_reach_or_so_new_that_it_may_be_before_long() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.apply(update_of("b", {"a": 1.0}), 0.0, b"b")
    topology.compute_routes(0.0)
    topology.apply(update_of("c", {"b": 1.0}), 0.0, b"c")
    assert topology.packets(1.0) == {"b": (b"b",), "c": (b"c",)}
    assert topology.packets(RUN_SILENCE) == {"b": (b"b",)}
    topology.disconnect("b")
    topology.compute_routes(1.0)
    assert topology.packets(1.0) == {"c": (b"c",)}, "who may have died is told by those who reach it"


def test_a_notice_of_a_duplicate_is_told_until_a_later_run_is_followed() -> None:
    topology = Topology("a")
    topology.connect("b", 1.0)
    topology.compute_routes(0.0)
    topology.apply(update_of("b", {"a": 1.0}, epoch=9), 0.0, b"namesake")
    topology.adopt_run(update_of("b", {"a": 1.0}, epoch=5, suspected_duplicate=9), b"notice")
    assert topology.packets(1.0) == {"b": (b"notice",)}
    topology.apply(update_of("b", {"a": 1.0}, epoch=5, sequence=2), 1.0, b"b")
    assert topology.packets(1.0) == {"b": (b"b", b"notice", b"b")}
    topology.apply(update_of("b", {"a": 1.0}, epoch=8), 2.0, b"another run")
    assert topology.packets(2.0) == {"b": (b"another run", b"notice", b"another run")}
    topology.apply(update_of("b", {"a": 1.0}, epoch=10), 3.0, b"next run")
    assert topology.packets(3.0) == {"b": (b"next run",)}
