"""Checks of the mesh: nodes out of reach, links on which the ends don't agree, silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from receptor.ctl.doctor.facts import Facts
from receptor.ctl.doctor.findings import Area, Finding, listed, ok, problem, skipped, warning
from receptor.ctl.mesh_view import KnownNode, nodes, services
from receptor.ctl.moments import ago, parse_moment, span
from receptor.ctl.plain_text import counted

OLDEST_WORD = 1500.0
"""Seconds after which a service should have been advertised again: nodes do it every 10 minutes at the latest."""

EARLIEST_WORD = 60.0
"""Seconds in the future that a service's word may seem to be from."""

_AREA = Area.MESH


def check_mesh(facts: Facts, command: Callable[..., str]) -> Iterator[Finding]:
    """All of the mesh that the node knows of; ``command`` makes a command line from the words of a verb."""
    if facts.status is None:
        return
    known = nodes(facts.status)
    yield from _check_reach(facts, known)
    yield from _check_links(known)
    yield from _check_answers(facts, command)
    yield from _check_words(facts)


def _check_reach(facts: Facts, known: list[KnownNode]) -> Iterator[Finding]:
    own, *others = known
    reachable = [node.node_id for node in others if node.standing != "unreachable"]
    if reachable:
        yield ok(_AREA, f"{counted(len(reachable), 'other node')} in reach of {own.node_id}: {listed(reachable)}")
    elif not others:
        yield ok(_AREA, f"{own.node_id} is alone: it has no link, and knows no other node")
    for node in others:
        if node.standing == "unreachable":
            yield warning(
                _AREA, _lost(node, facts.now), f"see whether {node.node_id} runs, and what its log says of its links"
            )


def _lost(node: KnownNode, now: float) -> str:
    moment = parse_moment(node.last_seen)
    seen = "" if moment is None or moment > now else f" (heard of {ago(moment, now)})"
    if node.links:
        return f"{node.node_id} is out of reach{seen}, though it tells of links with {listed(sorted(node.links))}"
    return f"{node.node_id} is out of reach{seen}: it was there, and has no link now"


def _check_links(known: list[KnownNode]) -> Iterator[Finding]:
    links = {node.node_id: node.links for node in known}
    for one, costs in links.items():
        for other, cost in sorted(costs.items()):
            if other not in links:
                continue
            back = links[other].get(one)
            if back is None and links[other]:
                yield warning(
                    _AREA,
                    f"{one} tells of a link with {other}, and {other} of none with {one}, so it is not used",
                    f"if it stays so for a minute, see the logs of {one} and {other} for why the link ends",
                )
            elif back is not None and one < other and back != cost:
                yield warning(
                    _AREA,
                    f"the link of {one} and {other} costs {cost:g} there and {back:g} back",
                    "give both ends the same cost, in cost or nodecost of the listener and cost of the peer",
                )
            if cost <= 0:
                yield problem(
                    _AREA,
                    f"the link of {one} with {other} costs {cost:g}",
                    "costs must be more than 0: correct its configuration",
                )


def _check_answers(facts: Facts, command: Callable[..., str]) -> Iterator[Finding]:
    answering = []
    for node in facts.others.values():
        if node.ping_trouble:
            yield problem(
                _AREA,
                f"{node.node_id} has a route, but answers no ping: {node.ping_trouble}",
                f"see how far the way leads: {command('traceroute', node.node_id)}",
            )
        elif node.wants_tls:
            tls = command("doctor", "--tls-client", "NAME")
            yield skipped(_AREA, f"{node.node_id} answers pings, and wants TLS for questions", f"ask it with: {tls}")
        elif node.trouble:
            yield skipped(_AREA, f"{node.node_id} answers pings, but no questions: {node.trouble}")
        else:
            answering.append(node.node_id)
    if answering:
        yield ok(_AREA, f"{counted(len(answering), 'node')} answered over the mesh: {listed(answering)}")


def _check_words(facts: Facts) -> Iterator[Finding]:
    """By what its services say of when they were last advertised, as it was by their node's clock."""
    assert facts.status is not None
    for one in services(facts.status):
        moment = parse_moment(one.last_seen)
        if moment is None or one.node_id not in facts.status.routes:
            continue
        if facts.now - moment > OLDEST_WORD:
            yield warning(
                _AREA,
                f"{one.name} of {one.node_id} was last advertised {span(facts.now - moment)} ago, which is too long",
                f"see whether {one.node_id}'s clock is right and its log complains; restarting it has it speak anew",
            )
        elif moment - facts.now > EARLIEST_WORD and not _tells_time(facts, one.node_id):
            yield warning(
                _AREA,
                f"{one.name} of {one.node_id} was advertised {span(moment - facts.now)} in the future",
                f"correct the clock of {one.node_id}",
            )


def _tells_time(facts: Facts, node_id: str) -> bool:
    """Whether its clock is known, and so judged already."""
    node = facts.others.get(node_id)
    return node is not None and node.clock_offset is not None
