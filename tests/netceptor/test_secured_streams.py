"""Services that come, change and go, and who may open streams to them, on a simulated mesh."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from shown_certificates import TrustInCa, dialer, listener, shown_by
from simulation import Simulation, line_of_nodes

from receptor.netceptor.effects import Notice, Severity, StreamClosed, StreamData, StreamEnded, StreamOpened
from receptor.netceptor.packets import Address
from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity

BLOB = random.Random(3).randbytes(100_000)


def dial(simulation: Simulation, node: str, target: str, security: DialerSecurity | None = None) -> int:
    """Dial the service ``svc``; the number of the stream, once it has opened or closed."""
    number = simulation.nodes[node].streams.dial(target, "svc", simulation.now, security)
    simulation.settle(node)
    assert simulation.run_until(lambda: opened(simulation, node, number) or problem(simulation, node, number))
    return number


def opened(simulation: Simulation, node: str, number: int) -> bool:
    return any(effect.stream == number for effect in simulation.told_of(node, StreamOpened))


def problem(simulation: Simulation, node: str, number: int) -> str | None:
    found = [effect.problem for effect in simulation.told_of(node, StreamClosed) if effect.stream == number]
    return found[0] if found else None


def notices(simulation: Simulation, node: str) -> list[str]:
    return [notice.text for notice in simulation.told_of(node, Notice) if "secured" in notice.text]


def secured(node: str, check: TrustInCa | None = None) -> ListenerSecurity:
    return listener(shown_by(node), check)


@pytest.mark.parametrize("target", ["b", "b:x", "n" * 200])
def test_both_ends_prove_who_they_are_over_hops_and_losses(target: str) -> None:
    dialling = "a:1"
    simulation = line_of_nodes(dialling, "middle", target, loss=0.1)
    ours, theirs = TrustInCa(), TrustInCa()
    simulation.nodes[target].streams.listen("svc", lambda: listener(shown_by(target, padding=1000, chain=3), theirs))
    number = dial(simulation, dialling, target, dialer(ours, shown_by(dialling, padding=1000, chain=3)))
    assert opened(simulation, dialling, number)
    simulation.nodes[dialling].streams.write(number, BLOB)
    simulation.nodes[dialling].streams.end(number)
    simulation.settle(dialling)
    assert simulation.run_until(lambda: simulation.told_of(target, StreamEnded))
    assert b"".join(effect.data for effect in simulation.told_of(target, StreamData)) == BLOB
    assert ours.asked == [(4, target)]
    assert theirs.asked == [(4, dialling)]


def test_a_service_of_this_node_must_show_the_own_id() -> None:
    simulation = Simulation()
    simulation.add("a")
    simulation.nodes["a"].streams.listen("svc", lambda: secured("a"))
    check = TrustInCa()
    assert opened(simulation, "a", dial(simulation, "a", "localhost", dialer(check)))
    assert check.asked == [(1, "a")]


def test_a_listener_tells_its_log_whom_it_has_refused_and_why() -> None:
    simulation = line_of_nodes("a", "b")
    simulation.nodes["b"].streams.listen("svc", lambda: secured("b", TrustInCa()))
    for shown in (shown_by("a", ca=1), None):
        number = dial(simulation, "a", "b", dialer(TrustInCa(), shown))
        assert not opened(simulation, "a", number)
        assert "the far end gave up the TLS handshake" in (problem(simulation, "a", number) or "")
    simulation.run(1.0)
    assert not simulation.told_of("b", StreamOpened)
    assert not simulation.told_of("b", StreamClosed)
    assert notices(simulation, "b") == [
        "a stream of a to the service svc can't be secured: the far end's certificate is not accepted: "
        "another CA has signed it"
    ], "one of a kind a minute"


@pytest.mark.parametrize(
    ("listens", "dials", "ours", "theirs"),
    [
        (secured("b"), None, "insecure connection to secure service", "the far end gave up the TLS handshake"),
        (None, dialer(TrustInCa()), "the service has no TLS", "the far end gave up the TLS handshake"),
        (secured("b"), dialer(TrustInCa(ca=1)), "another CA has signed it", "the far end gave up the TLS handshake"),
        (secured("b", TrustInCa()), dialer(TrustInCa()), "it wants a certificate", "it has shown none"),
    ],
    ids=["plain to secured", "secured to plain", "not trusted", "no certificate"],
)
def test_each_end_tells_its_log_once_why_they_don_t_meet(
    listens: ListenerSecurity | None, dials: DialerSecurity | None, ours: str, theirs: str
) -> None:
    """Who dials at a level that every log has: it is for somebody to put right."""
    simulation = line_of_nodes("a", "b")
    simulation.nodes["b"].streams.listen("svc", (lambda: listens) if listens else None)
    for _ in range(2):
        number = dial(simulation, "a", "b", dials)
        (closed,) = [one for one in simulation.told_of("a", StreamClosed) if one.stream == number]
        assert closed.failed_tls
        assert ours in (closed.problem or "")
    simulation.run(1.0)
    (told,) = [notice for notice in simulation.told_of("a", Notice) if "secured" in notice.text]
    assert told.text.startswith("a stream to b:svc can't be secured: ")
    assert ours in told.text
    assert told.severity is Severity.ERROR
    (told,) = [notice for notice in simulation.told_of("b", Notice) if "secured" in notice.text]
    assert told.text.startswith("a stream of a to the service svc can't be secured: ")
    assert theirs in told.text
    assert told.severity is Severity.WARNING


def test_a_check_with_a_defect_is_told_of_too() -> None:
    def breaks(_chain: object, _node: str) -> None:
        raise ZeroDivisionError("a mistake")

    simulation = line_of_nodes("a", "b")
    shown = secured("b")
    simulation.nodes["b"].streams.listen("svc", lambda: replace(shown, check=breaks))
    dial(simulation, "a", "b", dialer(TrustInCa(), shown_by("a")))
    simulation.run(1.0)
    (told,) = notices(simulation, "b")
    assert told.startswith("a stream of a to the service svc can't be secured: ")
    assert told.endswith("a mistake")


def test_what_fails_otherwise_is_no_matter_of_tls() -> None:
    simulation = line_of_nodes("a", "b")
    number = dial(simulation, "a", "b", dialer(TrustInCa()))
    assert StreamClosed(number, "service unknown: svc on b", failed_tls=False) in simulation.told["a"]


def test_a_service_is_asked_at_each_connection_what_to_show() -> None:
    simulation = line_of_nodes("a", "b")
    shown = [secured("b"), listener(shown_by("b", ca=1))]
    simulation.nodes["b"].streams.listen("svc", lambda: shown[0])
    first = dial(simulation, "a", "b", dialer(TrustInCa()))
    shown.reverse()
    second = dial(simulation, "a", "b", dialer(TrustInCa()))
    third = dial(simulation, "a", "b", dialer(TrustInCa(ca=1)))
    assert opened(simulation, "a", first)
    assert problem(simulation, "a", first) is None, "it goes on"
    assert problem(simulation, "a", second) == "the far end's certificate is not accepted: another CA has signed it"
    assert opened(simulation, "a", third)


# Services that end


def listening_pair() -> Simulation:
    simulation = line_of_nodes("a", "b")
    simulation.nodes["b"].streams.listen("svc")
    return simulation


def test_a_service_that_ends_takes_no_more_streams_while_the_open_ones_go_on() -> None:
    simulation = listening_pair()
    old = dial(simulation, "a", "b")
    assert simulation.run_until(lambda: simulation.told_of("b", StreamOpened))
    simulation.nodes["b"].streams.unlisten("svc")
    assert problem(simulation, "a", dial(simulation, "a", "b")) == "service unknown: svc on b"
    simulation.nodes["a"].streams.write(old, BLOB)
    simulation.settle("a")
    assert simulation.run_until(lambda: sum(len(one.data) for one in simulation.told_of("b", StreamData)) == len(BLOB))
    simulation.nodes["a"].streams.close(old)
    simulation.settle("a")
    simulation.run(60.0)
    assert not simulation.nodes["b"].switch.is_open("svc"), "the name is free when the last stream is over"


def test_a_service_that_nobody_uses_is_free_at_once() -> None:
    simulation = listening_pair()
    simulation.nodes["b"].streams.unlisten("svc")
    simulation.nodes["b"].open_datagrams("svc")


def test_a_service_may_come_back_secured_while_its_old_streams_go_on() -> None:
    simulation = listening_pair()
    streams = simulation.nodes["b"].streams
    old = dial(simulation, "a", "b")
    simulation.run(1.0)
    streams.unlisten("svc")
    streams.listen("svc", lambda: secured("b"))
    with pytest.raises(ValueError, match="open already"):
        streams.listen("svc")
    assert (
        problem(simulation, "a", dial(simulation, "a", "b"))
        == "insecure connection to secure service: it wants TLS, so name a tls-client"
    )
    assert opened(simulation, "a", dial(simulation, "a", "b", dialer(TrustInCa())))
    simulation.nodes["a"].streams.write(old, b"still here")
    simulation.settle("a")
    assert simulation.run_until(lambda: simulation.told_of("b", StreamData))


def test_a_stream_that_is_just_being_opened_does_not_outlive_its_service() -> None:
    simulation = listening_pair()
    number = simulation.nodes["a"].streams.dial("b", "svc", simulation.now)
    simulation.settle("a")
    assert simulation.run_until(lambda: simulation.nodes["b"].streams.timers.deadline() is not None)
    simulation.nodes["b"].streams.unlisten("svc")
    simulation.settle("b")
    simulation.run(60.0)
    assert not simulation.told_of("b", StreamOpened)
    assert StreamClosed(number, problem(simulation, "a", number)) in simulation.told["a"]
    assert not simulation.nodes["b"].switch.is_open("svc")


def test_a_service_that_is_not_listened_on_is_not_ended() -> None:
    simulation = listening_pair()
    simulation.nodes["b"].open_datagrams("other")
    simulation.nodes["b"].streams.unlisten("other")
    simulation.nodes["b"].streams.unlisten("nothing")
    simulation.nodes["a"].send_datagram("any", Address("b", "other"), b"x", simulation.now)
    assert simulation.nodes["b"].switch.is_open("other")
