from __future__ import annotations

from dataclasses import replace

import pytest
from diagnoses import HEALTHY, NOW, lines

from receptor.ctl.doctor.facts import Certificate, NodeFacts
from receptor.ctl.doctor.node_checks import check_certificates, check_clocks, check_node

DAY = 86400.0


def with_clocks(own: float | None, **others: float | None) -> list[str]:
    return lines(
        check_clocks(
            replace(
                HEALTHY,
                own=NodeFacts("foo", clock_offset=own),
                others={name: NodeFacts(name, clock_offset=offset) for name, offset in others.items()},
            )
        )
    )


def test_the_node_itself() -> None:
    own = NodeFacts("foo", started=NOW - 300, data_folder="/var/lib/receptor", free_mib=5000)
    assert lines(check_node(replace(HEALTHY, own=own, our_version="2.0"))) == [
        "ok: foo: version 1.2, receptorctl 2.0, running for 5 min",
        "ok: 5000 MiB free for units in /var/lib/receptor",
    ]


@pytest.mark.parametrize(("free", "verdict"), [(1023, "warning"), (99, "problem")])
def test_a_disk_that_is_nearly_full(free: int, verdict: str) -> None:
    own = NodeFacts("foo", data_folder="/data", free_mib=free)
    assert lines(check_node(replace(HEALTHY, own=own)))[-1].startswith(
        f"{verdict}: only {free} MiB free for units in /data -> "
    )


def test_clocks_that_agree() -> None:
    assert with_clocks(0.0, bar=1.0, baz=-4.0) == [
        "ok: foo's clock agrees with this machine's",
        "ok: 2 other clocks agree with foo's: bar, baz",
    ]


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        (-20.0, "warning: bar's clock is 20 s behind foo's -> on bar: "),
        (200.0, "problem: bar's clock is 3 min ahead of foo's; certificates and signatures may be refused -> on bar: "),
    ],
)
def test_clocks_that_don_t(offset: float, said: str) -> None:
    assert with_clocks(0.0, bar=offset)[-1].startswith(said)


def test_the_other_clocks_are_compared_with_that_of_the_node_and_not_with_ours() -> None:
    said = with_clocks(-600.0, bar=-600.0)
    assert said[0].startswith("problem: foo's clock is 10 min behind this machine's")
    assert said[1:] == ["ok: 1 other clock agrees with foo's: bar"]


def test_nodes_that_tell_no_time() -> None:
    assert with_clocks(None, bar=None) == ["skipped: no time is told by foo, bar (nodes of Go and older ones don't)"]


@pytest.mark.parametrize(
    ("begins", "ends", "node_ids", "said"),
    [
        (-DAY, -2 * DAY, ("bar",), "problem: {name} has expired 2 d ago, on 2026-01-29 -> renew it"),
        (-DAY, 12 * DAY, ("bar",), "warning: {name} expires in 12 d, on 2026-02-12 -> renew it"),
        (2 * DAY, 99 * DAY, ("bar",), "problem: {name} is not valid before 2026-02-02 -> correct the clocks"),
        (-DAY, 99 * DAY, ("baz",), "warning: {name} is for baz, so others don't take it for bar's"),
        (-DAY, 99 * DAY, (), "ok: 1 certificate of bar in order"),
        (None, None, ("bar",), "ok: 1 certificate of bar in order"),
    ],
)
def test_certificates(begins: float | None, ends: float | None, node_ids: tuple[str, ...], said: str) -> None:
    certificate = Certificate(
        "tls-server mesh",
        "CN=bar",
        node_ids,
        None if begins is None else NOW + begins,
        None if ends is None else NOW + ends,
        "",
    )
    found = lines(check_certificates(replace(HEALTHY, others={"bar": NodeFacts("bar", certificates=(certificate,))})))
    assert len(found) == 1
    assert found[0].startswith(said.format(name="the certificate of bar for tls-server mesh (CN=bar)"))
