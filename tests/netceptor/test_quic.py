from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from quic_bench import SOMEWHERE, OurWire, Stranger, Twisted, Wire, accept, strange_dialer, strange_listener
from recordings import recorded_packets
from simulation import credentials

from receptor.netceptor.packets import DATA, HEADER_SIZE
from receptor.netceptor.qh3_connection import STREAM_WINDOW
from receptor.netceptor.quic import HANDSHAKE_TIMEOUT, INSECURE_COMMON_NAME, LINGER, StreamConnection
from receptor.netceptor.stream_events import Broken, Ended, Opened, Received
from receptor.netceptor.stream_security import ListenerSecurity


class Silence:
    """An end that never says anything."""

    def receive(self, datagrams: list[bytes], now: float) -> None:
        pass

    def datagrams(self, _now: float) -> list[bytes]:
        return []

    def events(self, _now: float) -> list[object]:
        return []

    def advance(self, now: float) -> None:
        pass

    def deadline(self) -> float | None:
        return None


def payload(happened: list[object]) -> bytes:
    return b"".join(event.data for event in happened if isinstance(event, Received))


def problems(happened: list[object]) -> list[str | None]:
    return [event.problem for event in happened if isinstance(event, Broken)]


def certificate_named(name: str) -> ListenerSecurity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return ListenerSecurity(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def dialled_by_a_stranger(first_bytes: bytes = b"\0", end: bool = False) -> Wire:
    """A stranger, the dialer, has written those bytes to our listener."""
    dialer = strange_dialer()
    dialer.quic.connect(SOMEWHERE, 0.0)
    dialer.quic.send_stream_data(0, first_bytes, end)
    wire = Wire(dialer, accept)
    wire.wait(1.0)
    return wire


def our_listener(wire: Wire) -> StreamConnection:
    assert isinstance(wire.listener, StreamConnection)
    return wire.listener


def stranger(wire: Wire) -> Stranger:
    assert isinstance(wire.dialer, Stranger)
    return wire.dialer


# An orderly stream


def test_a_stream_opens_at_both_ends_without_its_byte_0() -> None:
    wire = OurWire()
    assert wire.happened == {wire.dialer: [Opened()], wire.listener: [Opened()]}


def test_bytes_pass_both_ways_until_each_half_ends() -> None:
    wire = OurWire()
    wire.dialer.write(b"question")
    wire.dialer.end()
    wire.wait(0.1)
    assert wire.happened[wire.listener] == [Opened(), Received(b"question"), Ended()]
    wire.listener.write(b"answer")
    wire.wait(0.1)
    wire.listener.end()
    wire.wait(0.1)
    assert wire.happened[wire.dialer] == [Opened(), Received(b"answer"), Ended()]
    for end in (wire.dialer, wire.listener):
        end.write(b"too late")
        end.end()
    wire.wait(1.0)
    assert payload(wire.happened[wire.listener]) == b"question"
    assert problems(wire.happened[wire.dialer]) == problems(wire.happened[wire.listener]) == []


def test_the_byte_0_may_come_together_with_data_and_the_end() -> None:
    wire = dialled_by_a_stranger(b"\0data", end=True)
    assert wire.happened[wire.listener] == [Opened(), Received(b"data"), Ended()]


def test_a_stream_that_begins_with_another_byte_is_refused() -> None:
    wire = dialled_by_a_stranger(b"\1data")
    assert problems(wire.happened[wire.listener]) == ["the stream does not begin with the byte 0"]
    assert Opened() not in wire.happened[wire.listener]
    assert our_listener(wire).is_over


def test_other_streams_of_the_connection_are_ignored() -> None:
    wire = dialled_by_a_stranger(b"\0one")
    stranger(wire).quic.send_stream_data(4, b"\0two", end_stream=True)
    stranger(wire).quic.send_stream_data(2, b"\0two", end_stream=True)
    wire.wait(1.0)
    assert wire.happened[wire.listener] == [Opened(), Received(b"one")]


# Names


def test_a_recorded_start_is_answered() -> None:
    """What a Go dialer sent; what it sent later was for the keys of another listener."""
    dialled = [found for found in recorded_packets(DATA) if found.to_service == "control"]
    first, *later = [found.raw[HEADER_SIZE:] for found in dialled if found.direction == "foo>bar"]
    listener = accept(first)
    listener.receive([first], 0.0)
    assert listener.events(0.0) == []
    answer = listener.datagrams(0.0)
    assert sum(map(len, answer)) > 500, "server hello, certificate and so on"
    listener.receive(later, 0.1)
    assert listener.events(0.1) == []
    assert not listener.is_over


def test_a_dialer_talks_only_to_a_listener_that_says_it_is_insecure() -> None:
    for name, opens in ((INSECURE_COMMON_NAME, True), ("localhost", False), (INSECURE_COMMON_NAME + "x", False)):
        dialer = StreamConnection.dial("us", "them", 0.0)
        wire = Wire(dialer, lambda first, name=name: strange_listener(first, certificate_named(name)))  # type: ignore[misc]
        wire.wait(1.0)
        assert (Opened() in wire.happened[dialer]) is opens
        assert problems(wire.happened[dialer]) == (
            [] if opens else ["insecure connection to secure service: it wants TLS, so name a tls-client"]
        )


# Ends


@pytest.mark.parametrize(("code", "problem"), [(0, None), (499, "the connection ended with code 499: enough")])
def test_a_close_is_in_order_or_tells_its_code(code: int, problem: str | None) -> None:
    wire = OurWire()
    wire.listener.close(code, "enough")
    wire.wait(1.0)
    assert problems(wire.happened[wire.dialer]) == [problem]
    assert wire.dialer.is_over
    assert wire.listener.is_over
    assert wire.dialer.deadline() is wire.listener.deadline() is None


def test_a_reason_of_any_length_reaches_the_far_end() -> None:
    wire = OurWire()
    wire.listener.close(500, "no route to node " + "x" * 5000)
    wire.wait(1.0)
    (problem,) = problems(wire.happened[wire.dialer])
    assert problem is not None
    assert "no route to node xxx" in problem


def test_a_close_cuts_what_is_on_its_way() -> None:
    wire = OurWire()
    wire.listener.pause()
    wire.dialer.write(bytes(2 * STREAM_WINDOW))
    wire.wait(1.0)
    wire.dialer.close(0, "normal close")
    wire.wait(1.0)
    assert Ended() not in wire.happened[wire.listener]
    assert wire.listener.is_over


def cancel_reading(connection: Stranger) -> None:
    connection.quic.stop_stream(0, 499)


def cancel_writing(connection: Stranger) -> None:
    connection.quic.reset_stream(0, 499)


@pytest.mark.parametrize("cancel", [cancel_reading, cancel_writing])
def test_a_cancelled_stream_ends_the_connection(cancel: Callable[[Stranger], None]) -> None:
    wire = dialled_by_a_stranger()
    cancel(stranger(wire))
    wire.wait(1.0)
    assert problems(wire.happened[wire.listener])[0] == "the far end cancelled the stream (code 499)"
    assert our_listener(wire).is_over


# Finish


def test_finish_of_both_ends_closes_as_soon_as_everything_is_there() -> None:
    wire = OurWire()
    wire.dialer.write(b"a" * 100_000)
    wire.dialer.finish(wire.now)
    wire.listener.write(b"b" * 100_000)
    wire.listener.finish(wire.now)
    wire.wait(1.0)
    assert payload(wire.happened[wire.listener]) == b"a" * 100_000
    assert payload(wire.happened[wire.dialer]) == b"b" * 100_000
    assert wire.dialer.is_over
    assert wire.listener.is_over
    assert problems(wire.happened[wire.dialer]) == problems(wire.happened[wire.listener]) == [None]


def test_finish_waits_for_a_far_end_that_reads_slowly() -> None:
    wire = OurWire()
    size = 2 * STREAM_WINDOW
    wire.dialer.pause()
    wire.listener.write(bytes(size))
    wire.listener.finish(wire.now)
    wire.wait(10 * LINGER)
    assert not wire.listener.is_over
    wire.dialer.resume()
    wire.wait(5.0)
    assert len(payload(wire.happened[wire.dialer])) == size
    assert wire.happened[wire.dialer][-1] == Ended()


@pytest.mark.parametrize("finisher", ["dialer", "listener"])
def test_finish_does_not_wait_for_ever_for_a_far_end_that_does_not_close(finisher: str) -> None:
    wire = OurWire()
    end = wire.dialer if finisher == "dialer" else wire.listener
    end.write(b"bye")
    end.finish(wire.now)
    wire.wait(LINGER - 1.0)
    assert not end.is_over
    wire.wait(2.0)
    assert end.is_over
    assert problems(wire.happened[end]) == [None]


def test_finish_takes_what_a_pause_held_back() -> None:
    wire = OurWire()
    wire.listener.pause()
    wire.dialer.write(bytes(2 * STREAM_WINDOW))
    wire.dialer.finish(wire.now)
    wire.wait(1.0)
    wire.listener.finish(wire.now)
    wire.wait(1.0)
    assert wire.dialer.is_over, "nothing is left that it would wait for"


# Time


def test_a_dialer_gives_up_when_nobody_answers() -> None:
    wire = Wire(StreamConnection.dial("us", "them", 0.0), lambda _first: Silence())
    wire.wait(HANDSHAKE_TIMEOUT - 0.1)
    assert wire.happened[wire.dialer] == []
    wire.wait(5.0)
    assert problems(wire.happened[wire.dialer]) == ["no answer to the handshake in 15 s"]


def test_a_listener_gives_up_when_the_stream_does_not_begin() -> None:
    dialer = strange_dialer()
    dialer.quic.connect(SOMEWHERE, 0.0)
    wire = Wire(dialer, accept)
    wire.wait(HANDSHAKE_TIMEOUT + 5.0)
    assert problems(wire.happened[wire.listener]) == ["no answer to the handshake in 15 s"]


def test_the_dialer_keeps_an_idle_stream_alive() -> None:
    wire = OurWire()
    before = sum(map(len, wire.sizes.values()))
    wire.wait(600.0)
    assert wire.happened == {wire.dialer: [Opened()], wire.listener: [Opened()]}
    datagrams = sum(map(len, wire.sizes.values())) - before
    assert 600 / 15 <= datagrams < 6 * 600 / 15


def test_a_far_end_that_vanishes_is_missed_after_half_a_minute() -> None:
    wire = OurWire()
    wire.wait(1.0)
    wire.cut = True
    wire.wait(50.0)
    for end in wire.ends:
        (problem,) = problems(wire.happened[end])
        assert problem is not None
        assert "Idle timeout" in problem


def test_the_keep_alive_of_a_connection_that_has_just_ended_does_no_harm() -> None:
    """It comes due while the connection is drained, or, if paused, after that."""
    wire = OurWire()
    wire.wait(14.999)
    wire.listener.close(0, "normal close")
    wire.wait(20.0)
    assert problems(wire.happened[wire.dialer]) == [None]


# Hostile bytes


def test_garbage_between_good_datagrams_is_ignored() -> None:
    wire = OurWire()
    rng = random.Random(1)
    for size in (0, 1, 20, 1200, 16_384):
        for end in (wire.dialer, wire.listener):
            end.receive([rng.randbytes(size)], wire.now)
    wire.dialer.write(b"still here")
    wire.wait(1.0)
    assert wire.happened[wire.listener] == [Opened(), Received(b"still here")]


def with_key_share_of(group: bytes) -> Callable[[bytes], bytes]:
    """Make the key share of a group in a hello nonsense."""

    def twist(hello: bytes) -> bytes:
        start = hello.index(group, hello.index(b"\0\x33"))
        size = int.from_bytes(hello[start + 2 : start + 4], "big")
        return hello[: start + 4] + b"\xff" * size + hello[start + 4 + size :]

    return twist


TWISTS: dict[str, Callable[[bytes], bytes]] = {
    "noise": lambda hello: hello[:4] + b"\xff" * (len(hello) - 4),
    "a wrong length": lambda hello: hello[:38] + b"\xff" + hello[39:],
    "a key that is none": with_key_share_of(b"\x11\xec"),
    "a protocol that is not ASCII": lambda hello: hello.replace(b"netceptor", b"\xff" * 9),
    "another protocol": lambda hello: hello.replace(b"netceptor", b"elsewhere"),
}


@pytest.mark.parametrize("twist", TWISTS.values(), ids=TWISTS.keys())
def test_a_garbled_hello_ends_its_connection(twist: Callable[[bytes], bytes]) -> None:
    """Of most of these qh3's TLS part makes exceptions of various classes, of one a panic."""
    dialer = strange_dialer(Twisted)
    assert isinstance(dialer.quic, Twisted)
    dialer.quic.twist = twist
    dialer.quic.connect(SOMEWHERE, 0.0)
    wire = Wire(dialer, accept)
    wire.wait(HANDSHAKE_TIMEOUT + 5.0)
    (problem,) = problems(wire.happened[wire.listener])
    assert problem
    assert our_listener(wire).is_over


def test_a_garbled_certificate_ends_its_connection() -> None:
    def garbled(first: bytes) -> Stranger:
        listener = strange_listener(first, credentials(), Twisted)
        assert isinstance(listener.quic, Twisted)
        listener.quic.twist = lambda data: data.replace(b"\x30\x82", b"\x30\x83")
        return listener

    wire = Wire(StreamConnection.dial("us", "them", 0.0), garbled)
    wire.wait(HANDSHAKE_TIMEOUT + 5.0)
    (problem,) = problems(wire.happened[wire.dialer])
    assert problem
