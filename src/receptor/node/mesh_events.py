"""What the core tells of the mesh, as events for those who follow them."""

from __future__ import annotations

from receptor.events import Events, LinkEvent, NodeEvent, ServiceEvent, now_text
from receptor.netceptor.effects import LinkDown, LinkUp, RoutesChanged, ServiceChanged
from receptor.netceptor.messages import go_number


class MeshEvents:
    """Tells of links, nodes and services. Of nodes those that come into reach or go out of it, not each new way."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._routes: dict[str, str] = {}

    def link_changed(self, effect: LinkUp | LinkDown) -> None:
        """A link has begun or ended."""
        if self._events.are_followed:
            event = LinkEvent(
                now_text(),
                "link.up" if isinstance(effect, LinkUp) else "link.down",
                effect.node,
                go_number(effect.cost),
            )
            self._events.publish(event)

    def service_changed(self, effect: ServiceChanged) -> None:
        """A service has come or gone."""
        if self._events.are_followed:
            event = ServiceEvent(
                now_text(), "service.added" if effect.is_there else "service.removed", effect.node, effect.service
            )
            self._events.publish(event)

    def routes_changed(self, effect: RoutesChanged) -> None:
        """The table of next hops is another."""
        former, self._routes = self._routes, effect.routes
        if not self._events.are_followed:
            return
        now = now_text()
        for node in sorted(former.keys() - effect.routes.keys()):
            self._events.publish(NodeEvent(now, "node.unreachable", node, former[node]))
        for node in sorted(effect.routes.keys() - former.keys()):
            self._events.publish(NodeEvent(now, "node.reachable", node, effect.routes[node]))
