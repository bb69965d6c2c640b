"""Floods of frames that only somebody who breaks or bends QUIC would send: what we hold for them is bounded."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from qh3 import tls
from quic_bench import SOMEWHERE, Wire, accept, strange_dialer

from receptor.netceptor.packets import MESH_MTU
from receptor.netceptor.quic import StreamConnection

FRAMES = 120_000


def number(value: int) -> bytes:
    """A number as QUIC writes it (RFC 9000, section 16), in four bytes."""
    return (value | 2 << 30).to_bytes(4, "big")


def secret_part(secret: bytes, name: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446, section 7.1)."""
    label = b"tls13 " + name
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


class Forger:
    """Writes packets with any frames, under the keys of a dialer (RFC 9001, section 5)."""

    def __init__(self, secret: bytes, destination_id: bytes) -> None:
        self._aead = AESGCM(secret_part(secret, b"quic key", 16))
        self._iv = int.from_bytes(secret_part(secret, b"quic iv", 12), "big")
        self._mask = Cipher(algorithms.AES(secret_part(secret, b"quic hp", 16)), modes.ECB()).encryptor()
        self._destination_id = destination_id
        self._count = 1000

    def packet(self, frames: bytes) -> bytes:
        self._count += 1
        header = bytearray(b"\x43" + self._destination_id + self._count.to_bytes(4, "big"))
        sealed = self._aead.encrypt(
            (self._iv ^ self._count).to_bytes(12, "big"), frames.ljust(20, b"\0"), bytes(header)
        )
        mask = self._mask.update(sealed[:16])
        header[0] ^= mask[0] & 0x1F
        for position in range(4):
            header[position - 4] ^= mask[position + 1]
        return bytes(header) + sealed


def dialled() -> tuple[Wire, StreamConnection, Forger]:
    """A stream that is open, our end of it, and a forger at the other."""
    dialer, log = strange_dialer(), io.StringIO()
    dialer.quic.configuration.secrets_log_file = log
    dialer.quic.configuration.cipher_suites = [tls.CipherSuite.AES_128_GCM_SHA256]
    dialer.quic.connect(SOMEWHERE, 0.0)
    dialer.quic.send_stream_data(0, b"\0")
    wire = Wire(dialer, accept)
    wire.wait(1.0)
    assert isinstance(wire.listener, StreamConnection)
    (secret,) = [line.split()[2] for line in log.getvalue().splitlines() if line.startswith("CLIENT_TRAFFIC_SECRET_0")]
    return wire, wire.listener, Forger(bytes.fromhex(secret), wire.listener._quic.host_cid)


def resident() -> int:
    """Memory of this process, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


FLOODS: dict[str, Callable[[int], bytes]] = {
    "handshake messages with gaps": lambda n: b"\x06" + number(10 + n * 100) + number(50) + bytes(50),
    "a handshake message without end": lambda n: (
        b"\x06" + number(n * 50) + number(50) + (bytes(50) if n else b"\x0b\xff\xff\xff" + bytes(46))
    ),
    "new connection ids": lambda n: b"\x18" + number(n + 1) + b"\0\x08" + n.to_bytes(24, "big"),
    "new connection ids that retire those before": lambda n: (
        b"\x18" + number(n + 1) + number(n + 1) + b"\x08" + n.to_bytes(24, "big")
    ),
    "retired connection ids": lambda n: b"\x19" + number(n),
    "path challenges": lambda n: b"\x1a" + n.to_bytes(8, "big"),
    "new streams": lambda n: b"\x0a" + number(4 * n) + b"\x01x",
    "new one-way streams": lambda n: b"\x0a" + number(4 * n + 2) + b"\x01x",
    "data with gaps": lambda n: b"\x0e\0" + number(2 + n * 2) + b"\x01x",
    "complaints of a full window": lambda n: b"\x14" + number(n),
    "larger windows": lambda n: b"\x10" + number(2**29 + n),
    "datagrams": lambda _: b"\x31\x40\x64" + bytes(100),
    "tokens": lambda _: b"\x07\x10" + bytes(16),
    "pings": lambda _: b"\x01",
}


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads memory as Linux shows it")
@pytest.mark.parametrize("paused", [False, True], ids=["taken", "paused"])
@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_of_frames_takes_bounded_memory(frame: Callable[[int], bytes], paused: bool) -> None:
    wire, ours, forger = dialled()
    if paused:
        ours.pause()
    before, count = resident(), 0
    while count < FRAMES and not ours.problem:
        frames = b""
        while len(frames) < MESH_MTU - 200:
            frames += frame(count)
            count += 1
        wire.now += 0.0001
        ours.receive([forger.packet(frames)], wire.now)
        ours.events(wire.now)
        ours.datagrams(wire.now)
    assert resident() - before < 30 * 2**20


def test_a_far_end_that_sends_on_and_on_to_a_paused_stream_loses_it() -> None:
    wire, ours, forger = dialled()
    ours.pause()
    for _ in range(2000):
        ours.receive([forger.packet(b"\x01" * 15_000)], wire.now)
    assert ours.problem == "the far end broke the QUIC protocol: it sends on and on although it is held back"


def test_a_far_end_that_has_us_answer_without_end_loses_its_stream() -> None:
    wire, ours, forger = dialled()
    for _ in range(100):
        ours.receive([forger.packet(FLOODS["path challenges"](1) * 1000)], wire.now)
        ours.datagrams(wire.now)
    assert ours.problem == (
        "the far end broke the QUIC protocol: it makes us answer without end and acknowledges nothing"
    )
