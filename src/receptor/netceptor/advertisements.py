"""The table of services that nodes of the mesh offer (mesh protocol, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Container
from itertools import chain

import msgspec

from receptor.errors import PeerError
from receptor.netceptor.digests import digest_of_service
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.messages import Advertisement
from receptor.netceptor.pace import LONGEST_REFRESH

RENEWAL = 1.25 * LONGEST_REFRESH
"""Seconds after which a service that was not advertised again, as it should be, makes room for others."""

SERVICE_MEMORY = 2.0 * LONGEST_REFRESH
"""Seconds for which a service of a node that is known is remembered after its last advertisement."""

ROOM_INTERVAL = 1.0
"""Seconds for which the search for room is not repeated."""

_ENTRY_BYTES = 1_000
_ITEM_BYTES = 200


class _Entry(msgspec.Struct, frozen=True):
    advertisement: Advertisement
    heard_at: float
    bytes: int
    digest: int


class Advertisements:
    """The newest advertisement of each service of each other node, and those of this node."""

    def __init__(
        self,
        node_id: str,
        limits: MeshLimits = DEFAULT_LIMITS,
        on_change: Callable[[str, str, bool], None] | None = None,
    ) -> None:
        """``on_change`` is told of each service that is there now, or no longer: its node, its name, and which."""
        self.node_id = node_id
        self.bytes = 0
        self._limits = limits
        self._on_change = on_change or _nobody
        self._full_until = float("-inf")
        self._others: dict[str, dict[str, _Entry]] = {}
        self._own: dict[str, Advertisement] = {}
        self._own_digest = 0
        self._counted: Container[str] = ()
        self._digest = 0
        """Of the services of those nodes."""

    def receive(self, advertisement: Advertisement, now: float) -> bool:
        """Take in what another node advertises; True if it is news, to be passed on.

        Raises PeerError if that were more than this node may remember; what isn't kept isn't passed on. Nobody else
        speaks for our own services. The end of a service is kept like its beginning: else it would be news each time
        that it comes round a loop of links, without end.
        """
        if advertisement.node_id == self.node_id:
            return False
        services = self._others.get(advertisement.node_id, {})
        known = services.get(advertisement.service)
        if known is not None and advertisement.nanoseconds <= known.advertisement.nanoseconds:
            return False
        if known is None and len(services) >= self._limits.services_of_a_node:
            raise PeerError(f"{advertisement.node_id} offers more than {self._limits.services_of_a_node} services")
        entry = _Entry(advertisement, now, _bytes(advertisement), digest_of_service(advertisement))
        if not self._fits(entry, known):
            self._make_room(now)
            if not self._fits(entry, known):
                raise PeerError("there are more services in the mesh than this node may remember")
        self._others.setdefault(advertisement.node_id, {})[advertisement.service] = entry
        was_there = known is not None and not known.advertisement.cancel
        if was_there == advertisement.cancel:
            self._on_change(advertisement.node_id, advertisement.service, not advertisement.cancel)
        self.bytes += entry.bytes - (known.bytes if known is not None else 0)
        self._count(advertisement.node_id, entry.digest ^ (known.digest if known is not None else 0))
        return True

    def offer(self, advertisement: Advertisement) -> None:
        """Record a service of this node, or its newer advertisement."""
        known = self._own.get(advertisement.service)
        self._own[advertisement.service] = advertisement
        self._own_digest ^= digest_of_service(advertisement)
        if known is not None:
            self._own_digest ^= digest_of_service(known)
        else:
            self._on_change(self.node_id, advertisement.service, True)

    def withdraw(self, service: str) -> Advertisement | None:
        """Forget a service of this node; what was advertised of it, if anything was."""
        advertisement = self._own.pop(service, None)
        if advertisement is not None:
            self._own_digest ^= digest_of_service(advertisement)
            self._on_change(self.node_id, service, False)
        return advertisement

    def own_service(self, service: str) -> Advertisement | None:
        """What was last advertised of a service of this node."""
        return self._own.get(service)

    @property
    def own(self) -> tuple[Advertisement, ...]:
        """The services of this node."""
        return tuple(self._own.values())

    def everything(self) -> tuple[Advertisement, ...]:
        """The services of all nodes, ours first."""
        others = (entry.advertisement for services in self._others.values() for entry in services.values())
        return (*self._own.values(), *(advertisement for advertisement in others if not advertisement.cancel))

    def known_of(self, nodes: Container[str]) -> list[Advertisement]:
        """What is known of the services of this node and of these, also of those that have ended."""
        others = (services.values() for node, services in self._others.items() if node in nodes)
        return [*self._own.values(), *(entry.advertisement for entry in chain.from_iterable(others))]

    def digest(self, nodes: Container[str]) -> int:
        """The services of this node and of these, as one number: the same for all who know the same.

        It is counted anew for other nodes only, not for the same ones, which must not change behind our back.
        """
        if nodes is not self._counted:
            self._counted = nodes
            self._digest = 0
            for node, services in self._others.items():
                for entry in services.values():
                    self._count(node, entry.digest)
        return self._digest ^ self._own_digest

    def of(self, node: str) -> tuple[Advertisement, ...]:
        """What is known of another node's services, also of those that have ended."""
        return tuple(entry.advertisement for entry in self._others.get(node, {}).values())

    def forget(self, node: str) -> None:
        """Drop what another node has advertised, so that it may begin anew, with whatever its clock says now."""
        for entry in self._others.pop(node, {}).values():
            self._lose(node, entry)

    def forget_stale(self, heard_before: float, but: Container[str] = ()) -> None:
        """Drop what was last heard of before that time, but not of those nodes.

        The node has gone, or no longer knows of the service.
        """
        for node, services in list(self._others.items()):
            if node in but:
                continue
            for name, entry in list(services.items()):
                if entry.heard_at <= heard_before:
                    del services[name]
                    self._lose(node, entry)
            if not services:
                del self._others[node]

    def _lose(self, node: str, entry: _Entry) -> None:
        self.bytes -= entry.bytes
        self._count(node, entry.digest)
        if not entry.advertisement.cancel:
            self._on_change(node, entry.advertisement.service, False)

    def _count(self, node: str, change: int) -> None:
        if node in self._counted:
            self._digest ^= change

    def _fits(self, entry: _Entry, known: _Entry | None) -> bool:
        if known is not None and entry.bytes <= known.bytes:
            return True
        is_new_node = entry.advertisement.node_id not in self._others
        used = self.bytes - (known.bytes if known is not None else 0)
        return (
            used + entry.bytes <= self._limits.advertised_bytes
            and len(self._others) + is_new_node <= self._limits.nodes
        )

    def _make_room(self, now: float) -> None:
        """Who is known stays known: a flood of invented services shuts out only new ones."""
        if self._full_until <= now:
            self._full_until = now + ROOM_INTERVAL
            self.forget_stale(now - RENEWAL)


def _nobody(_node: str, _service: str, _is_there: bool) -> None:
    pass


def _bytes(advertisement: Advertisement) -> int:
    """About how much memory it takes."""
    texts = [advertisement.node_id, advertisement.service]
    for key, value in (advertisement.tags or {}).items():
        texts += (key, value)
    texts += (command.work_type for command in advertisement.work_commands or ())
    return _ENTRY_BYTES + sum(_ITEM_BYTES + len(text) for text in texts)
