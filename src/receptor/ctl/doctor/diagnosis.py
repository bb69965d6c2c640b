"""From facts to findings. Pure: it asks nobody and reads nothing."""

from __future__ import annotations

from collections.abc import Callable

from receptor.ctl.doctor.access_checks import check_access, check_environment
from receptor.ctl.doctor.facts import Facts
from receptor.ctl.doctor.findings import Area, Finding
from receptor.ctl.doctor.mesh_checks import check_mesh
from receptor.ctl.doctor.node_checks import check_certificates, check_clocks, check_node
from receptor.ctl.doctor.work_checks import check_work


def diagnose(facts: Facts, command: Callable[..., str]) -> list[Finding]:
    """All findings, area by area and in each the worst first.

    ``command`` makes a command line for the same node from the words of a verb, for people to copy.
    """
    findings = [
        *check_environment(facts),
        *check_access(facts),
        *check_node(facts),
        *check_clocks(facts),
        *check_certificates(facts),
        *check_mesh(facts, command),
        *check_work(facts, command),
    ]
    areas = list(Area)
    return sorted(findings, key=lambda one: (areas.index(one.area), -one.verdict))
