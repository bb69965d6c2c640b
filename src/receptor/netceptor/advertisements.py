"""The table of services that nodes of the mesh offer (mesh protocol, section 5)."""

from __future__ import annotations

from dataclasses import dataclass

from receptor.netceptor.messages import Advertisement

MOST_SERVICES_OF_A_NODE = 1_000


@dataclass(frozen=True, slots=True)
class _Entry:
    advertisement: Advertisement
    heard_at: float


class Advertisements:
    """The newest advertisement of each service of each other node, and those of this node."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self._others: dict[str, dict[str, _Entry]] = {}
        self._own: dict[str, Advertisement] = {}

    def receive(self, advertisement: Advertisement, now: float) -> bool:
        """Take in what another node advertises; True if it is news, to be passed on.

        Nobody else speaks for our own services. What isn't kept isn't passed on, and the end of a service is kept
        like its beginning: else it would be news each time that it comes round a loop of links, without end.
        """
        if advertisement.node_id == self.node_id:
            return False
        services = self._others.setdefault(advertisement.node_id, {})
        known = services.get(advertisement.service)
        if known is None and len(services) >= MOST_SERVICES_OF_A_NODE:
            return False
        if known is not None and advertisement.nanoseconds <= known.advertisement.nanoseconds:
            return False
        services[advertisement.service] = _Entry(advertisement, now)
        return True

    def offer(self, advertisement: Advertisement) -> None:
        """Record a service of this node, or its newer advertisement."""
        self._own[advertisement.service] = advertisement

    def withdraw(self, service: str) -> Advertisement | None:
        """Forget a service of this node; what was advertised of it, if anything was."""
        return self._own.pop(service, None)

    @property
    def own(self) -> tuple[Advertisement, ...]:
        """The services of this node."""
        return tuple(self._own.values())

    def everything(self) -> tuple[Advertisement, ...]:
        """The services of all nodes, ours first."""
        others = (entry.advertisement for services in self._others.values() for entry in services.values())
        return (*self._own.values(), *(advertisement for advertisement in others if not advertisement.cancel))

    def forget_stale(self, heard_before: float) -> None:
        """Drop what was last heard of before that time: its node has gone, or no longer knows of the service."""
        for node, services in list(self._others.items()):
            fresh = {name: entry for name, entry in services.items() if entry.heard_at > heard_before}
            if fresh:
                self._others[node] = fresh
            else:
                del self._others[node]
