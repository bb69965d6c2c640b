"""A dialer's part of the TLS handshake at a listener that asks for a certificate, with anything in it."""

from __future__ import annotations

from dataclasses import dataclass

from fuzz.damage import Edit, edited, edits, noise
from fuzz.fuzzing import target
from hypothesis import strategies as st
from played_handshakes import Message, certificate, finished, playing_dialer, proof, raw
from qh3 import tls
from quic_bench import Wire, accept
from shown_certificates import TrustInCa, key_of_kind, listener, shown_by

from receptor.netceptor.quic import StreamConnection
from receptor.netceptor.stream_events import Broken, Opened

LONGEST_HANDSHAKE = 40.0
LONGEST_MESSAGE = 2_700
"""Bytes; of six such qh3 can send all."""

MESSAGES: dict[str, Message] = {
    "certificate": certificate(shown_by("us").certificate),
    "chain": certificate(shown_by("us", padding=500, chain=3).certificate),
    "no certificate": certificate(b""),
    "certificate of another": certificate(shown_by("them").certificate),
    "proof": proof(key_of_kind("P-256")),
    "proof of another": proof(key_of_kind("P-256", 1)),
    "finished": finished,
}
RULES = [["certificate", "proof", "finished"], ["chain", "proof", "finished"]]
"""What gets in."""


@dataclass(frozen=True)
class Step:
    """A message by its name, or noise, and damage to it."""

    name: str
    damage: list[Edit]
    noise: bytes


names = st.sampled_from([*MESSAGES, "noise"])
good_steps = st.sampled_from(RULES).flatmap(
    lambda rule: st.tuples(*[st.builds(Step, st.just(name), st.just([]) | edits, st.just(b"")) for name in rule])
)
steps = good_steps.map(list) | st.lists(st.builds(Step, names, st.just([]) | edits, noise), max_size=6)


@target("quic-handshakes", 100, steps)
def quic_handshakes_target(script: list[Step]) -> None:
    """Only a certificate, the proof of its key and Finished, in this order, get a dialer in; all else ends."""
    intact: list[bool] = []

    def played(step: Step) -> Message:
        def write(player: tls.Context) -> bytes:
            good = MESSAGES.get(step.name, raw(step.noise))(player)
            message = edited(good, step.damage)[:LONGEST_MESSAGE]
            intact.append(message == good)
            return message

        return write

    check = TrustInCa()
    security = listener(shown_by("them"), check)
    wire = Wire(playing_dialer(*map(played, script)), lambda first: accept(first, security, "us"))
    assert isinstance(wire.listener, StreamConnection)
    wire.wait(1.0)
    got_in = Opened() in wire.happened[wire.listener]
    sent = [step.name for step in script]
    if got_in:
        assert sent in RULES
        assert all(intact[1:])
        assert check.asked in ([(1, "us")], [(4, "us")])
    else:
        assert not (sent in RULES and all(intact))
        wire.wait(LONGEST_HANDSHAKE)
        assert [type(event) for event in wire.happened[wire.listener]] == [Broken]
        assert wire.listener.deadline() is None
