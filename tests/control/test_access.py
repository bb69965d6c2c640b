from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

import pytest

from receptor.config.kinds import Right
from receptor.config.protection import AccessRule
from receptor.control.access import AccessPolicy
from receptor.control.commands import (
    Command,
    Connect,
    FollowEvents,
    Ping,
    Reload,
    ShowStatus,
    Traceroute,
    WorkCancel,
    WorkList,
    WorkRelease,
    WorkResults,
    WorkStatus,
    WorkSubmit,
)
from receptor.errors import NotAllowed, UnknownUnit
from receptor.events import Event, LinkEvent, UnitEvent
from receptor.node.byte_stream import LOCAL_CLIENT, Carrier, Origin

BAR = Origin(Carrier.MESH, "bar", "bar:abcdefgh")
BAZ = Origin(Carrier.MESH, "baz", "baz:abcdefgh")
CLIENT = Origin(Carrier.TCP, "192.0.2.7", "192.0.2.7:4711")
GONE = Origin(Carrier.TCP, "", "a client that is gone")
FAR = [BAR, CLIENT, GONE]


@dataclass(frozen=True)
class Unit:
    submitter: str


UNITS = {
    "ofbar": Unit("node bar"),
    "ofbaz": Unit("node baz"),
    "oflocal": Unit("local"),
    "ofclient": Unit("tcp 192.0.2.7"),
}

NEEDS: list[tuple[Command, Right]] = [
    (ShowStatus(), Right.STATUS),
    (Ping("x"), Right.STATUS),
    (Traceroute("x"), Right.STATUS),
    (Connect("x", "y"), Right.CONNECT),
    (Reload(), Right.RELOAD),
    (WorkSubmit(node="foo", work_type="cat"), Right.SUBMIT),
    (WorkList(), Right.LIST),
    (WorkList("ofbar"), Right.LIST),
    (WorkList(idempotency_key="k1"), Right.LIST),
    (WorkStatus("ofbar"), Right.LIST),
    (WorkResults("ofbar"), Right.RESULTS),
    (WorkCancel("ofbar"), Right.CANCEL),
    (WorkRelease("ofbar"), Right.RELEASE),
    (WorkRelease("ofbar", force=True), Right.RELEASE),
]
ON_UNITS = [WorkList, WorkStatus, WorkResults, WorkCancel, WorkRelease]
ALL = frozenset({Right.ALL})


def policy(*rules: AccessRule) -> AccessPolicy:
    return AccessPolicy("foo", rules, UNITS)


def rule(
    *allow: Right,
    nodes: str = "",
    clients: str = "",
    work_types: frozenset[str] | None = None,
    any_units: bool = False,
) -> AccessRule:
    networks = frozenset(ip_network(one) for one in clients.split())
    return AccessRule(frozenset(allow), frozenset(nodes.split()), networks, work_types, any_units)


def is_allowed(policy: AccessPolicy, command: Command, origin: Origin) -> bool:
    try:
        policy.check(command, origin)
    except NotAllowed:
        return False
    return True


def submit(work_type: str, node: str = "foo") -> WorkSubmit:
    return WorkSubmit(node=node, work_type=work_type)


def test_every_command_has_its_right() -> None:
    assert {type(command) for command, _ in NEEDS} | {FollowEvents} == set(Command.__args__)


OF_UNITS: list[Event] = [
    UnitEvent(
        time="", event="unit.changed", unit_id=unit, state=1, state_name="Running", work_type="cat", detail="Running"
    )
    for unit in ("ofbar", "ofbaz")
]
OF_MESH = LinkEvent("", "link.up", "bar", 1.0)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ((), [*OF_UNITS, OF_MESH]),
        ((rule(Right.ALL, nodes="bar"),), [OF_UNITS[0], OF_MESH]),
        ((rule(Right.ALL, nodes="bar", any_units=True),), [*OF_UNITS, OF_MESH]),
        ((rule(Right.STATUS, nodes="bar"),), [OF_MESH]),
        ((rule(Right.LIST, nodes="bar"),), [OF_UNITS[0]]),
        ((rule(Right.LIST, nodes="bar", any_units=True), rule(Right.STATUS, nodes="bar")), [*OF_UNITS, OF_MESH]),
        ((rule(Right.RESULTS, Right.CANCEL, Right.RELEASE, nodes="bar"), rule(Right.ALL, nodes="baz")), None),
    ],
)
def test_events_are_told_as_far_as_a_list_and_the_status_would_tell_them(
    rules: tuple[AccessRule, ...], told: list[Event] | None
) -> None:
    of_node = policy(*rules)
    assert is_allowed(of_node, FollowEvents(), BAR) is (told is not None)
    assert [event for event in [*OF_UNITS, OF_MESH] if of_node.told_to(BAR)(event)] == (told or [])
    assert [event for event in [*OF_UNITS, OF_MESH] if of_node.told_to(LOCAL_CLIENT)(event)] == [*OF_UNITS, OF_MESH]


def test_a_status_with_output_needs_the_rights_to_both() -> None:
    with_output = WorkStatus("ofbar", None, 0)
    for rights, fits in [
        ((Right.LIST, Right.RESULTS), True),
        ((Right.ALL,), True),
        ((Right.LIST,), False),
        ((Right.RESULTS,), False),
    ]:
        assert is_allowed(policy(rule(*rights, nodes="bar")), with_output, BAR) is fits
    two_rules = policy(rule(Right.LIST, nodes="bar"), rule(Right.RESULTS, nodes="bar"))
    two_rules.check(with_output, BAR)
    with pytest.raises(NotAllowed, match=r"^node bar may not read the output of units on node foo"):
        policy(rule(Right.LIST, nodes="bar")).check(with_output, BAR)
    policy().check(with_output, BAZ)
    policy(rule(nodes="bar")).check(with_output, LOCAL_CLIENT)


def test_output_of_others_comes_with_a_status_only_if_both_rights_reach_it() -> None:
    rules = policy(rule(Right.LIST, nodes="bar", any_units=True), rule(Right.RESULTS, nodes="bar"))
    rules.check(WorkStatus("ofbaz"), BAR)
    rules.check(WorkStatus("ofbar", None, 0), BAR)
    with pytest.raises(NotAllowed) as refused:
        rules.check(WorkStatus("ofbaz", None, 0), BAR)
    assert str(refused.value) == str(UnknownUnit("ofbaz"))


@pytest.mark.parametrize("origin", FAR)
@pytest.mark.parametrize(("command", "right"), NEEDS)
def test_without_rules_everybody_may_do_everything(command: Command, right: Right, origin: Origin) -> None:
    policy().check(command, origin)
    policy().check(submit("cat", node="elsewhere"), origin)
    assert policy().seen_by(origin)("oflocal")


@pytest.mark.parametrize(("command", "right"), NEEDS)
def test_local_clients_may_do_everything_whatever_the_rules(command: Command, right: Right) -> None:
    rules = policy(rule(nodes="*"))
    rules.check(command, LOCAL_CLIENT)
    rules.check(submit("cat", node="elsewhere"), LOCAL_CLIENT)
    assert rules.seen_by(LOCAL_CLIENT)("ofbar")


@pytest.mark.parametrize("origin", FAR)
@pytest.mark.parametrize(("command", "right"), NEEDS)
def test_with_a_rule_nobody_else_may_do_anything(command: Command, right: Right, origin: Origin) -> None:
    with pytest.raises(NotAllowed, match=rf"^{origin.who} may not .* on node foo: no access-rule of that node allows"):
        policy(rule(Right.ALL, nodes="baz", clients="198.51.100.0/24")).check(command, origin)


@pytest.mark.parametrize(("command", "right"), NEEDS)
def test_a_right_allows_just_its_commands(command: Command, right: Right) -> None:
    assert is_allowed(policy(rule(right, nodes="bar")), command, BAR)
    assert is_allowed(policy(rule(Right.ALL, nodes="bar")), command, BAR)
    others = [other for other in Right if other not in (right, Right.ALL)]
    assert not is_allowed(policy(rule(*others, nodes="bar")), command, BAR)


def test_rules_add_up_but_each_stands_alone() -> None:
    rules = policy(
        rule(Right.STATUS, nodes="bar"),
        rule(Right.SUBMIT, nodes="bar", work_types=frozenset({"cat"})),
        rule(Right.SUBMIT, nodes="baz", work_types=frozenset({"dog"})),
        rule(Right.STATUS, nodes="bar", any_units=True),
        rule(Right.CANCEL, nodes="bar"),
    )
    assert is_allowed(rules, ShowStatus(), BAR)
    assert is_allowed(rules, submit("cat"), BAR)
    assert not is_allowed(rules, submit("dog"), BAR)
    assert not is_allowed(rules, ShowStatus(), BAZ)
    assert not is_allowed(rules, WorkCancel("oflocal"), BAR)


@pytest.mark.parametrize(
    ("pattern", "node", "fits"),
    [
        ("bar", "bar", True),
        ("bar", "bar2", False),
        ("bar", "Bar", False),
        ("edge-*", "edge-1", True),
        ("edge-*", "my-edge-1", False),
        ("edge-?", "edge-12", False),
        ("*", "anything-at-all", True),
        ("*", "bar ", False),
        ("*", "bar\n", False),
        ("*", "bar\u2003", False),
        ("*", "bar\u200b", False),
        ("foo bar", "bar", True),
    ],
)
def test_nodes_are_named_by_patterns(pattern: str, node: str, fits: bool) -> None:
    origin = Origin(Carrier.MESH, node, f"{node}:abcdefgh")
    assert is_allowed(policy(rule(Right.STATUS, nodes=pattern)), ShowStatus(), origin) is fits


@pytest.mark.parametrize(
    ("networks", "host", "fits"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.0/24", "192.0.2.8", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("0.0.0.0/0", "::1", False),
        ("0.0.0.0/0 ::/0", "::1", True),
        ("0.0.0.0/0 ::/0", "", False),
    ],
)
def test_tcp_clients_are_named_by_networks(networks: str, host: str, fits: bool) -> None:
    origin = Origin(Carrier.TCP, host, f"{host}:4711")
    assert is_allowed(policy(rule(Right.STATUS, clients=networks)), ShowStatus(), origin) is fits


def test_a_node_that_calls_itself_like_an_address_is_still_a_node() -> None:
    node = Origin(Carrier.MESH, "192.0.2.7", "192.0.2.7:abcdefgh")
    assert not is_allowed(policy(rule(Right.ALL, clients="192.0.2.7")), ShowStatus(), node)
    assert not is_allowed(policy(rule(Right.ALL, nodes="192.0.2.7")), ShowStatus(), CLIENT)


@pytest.mark.parametrize("node", ["foo", "localhost", "LocalHost"])
@pytest.mark.parametrize(
    ("work_types", "work_type", "fits"),
    [
        (None, "cat", True),
        ({"cat"}, "cat", True),
        ({"cat"}, "Cat", False),
        ({"c*"}, "cat", True),
        ({"c*"}, "dog", False),
        ({"remote"}, "cat", False),
        (set(), "cat", False),
    ],
)
def test_submit_is_for_the_work_types_named(node: str, work_types: set[str] | None, work_type: str, fits: bool) -> None:
    wanted = None if work_types is None else frozenset(work_types)
    for right in (Right.SUBMIT, Right.ALL):
        rules = policy(rule(right, nodes="bar", work_types=wanted))
        assert is_allowed(rules, submit(work_type, node), BAR) is fits


@pytest.mark.parametrize("work_types", [None, {"*"}, {"cat"}, {"r?mote"}])
def test_work_for_other_nodes_must_be_named(work_types: set[str] | None) -> None:
    wanted = None if work_types is None else frozenset(work_types)
    with pytest.raises(NotAllowed, match=r"^node bar may not send work on to 'elsewhere' on node foo"):
        policy(rule(Right.ALL, nodes="bar", work_types=wanted)).check(submit("cat", "elsewhere"), BAR)
    named = frozenset({"remote"}) | (wanted or frozenset())
    policy(rule(Right.ALL, nodes="bar", work_types=named)).check(submit("cat", "elsewhere"), BAR)


def test_who_may_not_submit_is_told_what() -> None:
    with pytest.raises(
        NotAllowed, match=r"^tcp 192\.0\.2\.7 may not submit work of type 'a\\nx{98}\.\.\.' on node foo"
    ):
        policy(rule(Right.STATUS, nodes="bar")).check(submit("a\n" + "x" * 1000), CLIENT)


@pytest.mark.parametrize("kind", ON_UNITS)
@pytest.mark.parametrize(("origin", "own"), [(BAR, "ofbar"), (CLIENT, "ofclient")])
def test_only_own_units_are_reached(kind: type[WorkStatus], origin: Origin, own: str) -> None:
    rules = policy(rule(Right.ALL, nodes="*", clients="192.0.2.0/24"))
    rules.check(kind(own), origin)
    for unit_id in UNITS.keys() - {own}:
        with pytest.raises(NotAllowed) as refused:
            rules.check(kind(unit_id), origin)
        assert str(refused.value) == str(UnknownUnit(unit_id))


@pytest.mark.parametrize("host", ["bar ", " bar", "bar\n", "bar\u2003"])
def test_a_node_with_almost_the_id_of_another_is_another(host: str) -> None:
    almost_bar = Origin(Carrier.MESH, host, f"{host}:abcdefgh")
    rules = policy(rule(Right.ALL, nodes="*", any_units=True))
    assert not is_allowed(rules, WorkRelease("ofbar"), almost_bar)
    assert almost_bar.who == f"node {host}"


@pytest.mark.parametrize("node", ["foo", "localhost", "LocalHost"])
@pytest.mark.parametrize("origin", FAR)
def test_nobody_becomes_this_node_by_connecting_to_it(origin: Origin, node: str) -> None:
    rules = policy(rule(Right.ALL, nodes="*", clients="0.0.0.0/0", any_units=True))
    with pytest.raises(NotAllowed, match=rf"^{origin.who} may not connect to services of node foo through itself"):
        rules.check(Connect(node, "control"), origin)
    rules.check(Connect(node, "control"), LOCAL_CLIENT)
    policy().check(Connect(node, "control"), origin)


@pytest.mark.parametrize("kind", ON_UNITS)
def test_units_of_all_are_reached_by_whom_a_rule_lets(kind: type[WorkStatus]) -> None:
    rules = policy(rule(Right.ALL, nodes="*"), rule(Right.ALL, nodes="bar", any_units=True))
    for unit_id in UNITS:
        assert is_allowed(rules, kind(unit_id), BAR)
        assert is_allowed(rules, kind(unit_id), BAZ) is (unit_id == "ofbaz")


@pytest.mark.parametrize("kind", ON_UNITS)
def test_a_unit_that_nobody_has_is_left_to_the_handler(kind: type[WorkStatus]) -> None:
    policy(rule(Right.ALL, nodes="*")).check(kind("nosuch"), BAR)


def test_lists_show_what_may_be_seen() -> None:
    rules = policy(
        rule(Right.LIST, nodes="*"),
        rule(Right.LIST, clients="192.0.2.7", any_units=True),
        rule(Right.CANCEL, nodes="bar", any_units=True),
    )
    assert [unit for unit in UNITS if rules.seen_by(BAR)(unit)] == ["ofbar"]
    assert [unit for unit in UNITS if rules.seen_by(CLIENT)(unit)] == list(UNITS)
    # It was there a moment ago, and whose it was is forgotten.
    assert not rules.seen_by(BAR)("nosuch")
