from __future__ import annotations

import re

import pytest
from mesh_bench import OUR_EPOCH, Bench, Neighbour, join
from recordings import recorded_packets

from receptor.netceptor.announcer import CORRECTION_DELAY
from receptor.netceptor.effects import LinkDown, ServiceChanged
from receptor.netceptor.limits import MeshLimits
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.messages import WorkCommand, decode_advertisement, decode_routing_update
from receptor.netceptor.packets import ADVERTISEMENT, ROUTING_UPDATE
from receptor.netceptor.topology import MEMORY

OWN_UPDATE = "update of us (near at 1, other at 1)"


@pytest.fixture
def bench() -> Bench:
    """A node with two neighbours that list it: near on session 1, other on session 2."""
    return Bench()


@pytest.fixture
def near(bench: Bench) -> Neighbour:
    return join(bench, 1, "near")


@pytest.fixture
def other(bench: Bench, near: Neighbour) -> Neighbour:
    neighbour = join(bench, 2, "other")
    near.update({"us": 1.0})
    bench.did()
    return neighbour


# Flooding


def test_an_update_of_a_far_node_is_passed_on_in_our_name_but_not_back(
    bench: Bench, near: Neighbour, other: Neighbour
) -> None:
    near.update({"near": 1.0}, of="far", epoch=3)
    assert "2: update of far via us (near at 1)" in bench.did()


def test_an_update_is_passed_on_once(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    near.update({"near": 1.0}, of="far", sequence=5, update_id="x")
    assert "2: update of far via us (near at 1)" in bench.did()
    other.update({"near": 1.0}, of="far", sequence=5, update_id="x")
    other.update({"near": 1.0}, of="far", sequence=6, update_id="x")
    assert bench.did() == [], "the id alone tells that it was here before"


@pytest.mark.parametrize(("epoch", "sequence"), [(5, 5), (5, 4), (4, 9)], ids=["same", "older", "older run"])
def test_an_update_that_is_not_newer_is_dropped(
    bench: Bench, near: Neighbour, other: Neighbour, epoch: int, sequence: int
) -> None:
    near.update({"near": 1.0}, of="far", epoch=5, sequence=5)
    bench.wait(0.2)
    bench.did()
    near.update({}, of="far", epoch=epoch, sequence=sequence)
    bench.wait(0.2)
    assert bench.did() == []


@pytest.mark.parametrize(("epoch", "sequence"), [(5, 6), (6, 1)], ids=["newer", "newer run"])
def test_a_newer_update_replaces_the_older(
    bench: Bench, near: Neighbour, other: Neighbour, epoch: int, sequence: int
) -> None:
    near.update({"us": 1.0, "far": 1.0})
    near.update({"near": 1.0}, of="far", epoch=5, sequence=5)
    bench.wait(0.2)
    assert "routes far=near near=near other=other" in bench.did()
    near.update({}, of="far", epoch=epoch, sequence=sequence)
    bench.wait(0.2)
    told = [line for line in bench.did() if "of us" not in line]
    assert told == ["2: update of far via us (no neighbours)", "routes near=near other=other"]


def test_nodes_that_we_hear_of_for_the_first_time_soon_hear_of_us(
    bench: Bench, near: Neighbour, other: Neighbour
) -> None:
    near.update({"near": 1.0}, of="far")
    near.update({"near": 1.0}, of="x")
    bench.wait(0.2)
    assert [line for line in bench.did() if "of us" in line] == [f"1: {OWN_UPDATE}", f"2: {OWN_UPDATE}"]
    near.update({"near": 1.0, "x": 1.0}, of="far")
    bench.wait(0.2)
    assert [line for line in bench.did() if "of us" in line] == []
    near.update({"near": 1.0, "x": 1.0}, of="far", epoch=99)
    bench.wait(0.2)
    assert [line for line in bench.did() if "of us" in line] == [f"1: {OWN_UPDATE}", f"2: {OWN_UPDATE}"], "its next run"


def test_an_update_without_a_node_is_ignored(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    near.update({"x": 1.0}, of="")
    bench.wait(0.2)
    assert bench.did() == []


def test_our_own_update_is_flooded_every_ten_seconds(bench: Bench, near: Neighbour) -> None:
    for _ in range(3):
        bench.wait(10.0)
        near.update({"us": 1.0})
    times = [when for when, line in bench.timeline() if line == "1: update of us (near at 1)"]
    assert times == [10.1, 20.1, 30.1], "the first was at 0.1 s, when near was new"


def test_our_updates_are_numbered_and_have_ids_of_their_own(bench: Bench) -> None:
    for session in (1, 2, 3):
        bench.node.session_opened(session, LinkTerms(), bench.now)
    sends = bench.sends()
    assert not any(send.may_drop for send in sends)
    updates = [decode_routing_update(send.packet) for send in sends]
    assert [(update.epoch, update.sequence) for update in updates] == [(OUR_EPOCH, number) for number in (1, 2, 3)]
    ids = {update.update_id for update in updates}
    assert len(ids) == 3
    assert all(re.fullmatch("~[A-Za-z0-9]{7}", update_id) for update_id in ids)


# Routes


def test_routes_are_computed_once_for_all_changes_of_100_ms(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    bench.wait(1.0)
    start = bench.now
    near.update({"us": 1.0, "far": 1.0})
    bench.wait(0.05)
    near.update({"us": 1.0, "far": 1.0, "x": 1.0})
    bench.wait(0.2)
    routes = [(when, line) for when, line in bench.timeline() if line.startswith("routes")]
    assert routes == [(round(start + 0.1, 6), "routes far=near near=near other=other x=near")]


def test_the_edge_of_a_link_that_ends_is_dropped_at_once(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    near.update({"us": 1.0, "far": 1.0})
    bench.wait(0.2)
    bench.did()
    bench.close(1)
    assert bench.did() == ["2: update of us (other at 1)", "routes other=other"]


def test_an_edge_is_dropped_when_one_end_no_longer_lists_it(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    near.update({"us": 1.0, "far": 1.0})
    near.update({"near": 1.0}, of="far", epoch=1)
    bench.wait(0.2)
    bench.did()
    near.update({}, of="far", epoch=1)
    bench.wait(0.2)
    assert bench.did()[-1] == "routes near=near other=other"


def test_the_cheaper_way_is_taken(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    near.update({"us": 1.0, "far": 5.0})
    other.update({"us": 1.0, "far": 2.0})
    near.update({"near": 5.0, "other": 2.0}, of="far", epoch=1)
    bench.wait(0.2)
    assert "routes far=other near=near other=other" in bench.did()


# Two nodes with one id


def test_a_node_started_later_with_our_id_is_told_to_end(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    near.update({"far": 1.0}, of="us", epoch=OUR_EPOCH + 5)
    assert bench.did() == [f"{session}: {OWN_UPDATE} suspects {OUR_EPOCH + 5}" for session in (1, 2)]
    assert "a node started later uses our id us" in bench.notices[-1]
    assert "telling it to end" in bench.notices[-1]


@pytest.mark.parametrize("epoch", [OUR_EPOCH, OUR_EPOCH - 1], ids=["our own, come back", "an earlier run"])
def test_other_updates_in_our_name_are_ignored(bench: Bench, near: Neighbour, epoch: int) -> None:
    near.update({"far": 1.0}, of="us", epoch=epoch)
    assert bench.did() == []


def test_the_newcomer_ends_when_an_older_node_has_its_id(bench: Bench, near: Neighbour) -> None:
    near.update({"far": 1.0}, of="us", epoch=OUR_EPOCH - 5, suspects=OUR_EPOCH)
    assert bench.did() == ["duplicate"]


def test_a_node_that_has_run_for_a_while_is_not_ended_by_a_forged_notice(bench: Bench, near: Neighbour) -> None:
    for _ in range(7):
        bench.wait(10.0)
        near.update({"us": 1.0})
    bench.did()
    near.update({"far": 1.0}, of="us", epoch=OUR_EPOCH - 5, suspects=OUR_EPOCH)
    assert bench.did() == []
    assert "this node has run too long to be the newcomer and stays" in bench.notices[-1]


def test_a_forged_notice_of_a_later_run_does_not_end_a_node_even_at_its_start(bench: Bench, near: Neighbour) -> None:
    """A true one is always of an earlier run, since only that finds the other too late."""
    near.update({"far": 1.0}, of="us", epoch=OUR_EPOCH + 5, suspects=OUR_EPOCH)
    assert bench.did() == [f"1: update of us (near at 1) suspects {OUR_EPOCH + 5}"]


def test_a_forged_update_of_our_own_run_makes_us_begin_another(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    near.update({"far": 1.0}, of="us", epoch=OUR_EPOCH, sequence=2**64 - 1)
    bench.wait(0.2)
    assert bench.notices[-1] == "somebody forges routing updates in our name"
    updates = [decode_routing_update(send.packet) for send in bench.sends_of(ROUTING_UPDATE)]
    assert {(one.epoch, one.sequence) for one in updates} == {(OUR_EPOCH + 1, 1)}


def test_third_nodes_pass_the_notice_on_and_follow_the_older(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    other.update({"us": 1.0, "far": 1.0})
    near.update({"near": 1.0}, of="far", epoch=9)
    bench.wait(0.2)
    bench.did()
    other.update({"other": 1.0}, of="far", epoch=5, sequence=70, suspects=9)
    assert bench.did() == ["1: update of far via us (other at 1) suspects 9"]
    other.update({"other": 1.0}, of="far", epoch=5, sequence=71)
    bench.wait(0.2)
    assert bench.did() == ["1: update of far via us (other at 1)", "routes far=other near=near other=other"]


def test_a_neighbour_whose_clock_was_set_back_is_told_of_its_run_before(bench: Bench, near: Neighbour) -> None:
    bench.close(1)
    bench.open(3)
    bench.did()
    restarted = Neighbour(bench, 3, "near", epoch=2)
    restarted.update({})
    assert bench.did() == [
        "3: up near",
        "3: update of us (near at 1)",
        "routes near=near",
        "3: update of near via us (no neighbours)",
    ]


def test_a_neighbour_whose_clock_was_set_back_is_shown_what_it_has_to_surpass(bench: Bench, near: Neighbour) -> None:
    near.advertise("svc", of="near", made_at=5.0, cancel=True)
    bench.close(1)
    bench.open(3)
    bench.did()
    Neighbour(bench, 3, "near", epoch=2).update({})
    assert "3: end of service svc of near" in bench.did()


def test_services_begin_anew_when_an_older_run_of_their_node_is_followed(
    bench: Bench, near: Neighbour, other: Neighbour
) -> None:
    other.update({"other": 1.0}, of="far", epoch=9)
    other.advertise("svc", of="far", made_at=5.0, cancel=True)
    bench.did()
    other.advertise("svc", of="far", made_at=2.0)
    assert bench.did() == []
    other.update({"other": 1.0}, of="far", epoch=5, suspects=9)
    bench.did()
    other.advertise("svc", of="far", made_at=2.0)
    assert bench.did() == ["1: service svc of far"]


def test_after_a_dispute_over_our_id_our_services_are_told_again(bench: Bench, near: Neighbour) -> None:
    bench.node.mesh.advertise("svc", 1, {}, None, bench.now)
    bench.poll()
    bench.did()
    near.update({"far": 1.0}, of="us", epoch=OUR_EPOCH + 5)
    bench.wait(CORRECTION_DELAY)
    assert "1: service svc of us" in bench.did()


@pytest.mark.parametrize("cancel", [False, True])
def test_what_others_tell_of_a_service_of_ours_is_soon_surpassed_and_once_for_all(
    bench: Bench, near: Neighbour, other: Neighbour, cancel: bool
) -> None:
    bench.node.mesh.advertise("svc", 1, {}, None, bench.now)
    bench.poll()
    bench.did()
    for _ in range(100):
        near.advertise("svc", of="us", made_at=4e9, cancel=cancel)
    assert bench.did() == []
    bench.wait(CORRECTION_DELAY)
    one, another = bench.sends_of(ADVERTISEMENT)
    assert one.packet == another.packet
    ours = decode_advertisement(one.packet)
    assert ours.nanoseconds == 4 * 10**18 + 1
    assert not ours.cancel
    near.say(one.packet)
    bench.wait(5.0)
    assert bench.sends_of(ADVERTISEMENT) == [], "an echo is no news"


def test_a_service_that_others_say_we_have_is_soon_denied(bench: Bench, near: Neighbour) -> None:
    near.advertise("svc", of="us", made_at=5.0)
    bench.wait(CORRECTION_DELAY)
    assert bench.did() == ["1: end of service svc of us"]
    near.advertise("svc", of="us", made_at=5.0, cancel=True)
    bench.wait(60.0)
    assert not [line for line in bench.did() if "service" in line]


def test_a_time_at_the_end_of_all_years_is_not_followed(bench: Bench, near: Neighbour) -> None:
    near.advertise("svc", of="us", made_at=253_402_300_799.0)
    bench.wait(5.0)
    bench.node.mesh.advertise("svc", 1, {}, None, bench.now)
    bench.poll()
    assert bench.did() == ["1: service svc of us"]


# Services


def test_a_service_is_told_to_all_neighbours_and_again_every_minute(
    bench: Bench, near: Neighbour, other: Neighbour
) -> None:
    start = bench.now
    bench.node.mesh.advertise("svc", 1, {"type": "x"}, [WorkCommand("echo", secure=True)], bench.now)
    bench.poll()
    for _ in range(13):
        bench.wait(10.0)
        near.update({"us": 1.0})
        other.update({"us": 1.0})
    told = [(round(when - start, 3), line) for when, line in bench.timeline() if "service" in line]
    assert told == [(after, f"{session}: service svc of us") for after in (0.0, 60.0, 120.0) for session in (1, 2)]


def test_a_service_that_ends_is_cancelled(bench: Bench, near: Neighbour) -> None:
    bench.node.mesh.advertise("svc", 1, {}, None, bench.now)
    bench.node.mesh.withdraw("svc", bench.now)
    bench.node.mesh.withdraw("never there", bench.now)
    bench.poll()
    assert bench.did() == ["1: service svc of us", "1: end of service svc of us"]
    bench.wait(120.0)
    assert not [line for line in bench.did() if "service" in line]


def test_the_service_of_another_node_is_kept_and_passed_on_if_it_is_news(
    bench: Bench, near: Neighbour, other: Neighbour
) -> None:
    near.advertise("svc", made_at=5.0)
    assert bench.did() == ["2: service svc of far"]
    near.advertise("svc", made_at=5.0)
    other.advertise("svc", made_at=4.0)
    assert bench.did() == []
    near.advertise("svc", made_at=6.0, cancel=True)
    assert bench.did() == ["2: end of service svc of far"]
    other.advertise("svc", made_at=6.0, cancel=True)
    assert bench.did() == []
    assert bench.node.mesh.advertisements.everything() == ()


def test_an_advertisement_is_passed_on_byte_for_byte(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    """It may hold keys that we don't know."""
    recorded = recorded_packets(ADVERTISEMENT)[0].raw
    extended = recorded[:-1] + b',"Capabilities":{"x":1}}'
    bench.node.packets_received(near.session, [extended], bench.now)
    assert [effect.packet for effect in bench.sends()] == [extended]


def test_a_new_neighbour_is_told_of_all_services(bench: Bench, near: Neighbour) -> None:
    bench.node.mesh.advertise("ours", 1, {}, None, bench.now)
    near.advertise("theirs")
    near.advertise("ended", cancel=True)
    bench.open(2)
    bench.did()
    Neighbour(bench, 2, "other").update({})
    assert [line for line in bench.did() if "service" in line] == [
        "2: service ours of us",
        "2: service theirs of far",
    ]


def test_nobody_else_speaks_for_our_services(bench: Bench, near: Neighbour, other: Neighbour) -> None:
    bench.node.mesh.advertise("svc", 1, {}, None, bench.now)
    bench.poll()
    bench.did()
    near.advertise("svc", of="us", made_at=4e9, cancel=True)
    assert bench.did() == []
    bench.wait(CORRECTION_DELAY)
    assert bench.did() == ["1: service svc of us", "2: service svc of us"]
    assert [str(one) for one in bench.node.mesh.advertisements.everything()] == ["service svc of us"]


# Memory


def test_what_has_gone_is_forgotten(bench: Bench, near: Neighbour) -> None:
    near.update({"us": 1.0, "far": 1.0})
    near.update({"near": 1.0}, of="far")
    near.advertise("svc")
    mesh = bench.node.mesh
    bench.close(1)
    bench.wait(MEMORY - 10.0)
    assert {"near", "far"} <= mesh.topology.nodes.keys()
    bench.wait(70.0)
    assert mesh.topology.nodes.keys() == set()
    assert mesh.topology.costs == {}
    assert mesh.topology.edges == 0
    assert list(mesh.names.values()) == ["us"]
    assert mesh.advertisements.everything() == ()


def test_nodes_that_a_neighbour_invents_are_forgotten_as_well(bench: Bench, near: Neighbour) -> None:
    mesh = bench.node.mesh
    near.update({"us": 1.0, **{f"listed{number}": 1.0 for number in range(100)}})
    for number in range(100):
        near.update({"us": 1.0, "near": 1.0}, of=f"ghost{number}")
        near.advertise("svc", of=f"other{number}")
    bench.wait(0.2)
    assert len(mesh.names) == 102
    bench.close(1)
    bench.wait(MEMORY + 70.0)
    assert mesh.topology.nodes.keys() == mesh.topology.routes.keys() == set()
    assert list(mesh.names.values()) == ["us"]
    assert mesh.advertisements.everything() == ()


def test_ten_thousand_invented_nodes_take_bounded_memory_and_shut_out_nobody_who_is_known() -> None:
    bench = Bench(limits=MeshLimits(nodes=300, edges=2000, advertised_bytes=200_000))
    hostile, honest = join(bench, 1, "hostile"), join(bench, 2, "honest")
    mesh = bench.node.mesh
    honest.update({"us": 1.0, "far": 1.0})
    honest.update({"honest": 1.0}, of="far", epoch=3)
    honest.advertise("svc", of="far")
    bench.notices.clear()
    for number in range(10_000):
        if number % 100 == 0:
            bench.wait(2.0)
            hostile.update({"us": 1.0, **{f"ghost{other}": 1.0 for other in range(number, number + 100)}})
            honest.update({"us": 1.0, "far": 1.0})
            honest.update({"honest": 1.0}, of="far", epoch=3)
            honest.advertise("svc", of="far", made_at=2.0 + number)
        hostile.update({"hostile": 1.0}, of=f"ghost{number}")
        hostile.advertise("svc", of=f"ghost{number}")
        assert len(mesh.topology.nodes) <= 300
    assert mesh.topology.edges <= 2000
    assert len(mesh.names) <= 301
    assert mesh.advertisements.bytes <= 200_000
    assert bench.node.mesh.topology.routes["far"] == "honest"
    assert "service svc of far" in [str(one) for one in mesh.advertisements.everything()]
    assert 0 < len(bench.notices) < 20, "a line or two a minute"


def test_strangers_who_set_up_no_link_are_limited_and_peers_that_we_dial_are_not() -> None:
    bench = Bench(limits=MeshLimits(unlinked_sessions=3, sessions=5))
    for session in range(1, 6):
        bench.open(session)
    assert [line for line in bench.did() if "disconnect" in line] == ["4: disconnect", "5: disconnect"]
    assert bench.reasons[0] == "3 sessions that others have opened wait for their link to be set up"
    bench.node.session_opened(6, LinkTerms(), bench.now, dialled=True)
    for session, name in ((1, "one"), (2, "two"), (6, "dialled")):
        Neighbour(bench, session, name).update({})
    bench.open(7)
    bench.did()
    bench.open(8)
    bench.node.session_opened(9, LinkTerms(), bench.now, dialled=True)
    bench.poll()
    assert bench.did() == ["8: disconnect", "9: update of us (dialled at 1, one at 1, two at 1)"]
    assert bench.reasons[-1] == "5 sessions are open"
    bench.wait(10.0)
    bench.open(10)
    assert bench.did()[-1] == "10: update of us (dialled at 1, one at 1, two at 1)", "who was given up makes room"


def test_neighbours_that_come_and_go_under_ever_new_names_leave_nothing_behind() -> None:
    bench = Bench()
    for number in range(3_000):
        bench.open(number)
        Neighbour(bench, number, f"passer-by {number}").update({}, of="" if number % 2 else None)
        bench.close(number)
    mesh = bench.node.mesh
    assert list(mesh.names.values()) == ["us"]
    assert len(mesh.topology.nodes) == 0
    assert mesh.topology.costs == {}
    assert len(bench.notices) <= 201


def test_an_idle_node_without_neighbours_wakes_once_a_minute(bench: Bench) -> None:
    wakes = 0
    while bench.node.deadline() is not None and (bench.now < 600.0):
        bench.now = bench.node.deadline() or 0.0
        bench.poll()
        wakes += 1
    assert wakes == 10


def test_what_people_may_want_to_know_is_told_when_it_changes(bench: Bench, near: Neighbour) -> None:
    near.advertise("svc", made_at=5.0)
    near.advertise("svc", made_at=6.0)
    bench.node.mesh.advertise("ours", 1, {}, None, bench.now)
    bench.close(1)
    assert bench.changes == [
        ServiceChanged("far", "svc", is_there=True),
        ServiceChanged("us", "ours", is_there=True),
        LinkDown("near", 1.0),
    ]
