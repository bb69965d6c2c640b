from __future__ import annotations

import time

import pytest
from mesh_bench import Bench, Neighbour, join

from receptor.netceptor.firewall import LONGEST_PATTERN, REMEMBERED_VERDICTS, Firewall, FirewallRule, Verdict
from receptor.netceptor.messages import Unreachable, encode_unreachable
from receptor.netceptor.packets import Address

NEAR = Address("near", "x")
FAR = Address("far", "y")
US = Address("us", "svc")


def verdict(rule: FirewallRule, *flow: str) -> Verdict:
    return Firewall([rule]).verdict(*flow)


FLOW = ("foo", "bar", "a", "b")


@pytest.mark.parametrize(
    ("patterns", "matches"),
    [
        ({}, True),
        ({"from_node": "foo", "to_node": "bar", "from_service": "a", "to_service": "b"}, True),
        ({"from_node": "foo", "to_node": "baz"}, False),
        ({"from_node": "FOO"}, False),
        ({"from_node": "/fo+/"}, True),
        ({"from_node": "/f/"}, False),
        ({"from_node": "/oo/"}, False),
        ({"from_node": "/x|f/"}, False),
        ({"from_node": "/x|foo/"}, True),
        ({"to_service": "/(?i)B/"}, True),
        ({"to_service": "//"}, False),
        ({"from_node": "/^foo$/"}, True),
    ],
)
def test_a_rule_matches_if_all_its_patterns_match_whole_names(patterns: dict[str, str], matches: bool) -> None:
    rule = FirewallRule(Verdict.DROP, **patterns)
    assert verdict(rule, *FLOW) is (Verdict.DROP if matches else Verdict.ACCEPT)


def test_the_first_rule_that_matches_decides() -> None:
    firewall = Firewall([FirewallRule(Verdict.ACCEPT, from_node="foo"), FirewallRule(Verdict.DROP)])
    assert firewall.verdict(*FLOW) is Verdict.ACCEPT
    assert firewall.verdict("baz", "bar", "a", "b") is Verdict.DROP


@pytest.mark.parametrize("pattern", ["/", "/foo", "/(/", "/(?=a)/", f"/{'a' * LONGEST_PATTERN}/", "/(a{1000}){1000}/"])
def test_a_pattern_that_is_no_regular_expression_is_refused(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        FirewallRule(Verdict.DROP, to_node=pattern)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "patterns",
    [{"from_node": "localhost"}, {"to_node": "LocalHost"}, {"to_service": "ninebytes"}, {"from_service": "käsekäs"}],
)
def test_a_rule_that_no_packet_fits_is_refused(patterns: dict[str, str]) -> None:
    """Its author believes to be safe from something: packets for this node bear its id, whatever it was called."""
    with pytest.raises(ValueError, match="would match nothing"):
        FirewallRule(Verdict.DROP, **patterns)


def test_no_expression_and_no_name_take_more_than_a_moment() -> None:
    firewall = Firewall([FirewallRule(Verdict.DROP, from_node="/(a+)+b/"), FirewallRule(Verdict.DROP, "/(.*.*)*x/")])
    begun = time.perf_counter()
    assert firewall.verdict("a" * 1024, "bar", "a", "b") is Verdict.ACCEPT
    assert time.perf_counter() - begun < 0.1


def test_flows_that_strangers_invent_are_not_remembered_for_ever() -> None:
    firewall = Firewall([FirewallRule(Verdict.DROP, from_node="foo")])
    for number in range(2 * REMEMBERED_VERDICTS):
        firewall.verdict(f"node {number}", "bar", "a", "b")
    assert len(firewall._known) == REMEMBERED_VERDICTS


# At a node


def guarded(*rules: FirewallRule) -> tuple[Bench, Neighbour]:
    """A node with rules between near, on session 1, with far behind it, and other, on session 2."""
    bench = Bench(firewall=Firewall(rules))
    near = join(bench, 1)
    near.update({"us": 1.0, "far": 1.0})
    near.update({"near": 1.0}, of="far")
    join(bench, 2, "other")
    near.update({"us": 1.0, "far": 1.0})
    bench.wait(0.1)
    bench.did()
    return bench, near


def blocked(source: Address, destination: Address, *, by_way_of: str = "1: ") -> str:
    message = Unreachable(
        from_node=source.node,
        to_node=destination.node,
        from_service=source.service,
        to_service=destination.service,
        problem="blocked by firewall",
    )
    text = encode_unreachable(message).decode()
    return f"{by_way_of}data from us:unreach to {source.node}:unreach with 29 hops: {text!r}"


OTHER = Address("other", "z")


@pytest.mark.parametrize("destination", [US, OTHER], ids=["for us", "to pass on"])
def test_what_comes_over_a_link_is_rejected_with_an_answer(destination: Address) -> None:
    bench, near = guarded(FirewallRule(Verdict.REJECT, from_node="far"))
    bench.node.open_datagrams("svc")
    near.data(FAR, destination, b"hello")
    assert bench.did() == [blocked(FAR, destination)]


@pytest.mark.parametrize("destination", [US, OTHER], ids=["for us", "to pass on"])
def test_what_is_dropped_is_not_answered(destination: Address) -> None:
    bench, near = guarded(FirewallRule(Verdict.DROP, from_node="far"))
    bench.node.open_datagrams("svc")
    near.data(FAR, destination, b"hello")
    assert bench.did() == []


def test_rules_come_before_the_count_of_hops() -> None:
    bench, near = guarded(FirewallRule(Verdict.DROP))
    near.data(FAR, OTHER, b"hello", hops=0)
    assert bench.did() == []


def test_what_passes_goes_on_as_ever() -> None:
    bench, near = guarded(FirewallRule(Verdict.DROP, from_node="near"))
    near.data(FAR, OTHER, b"hello", hops=9)
    assert bench.did() == ["2: data from far:y to other:z with 8 hops: 'hello'"]


def test_our_own_datagrams_are_under_the_rules_too() -> None:
    bench, _ = guarded(FirewallRule(Verdict.DROP, from_node="us", to_node="far"))
    bench.node.send_datagram("svc", FAR, b"hello", bench.now)
    bench.node.send_datagram("svc", OTHER, b"hello", bench.now)
    bench.poll()
    assert bench.did() == ["2: data from us:svc to other:z with 29 hops: 'hello'"]


def test_a_report_that_is_blocked_makes_no_report() -> None:
    bench, near = guarded(FirewallRule(Verdict.REJECT))
    near.data(Address("far", "unreach"), Address("us", "unreach"), b"{}")
    assert bench.did() == []
