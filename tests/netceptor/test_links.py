from __future__ import annotations

import random

import pytest
from mesh_bench import Bench, Neighbour, join

from receptor.netceptor.links import LinkTerms
from receptor.netceptor.packets import Address

REFUSED = ["1: reject", "1: disconnect"]


# Set-up


def test_the_set_up_is_repeated_each_second_and_given_up_after_ten() -> None:
    bench = Bench()
    bench.open(1)
    bench.wait(30.0)
    assert bench.timeline() == [
        *[(second, "1: update of us (no neighbours)") for second in range(10)],
        (10.0, "1: disconnect"),
    ]
    assert bench.reasons == ["link given up: no routing update in 10 s"]


def test_the_first_update_sets_the_link_up() -> None:
    bench = Bench()
    bench.open(1)
    bench.wait(0.5)
    bench.did()
    Neighbour(bench, 1).update({})
    assert bench.did() == ["1: up near", "1: update of us (near at 1)", "routes near=near"]
    assert bench.notices == ["link with near established at cost 1"]
    bench.wait(5.0)
    assert bench.did() == [], "the set-up is over"


def test_the_first_update_names_the_neighbour_by_who_forwards_it() -> None:
    bench = Bench()
    bench.open(1)
    Neighbour(bench, 1, "near").update({"other": 1.0}, of="far")
    assert "1: up near" in bench.did()


def test_the_cost_of_a_link_may_depend_on_the_neighbour() -> None:
    terms = LinkTerms(cost=2.0, node_cost={"near": 1.5})
    assert (terms.cost_of("near"), terms.cost_of("other")) == (1.5, 2.0)
    bench = Bench()
    bench.open(1, terms)
    Neighbour(bench, 1).update({})
    assert "1: update of us (near at 1.5)" in bench.did()


def test_nothing_but_the_set_up_counts_before_it_is_done() -> None:
    bench = Bench()
    bench.open(1)
    bench.did()
    stranger = Neighbour(bench, 1)
    stranger.advertise("control")
    bench.node.open_datagrams("svc")
    stranger.data(Address("us", "x"), Address("us", "svc"))
    assert bench.did() == []
    assert bench.node.mesh.advertisements.everything() == ()


# Refusals


def test_our_own_id_is_refused() -> None:
    bench = Bench()
    bench.open(1)
    bench.did()
    Neighbour(bench, 1, "us").update({})
    assert bench.did() == REFUSED
    assert "it uses our own node id us" in bench.reasons[0]


def test_a_neighbour_without_a_name_is_refused() -> None:
    bench = Bench()
    bench.open(1)
    bench.did()
    Neighbour(bench, 1, "").update({})
    assert bench.did() == REFUSED


def test_who_is_not_among_the_allowed_peers_is_refused() -> None:
    bench = Bench()
    terms = LinkTerms(allowed_peers=frozenset({"near"}))
    bench.open(1, terms)
    bench.open(2, terms)
    bench.did()
    Neighbour(bench, 1, "other").update({})
    assert bench.did() == REFUSED
    assert bench.reasons == ["link refused: other is not in the allowedpeers of this backend"]
    Neighbour(bench, 2, "near").update({})
    assert "2: up near" in bench.did()


def test_a_second_link_with_a_neighbour_is_refused_and_the_first_stays() -> None:
    bench = Bench()
    near = join(bench, 2)
    bench.open(1)
    bench.did()
    Neighbour(bench, 1).update({})
    assert bench.did() == REFUSED
    near.update({"us": 1.0, "far": 1.0})
    bench.wait(0.1)
    assert bench.did() == ["routes far=near near=near"]


def test_a_neighbour_may_come_back_when_its_link_has_ended() -> None:
    bench = Bench()
    join(bench, 1)
    bench.close(1)
    assert bench.did() == ["routes none"]
    bench.open(2)
    Neighbour(bench, 2).update({}, sequence=10)
    assert "2: up near" in bench.did()


def test_a_neighbour_must_not_change_its_id() -> None:
    bench = Bench()
    near = join(bench, 1)
    near.update({"us": 1.0}, forwarder="other")
    assert bench.did() == [*REFUSED, "routes none"]
    assert bench.reasons == ["link refused: its node id changed from near to other"]


def test_both_ends_must_give_the_link_the_same_cost() -> None:
    bench = Bench()
    bench.open(1)
    near = Neighbour(bench, 1)
    near.update({})
    bench.did()
    near.update({"us": 2.0})
    assert bench.did()[:2] == REFUSED
    assert bench.reasons == ["link refused: near gives this link the cost 2, we 1; both ends must be configured alike"]


def test_a_neighbour_must_list_us_once_it_has() -> None:
    bench = Bench()
    near = join(bench, 1)
    near.update({"other": 1.0})
    assert bench.did()[:2] == REFUSED
    assert bench.reasons == ["link refused: near no longer lists us as a neighbour"]


def test_until_a_neighbour_lists_us_its_updates_are_late_set_up_messages() -> None:
    bench = Bench()
    join(bench, 2, "other")
    bench.open(1)
    near = Neighbour(bench, 1)
    near.update({})
    bench.did()
    near.update({"far": 1.0})
    bench.wait(1.0)
    assert bench.did() == [], "neither refused nor passed on nor followed"
    near.update({"us": 1.0, "far": 1.0})
    assert "2: update of near via us (far at 1, us at 1)" in bench.did()


def test_a_refusal_ends_the_session_for_good() -> None:
    bench = Bench()
    near = join(bench, 1)
    near.update({"us": 1.0}, forwarder="other")
    bench.did()
    near.update({"us": 1.0})
    bench.close(1)
    bench.wait(0.5)
    assert bench.did() == []


def test_the_link_ends_when_the_other_side_refuses_it() -> None:
    bench = Bench()
    near = join(bench, 1)
    near.say(b"\x03[]")
    assert bench.did() == ["1: disconnect", "routes none"]
    assert bench.reasons == ["link closed: the other end refused it; its log says why"]


# Garbage

UPDATE_OF_FAR = (
    b'\x01{"NodeID":"far","UpdateID":"a","UpdateEpoch":%b,"UpdateSequence":1,"Connections":{"near":%b},'
    b'"ForwardingNode":"near","SuspectedDuplicate":0}'
)
OWN_GARBAGE = {
    "an empty packet": b"",
    "a short data packet": b"\0" * 35,
    "an unknown type": b"\x09hello",
    "noise of an unknown type": b"\xff" + random.Random(1).randbytes(65_534),
}
FLOODED_GARBAGE = {
    "an update without a body": b"\x01",
    "an update that is null": b"\x01null",
    "an update that is a list": b"\x01[]",
    "an empty update": b"\x01{}",
    "an update of wrong types": b'\x01{"NodeID":7,"Connections":"x"}',
    "an update that is not UTF-8": b"\x01\xff\xfe",
    "an update with a cost of nothing": UPDATE_OF_FAR % (b"1", b"0"),
    "an update with a cost beyond all numbers": UPDATE_OF_FAR % (b"1", b"1e999"),
    "an update with an epoch beyond 64 bits": UPDATE_OF_FAR % (b"99999999999999999999", b"1"),
    "an update with a digest beyond 64 bits": (UPDATE_OF_FAR % (b"1", b"1"))[:-1] + b',"Digest":18446744073709551616}',
    "an update with a digest that is true": (UPDATE_OF_FAR % (b"1", b"1"))[:-1] + b',"Digest":true}',
    "an update with a digest below nothing": (UPDATE_OF_FAR % (b"1", b"1"))[:-1] + b',"Digest":-1}',
    "an update nested without end": b"\x01" + b"[" * 30_000,
    "an update of noise": b"\x01" + random.Random(1).randbytes(65_534),
    "an update of spaces": b"\x01" + b" " * 65_534,
    "an empty advertisement": b"\x02{}",
    "an advertisement that is null": b"\x02null",
    "an advertisement of wrong types": b'\x02{"NodeID":{},"Time":1}',
    "an advertisement of no time": b'\x02{"NodeID":"far","Service":"svc","Time":"yesterday","ConnType":0}',
    "an advertisement of noise": b"\x02" + random.Random(1).randbytes(65_534),
}


@pytest.mark.parametrize("garbage", OWN_GARBAGE.values(), ids=OWN_GARBAGE.keys())
def test_what_only_a_neighbour_itself_can_have_made_up_ends_its_link_and_nothing_else(garbage: bytes) -> None:
    bench = Bench()
    near, other = join(bench, 1), join(bench, 2, "other")
    near.say(garbage, garbage)
    assert bench.did() == ["1: disconnect", "2: update of us (other at 1)", "routes other=other"]
    assert bench.reasons[0].startswith("link closed: ")
    other.update({"us": 1.0})
    assert bench.did() == []


@pytest.mark.parametrize("garbage", FLOODED_GARBAGE.values(), ids=FLOODED_GARBAGE.keys())
def test_what_a_neighbour_may_have_passed_on_in_good_faith_is_dropped_and_ends_no_link(garbage: bytes) -> None:
    bench = Bench()
    near = join(bench, 1)
    join(bench, 2, "other")
    bench.notices.clear()
    near.say(garbage)
    near.update({"near": 1.0}, of="far")
    assert bench.did() == ["2: update of far via us (near at 1)"]
    (notice,) = bench.notices
    assert notice.startswith("a message that near passed on was dropped: ")


def test_a_flood_of_garbage_is_told_once_a_minute_and_link() -> None:
    bench = Bench()
    neighbours = (join(bench, 1), join(bench, 2, "other"))
    bench.notices.clear()
    for _ in range(100):
        for neighbour in neighbours:
            neighbour.say(*[b"\x01null", b"\x02{}"] * 10)
    assert [notice[:30] for notice in bench.notices] == [
        "a message that near passed on ",
        "a message that other passed on",
    ]
    bench.notices.clear()
    for _ in range(12):
        bench.wait(10.0)
        for neighbour in neighbours:
            neighbour.update({"us": 1.0})
    assert [notice.split(":")[0] for notice in bench.notices] == ["1999 more notices like this"] * 2


@pytest.mark.parametrize("garbage", [b"", b"\x01null", b"\x09"])
def test_garbage_before_the_set_up_ends_the_session(garbage: bytes) -> None:
    bench = Bench()
    bench.open(1)
    bench.did()
    bench.receive(1, garbage)
    assert bench.did() == ["1: disconnect"]


# Silence


def test_a_link_of_which_nothing_is_heard_is_closed_after_21_seconds() -> None:
    bench = Bench()
    near = join(bench, 1)
    bench.wait(15.0)
    near.data(Address("near", "x"), Address("us", "unknown"))
    bench.wait(20.9)
    assert "1: disconnect" not in bench.did(), "a data packet is a sign of life as well"
    bench.wait(0.2)
    assert bench.did() == ["1: disconnect", "routes none"]
    assert bench.reasons == ["link closed: nothing received for 21 s"]


def test_a_longer_idle_timeout_is_waited_for() -> None:
    bench = Bench(idle_timeout=40.0)
    join(bench, 1)
    bench.wait(39.7)
    assert "1: disconnect" not in bench.did()
    bench.wait(0.3)
    assert "1: disconnect" in bench.did()
