"""What a unit of a run does, which follows from the seed and the number of the unit alone.

This is the command itself, ``python -I -S worker.py LEDGER SEED NUMBER``, and what its judge imports. The command notes
in the file LEDGER/NUMBER each run of it, and whether it got all of its payload. It imports little, to start quickly.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
ENDLESS = 300.0
"""Seconds that a unit lasts which is to be cancelled or released."""
PIECES = 20
_PAYLOAD_SIZES = ((0, 0), (1, 4_000), (4_000, 300_000), (300_000, 5_000_000))
_OUTPUT_SIZES = ((0, 0), (1, 4_000), (4_000, 200_000), (200_000, 2_000_000), (2_000_000, 20_000_000))


class Plan:
    """All that is foretold of a unit."""

    def __init__(self, seed: int, number: int) -> None:
        rng = random.Random(f"{seed}/{number}")
        self.number = number
        self._bytes_seed = f"{seed}/{number}/bytes"
        self.is_local = rng.random() < 0.2
        """Submitted on the node that runs it."""
        self.is_followed = rng.random() < 0.2
        self.order = rng.choices(("", "cancel", "release"), (74, 16, 10))[0]
        self.order_delay = rng.uniform(0, 3)
        """Seconds from the acknowledgement to the order."""
        is_long = rng.random() < 0.6
        self.is_endless = self.order != "" and is_long
        self.is_stubborn = self.is_endless and rng.random() < 0.1
        """Heeds no SIGINT."""
        self.payload_size = rng.randint(*rng.choices(_PAYLOAD_SIZES, (20, 40, 30, 10))[0])
        self.output_size = rng.randint(*rng.choices(_OUTPUT_SIZES, (15, 35, 25, 17, 8))[0])
        self.seconds = rng.choices((0.0, rng.uniform(0.1, 1), rng.uniform(1, 8)), (50, 30, 20))[0]
        """How long it takes to write its output."""
        self.code = rng.choices((0, rng.randint(1, 255)), (60, 25))[0]
        self.signal = rng.choice(SIGNALS) if rng.random() < 0.15 else None
        self.child = rng.choices(("", "same session", "own session"), (70, 15, 15))[0]
        """A process in the background that outlives the command, unless the unit is cancelled."""
        self.child_seconds = self.seconds + (ENDLESS if self.is_endless else rng.uniform(0.1, 2))

    def payload(self) -> bytes:
        """What the client sends."""
        return random.Random(self._bytes_seed).randbytes(self.payload_size)

    def output(self, payload: bytes | None = None) -> bytes:
        """What the command writes, given the payload that it got; that which is planned by default."""
        if not self.output_size:
            return b""
        payload = self.payload() if payload is None else payload
        first = f"unit {self.number} got {len(payload)} bytes: {hashlib.sha256(payload).hexdigest()}\n".encode()
        return first + random.Random(self._bytes_seed).randbytes(self.output_size)


def main(ledger: str, seed: int, number: int) -> None:
    plan = Plan(seed, number)
    signal.signal(signal.SIGINT, signal.SIG_IGN if plan.is_stubborn else signal.SIG_DFL)
    with open(os.path.join(ledger, str(number)), "ab", buffering=0) as notes:
        notes.write(b"run %d\n" % os.getpid())
        payload = read_all(0)
        notes.write(b"payload %s\n" % (b"good" if payload == plan.payload() else b"bad"))
    if plan.child:
        leave_behind_child(plan)
    write_slowly(plan.output(payload), plan.seconds)
    if plan.is_endless:
        time.sleep(ENDLESS)
    if plan.signal is not None:
        os.kill(os.getpid(), plan.signal)
    os._exit(plan.code)


def leave_behind_child(plan: Plan) -> None:
    if os.fork() == 0:
        if plan.child == "own session":
            os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        time.sleep(plan.child_seconds)
        os._exit(0)


def read_all(descriptor: int) -> bytes:
    chunks = []
    while chunk := os.read(descriptor, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def write_slowly(output: bytes, seconds: float) -> None:
    step = max(1, -(-len(output) // (PIECES if seconds else 1)))
    for begin in range(0, len(output), step):
        piece = memoryview(output)[begin : begin + step]
        while piece:
            piece = piece[os.write(1, piece) :]
        time.sleep(seconds / PIECES)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
