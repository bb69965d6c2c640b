"""What is sent over streams while a storm passes, and whether it arrives."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from simulation import Simulation

from receptor.netceptor.effects import Effect, StreamClosed, StreamData, StreamEnded, StreamOpened
from receptor.netceptor.packets import Address

SINK = "sink"
"""The service that takes everything."""

CHUNK = 100_000


@dataclass
class Transfer:
    """A stream, what is written on it, and what has arrived."""

    dialer: str
    listener: str
    number: int
    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    opened: bool = False
    complete: bool = False
    broken: bool = False


class Transfers:
    """All of them. A stream may break for many reasons; but what it delivers is what was sent."""

    def __init__(self, simulation: Simulation, rng: random.Random) -> None:
        self._simulation = simulation
        self._rng = rng
        self._all: list[Transfer] = []
        self._dialled: dict[tuple[str, int], Transfer] = {}
        self._accepted: dict[tuple[str, int], Transfer] = {}
        self._by_address: dict[Address, Transfer] = {}

    def begin(self, dialer: str, listener: str) -> None:
        """A node dials the sink of another."""
        number = self._simulation.nodes[dialer].streams.dial(listener, SINK, self._simulation.now)
        transfer = Transfer(dialer, listener, number)
        self._all.append(transfer)
        self._dialled[dialer, number] = transfer
        self._simulation.settle(dialer)

    def go_on(self) -> None:
        """Some nodes send more."""
        for transfer in self._all:
            if self._rng.random() < 0.2 and transfer.opened and not transfer.broken:
                data = self._rng.randbytes(self._rng.randrange(CHUNK))
                transfer.sent += data
                self._simulation.nodes[transfer.dialer].streams.write(transfer.number, data)
                self._simulation.settle(transfer.dialer)

    def finish(self) -> None:
        """Nobody sends any more."""
        for transfer in self._all:
            if transfer.opened and not transfer.broken:
                self._simulation.nodes[transfer.dialer].streams.finish(transfer.number, self._simulation.now)
                self._simulation.settle(transfer.dialer)

    def break_all_of(self, node: str) -> None:
        """A node is about to die, with its streams."""
        self._collect()
        for transfer in self._all:
            transfer.broken |= node in (transfer.dialer, transfer.listener)
        for known in (self._dialled, self._accepted):
            for key in [key for key in known if key[0] == node]:
                del known[key]

    def check(self) -> None:
        """At every step: what has arrived is what was sent."""
        self._collect()
        for transfer in self._all:
            assert transfer.sent.startswith(transfer.received), "a stream has delivered other bytes than were sent"

    def check_end(self) -> None:
        """In the end every stream has delivered everything or is known to have broken, and has left nothing behind."""
        for transfer in self._all:
            assert transfer.broken or (transfer.complete and transfer.received == transfer.sent), (
                f"stream {transfer.number} from {transfer.dialer} to {transfer.listener} hangs:"
                f" {len(transfer.received)} of {len(transfer.sent)} bytes, complete: {transfer.complete}"
            )
        for name, node in self._simulation.nodes.items():
            assert node.streams.timers.deadline() is None, f"{name} still keeps a stream"

    def _collect(self) -> None:
        """Note what has come of the streams."""
        told = list(self._told())
        for name, effect in told:
            if isinstance(effect, StreamOpened) and (name, effect.stream) in self._dialled:
                transfer = self._dialled[name, effect.stream]
                transfer.opened = True
                self._by_address[effect.local] = transfer
        for name, effect in told:
            match effect:
                case StreamOpened(number, _, remote) if remote in self._by_address:
                    self._accepted[name, number] = self._by_address[remote]
                case StreamData(number, data) if (name, number) in self._accepted:
                    self._accepted[name, number].received += data
                case StreamEnded(number) if (name, number) in self._accepted:
                    self._accepted[name, number].complete = True
                    self._simulation.nodes[name].streams.finish(number, self._simulation.now)
                    self._simulation.settle(name)
                case StreamClosed(number):
                    for known in (self._accepted, self._dialled):
                        if (name, number) in known:
                            known[name, number].broken = True

    def _told(self) -> Iterator[tuple[str, Effect]]:
        """What all nodes have told since the last look."""
        for name, effects in self._simulation.told.items():
            yield from ((name, effect) for effect in effects)
            effects.clear()
