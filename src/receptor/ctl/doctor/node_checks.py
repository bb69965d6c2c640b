"""Checks of the nodes themselves: versions, disks, clocks, certificates."""

from __future__ import annotations

import time
from collections.abc import Iterator

from receptor.ctl.doctor.facts import Certificate, Facts, NodeFacts
from receptor.ctl.doctor.findings import Area, Finding, listed, ok, problem, skipped, warning
from receptor.ctl.moments import span
from receptor.ctl.plain_text import counted

LITTLE_SPACE, NO_SPACE = 1024, 100
"""MiB on the disk of the units."""

CLOCK_WARNING, CLOCK_PROBLEM = 5.0, 60.0
"""Seconds between two clocks; certificates and signatures that were just made are refused where it is too early."""

EXPIRY_WARNING = 30 * 86400.0
"""Seconds before the end of a certificate."""

_SET_CLOCK = "have it set over the network, for instance: sudo timedatectl set-ntp true"


def check_node(facts: Facts) -> Iterator[Finding]:
    """The node that was asked: its version, how long it runs, the disk of its units."""
    status, own = facts.status, facts.own
    if status is None:
        return
    runs = f", running for {span(facts.now - own.started)}" if own and own.started is not None else ""
    version = status.version or "unknown"
    differs = "" if version == facts.our_version else f", receptorctl {facts.our_version}"
    yield ok(Area.NODE, f"{status.node_id}: version {version}{differs}{runs}")
    if own is not None and own.trouble:
        yield skipped(Area.NODE, f"{status.node_id} does not tell more of itself: {own.trouble}")
    if own is not None and own.free_mib is not None:
        yield _disk(own.data_folder, own.free_mib)


def _disk(folder: str, free_mib: int) -> Finding:
    text = f"{free_mib} MiB free for units in {folder}"
    fix = f"make room on the disk of {folder}: release units that nobody needs, see 'receptorctl work list'"
    if free_mib < NO_SPACE:
        return problem(Area.NODE, f"only {text}", fix)
    if free_mib < LITTLE_SPACE:
        return warning(Area.NODE, f"only {text}", fix)
    return ok(Area.NODE, text)


def check_clocks(facts: Facts) -> Iterator[Finding]:
    """The node's clock against ours, and those of the others against the node's."""
    own = facts.own
    if facts.status is None or own is None:
        return
    if own.clock_offset is not None:
        yield from _clock(own.node_id, own.clock_offset, "this machine's", always=True)
    here = own.clock_offset or 0.0
    whose = "this machine's" if own.clock_offset is None else f"{own.node_id}'s"
    asked = [node for node in facts.others.values() if not (node.trouble or node.ping_trouble or node.wants_tls)]
    told = [node for node in asked if node.clock_offset is not None]
    for node in told:
        yield from _clock(node.node_id, (node.clock_offset or 0.0) - here, whose, always=False)
    good = [node.node_id for node in told if abs((node.clock_offset or 0.0) - here) < CLOCK_WARNING]
    if good:
        agree = "clock agrees" if len(good) == 1 else "clocks agree"
        yield ok(Area.CLOCKS, f"{len(good)} other {agree} with {whose}: {listed(good)}")
    silent = [node.node_id for node in (own, *asked) if node.clock_offset is None]
    if silent:
        yield skipped(Area.CLOCKS, f"no time is told by {listed(silent)} (nodes of Go and older ones don't)")


def _clock(node_id: str, offset: float, whose: str, *, always: bool) -> Iterator[Finding]:
    if abs(offset) < CLOCK_WARNING:
        if always:
            yield ok(Area.CLOCKS, f"{node_id}'s clock agrees with {whose}")
        return
    text = f"{node_id}'s clock is {span(abs(offset))} {'ahead of' if offset > 0 else 'behind'} {whose}"
    if abs(offset) >= CLOCK_PROBLEM:
        yield problem(Area.CLOCKS, f"{text}; certificates and signatures may be refused", f"on {node_id}: {_SET_CLOCK}")
    else:
        yield warning(Area.CLOCKS, text, f"on {node_id}: {_SET_CLOCK}")


def check_certificates(facts: Facts) -> Iterator[Finding]:
    """Certificates of this node and the others: those that have ended, end soon or are not valid yet."""
    good: list[str] = []
    for node in filter(None, (facts.own, *facts.others.values())):
        for certificate in node.certificates or ():
            found = _certificate(node, certificate, facts.now)
            if found is None:
                good.append(node.node_id)
            else:
                yield found
    if good:
        text = f"{counted(len(good), 'certificate')} of {listed(dict.fromkeys(good))} in order"
        yield ok(Area.CERTIFICATES, text)


def _certificate(node: NodeFacts, certificate: Certificate, now: float) -> Finding | None:
    file = f", {certificate.file}" if certificate.file else ""
    name = f"the certificate of {node.node_id} for {certificate.name} ({certificate.subject}{file})"
    renew = f"renew it with 'receptor certs node {node.node_id} --ca FOLDER', copy it there, and reload that node"
    begins, ends = certificate.not_before, certificate.not_after
    if ends is not None and ends <= now:
        return problem(Area.CERTIFICATES, f"{name} has expired {span(now - ends)} ago, on {_day(ends)}", renew)
    if begins is not None and begins > now:
        fix = f"correct the clocks of {node.node_id} and of the authority, or make the certificate again"
        return problem(Area.CERTIFICATES, f"{name} is not valid before {_day(begins)}", fix)
    if ends is not None and ends - now < EXPIRY_WARNING:
        return warning(Area.CERTIFICATES, f"{name} expires in {span(ends - now)}, on {_day(ends)}", renew)
    if certificate.node_ids and node.node_id not in certificate.node_ids:
        ids = listed(certificate.node_ids)
        return warning(Area.CERTIFICATES, f"{name} is for {ids}, so others don't take it for {node.node_id}'s", renew)
    return None


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
