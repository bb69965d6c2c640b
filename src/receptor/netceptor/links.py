"""One link: a session with a neighbour, from its set-up to its end (mesh protocol, section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from receptor.errors import PeerError
from receptor.netceptor.messages import RoutingUpdate
from receptor.netceptor.pace import UPDATE_INTERVAL

SETUP_INTERVAL = 1.0
SETUP_ATTEMPTS = 10


class LinkTerms(msgspec.Struct, frozen=True):
    """What the backend that a session belongs to says about its links."""

    cost: float = 1.0
    node_cost: Mapping[str, float] = msgspec.field(default_factory=dict)
    allowed_peers: frozenset[str] | None = None

    def cost_of(self, node: str) -> float:
        """The cost of a link with that node."""
        return self.node_cost.get(node, self.cost)


class LinkRefused(PeerError):
    """The link must end, and the other side be told so by a reject packet."""


class Comparison(msgspec.Struct):
    """How what the neighbour knows compares with what we know; see ``agreement.py``."""

    differs_since: float | None = None
    """None while it is the same, as far as we know, or the difference was told."""
    told: int = 0
    """The difference when the neighbour was told all that we know."""
    told_at: float = float("-inf")
    pause: float = UPDATE_INTERVAL
    """Seconds after which that difference is told again."""
    is_due: bool = False
    """Whether the neighbour is to be greeted out of turn."""


class Link:
    """The state of a session: waiting for the first routing update, then established with a named neighbour."""

    def __init__(self, session: int, terms: LinkTerms, now: float) -> None:
        self.session = session
        self.terms = terms
        self.last_received = now
        self.setup_attempts = 0
        self.neighbour: str | None = None
        self.cost = terms.cost
        self.is_ours = False
        """Whether the neighbour itself has said, on this link, that it does without frequent repetitions."""
        self.comparison = Comparison()
        self._listed_us = False

    def check_newcomer(self, update: RoutingUpdate, own_id: str, neighbours: Mapping[str, Link]) -> str:
        """The neighbour that a first routing update names. Raises LinkRefused if we don't want it."""
        node = update.forwarding_node
        if node == own_id:
            raise LinkRefused(f"it uses our own node id {own_id}; node ids must be unique in the mesh")
        if not node:
            raise LinkRefused("its first routing update does not name its node")
        if self.terms.allowed_peers is not None and node not in self.terms.allowed_peers:
            raise LinkRefused(f"{node} is not in the allowedpeers of this backend")
        if node in neighbours:
            raise LinkRefused(f"there is a link with {node} already")
        return node

    def establish(self, node: str) -> None:
        """The newcomer was accepted."""
        self.neighbour = node
        self.cost = self.terms.cost_of(node)

    def check_update(self, update: RoutingUpdate, own_id: str) -> bool:
        """Whether an update on an established link is to be processed; a late set-up message is not.

        Raises LinkRefused if the neighbour contradicts itself or us.
        """
        if update.forwarding_node != self.neighbour:
            raise LinkRefused(f"its node id changed from {self.neighbour} to {update.forwarding_node}")
        if update.node_id != self.neighbour:
            return True
        if own_id not in update.connections:
            if self._listed_us:
                raise LinkRefused(f"{self.neighbour} no longer lists us as a neighbour")
            return False
        self._listed_us = True
        if update.connections[own_id] != self.cost:
            raise LinkRefused(
                f"{self.neighbour} gives this link the cost {update.connections[own_id]:g}, we {self.cost:g};"
                " both ends must be configured alike"
            )
        return True
