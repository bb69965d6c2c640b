"""Networks joined over the mesh: packets that the system routes to an interface go to the node that has their goal.

Like existing nodes it trusts those that take part in what networks they say they have, but never with all there are.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from receptor.config.kinds import Network
from receptor.config.service_actions import IpRouter
from receptor.errors import OperatingError, UnreachableError
from receptor.netceptor.messages import DATAGRAM_SERVICE, Advertisement
from receptor.netceptor.packets import MESH_MTU, Address
from receptor.node.datagrams import DatagramService
from receptor.node.mesh_node import MeshNode
from receptor.node.seldom import Seldom
from receptor.services.tun import Tun

LOOK_INTERVAL = 10.0
"""Seconds after which it is looked again which networks other nodes have."""

MOST_ROUTES = 1_000
"""Routes to other nodes; who advertises more is heard no further."""

MOST_WAYS = 10_000
"""Addresses of which it is remembered which node has them."""

AT_A_TIME = 64
"""Packets that are taken before others have their turn."""

TYPE = "IP Router"
_ROUTE_TAG = re.compile(r"route.*")

logger = logging.getLogger("receptor.services")


class IpRouterPart:
    """An ``ip-router``."""

    def __init__(self, action: IpRouter, mesh: MeshNode) -> None:
        self._action = action
        self._mesh = mesh
        self._name = f"ip-router {action.network}"
        self._tun: Tun | None = None
        self._datagrams: DatagramService | None = None
        self._known: dict[Network, str] = {}
        self._nodes: set[str] = set()
        self._ways: dict[IPv4Address | IPv6Address, str | None] = {}
        """The node for an address, as far as it was looked for."""
        self._installed: set[Network] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._dropped = Seldom(logger)
        self._failed = Seldom(logger)

    async def start(self) -> None:
        """Make the interface and advertise what is here. Raises OperatingError if that is not possible."""
        action = self._action
        _, own, peer, _ = action.local_network
        try:
            self._tun = Tun(action.interface, own, peer)
        except OSError as error:
            raise OperatingError(
                f"{self._name}: the network interface can't be made: {error.strerror or error};"
                " it takes /dev/net/tun and root's rights (CAP_NET_ADMIN)"
            ) from None
        try:
            self._datagrams = self._mesh.open_datagrams(self._from_mesh, action.network)
        except ValueError:
            raise OperatingError(
                f"this node has a service {action.network} already; give one of them another name"
            ) from None
        asyncio.get_running_loop().add_reader(self._tun.descriptor, self._from_system)
        self._mesh.advertise(action.network, _tags(action), connection_type=DATAGRAM_SERVICE)
        logger.info("%s: the interface is %s, with the address %s", self._name, self._tun.name, own)
        self._look()

    async def stop(self) -> None:
        """Withdraw it. The interface vanishes, and with it the routes."""
        if self._timer is not None:
            self._timer.cancel()
        if self._datagrams is not None:
            self._mesh.withdraw(self._action.network)
            self._datagrams.close()
            self._datagrams = None
        if self._tun is not None:
            asyncio.get_running_loop().remove_reader(self._tun.descriptor)
            self._tun.close()
            self._tun = None

    def _look(self) -> None:
        """Take the routes from what other nodes advertise now."""
        assert self._tun is not None
        self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL, self._look)
        own = {self._action.local_network, *self._action.routes}
        mesh = self._mesh.core.mesh
        offers = [one for one in mesh.advertisements.everything() if self._is_ours(one)]
        known: dict[Network, str] = {}
        for offer in sorted(offers, key=lambda offer: (offer.node_id, offer.service)):
            if offer.node_id in mesh.topology.routes:
                for network in _networks(offer):
                    if network not in own and len(known) < MOST_ROUTES:
                        known.setdefault(network, offer.node_id)
        self._known, self._nodes, self._ways = known, set(known.values()), {}
        wanted = known.keys()
        for network in self._installed - wanted:
            self._tun.remove_route(network)
        for network in wanted - self._installed:
            self._install(self._tun, network)
        self._installed &= wanted

    def _is_ours(self, one: Advertisement) -> bool:
        tags = one.tags or {}
        is_alike = tags.get("type") == TYPE and tags.get("network") == self._action.network
        return is_alike and one.node_id != self._mesh.node_id and not one.cancel

    def _install(self, tun: Tun, network: Network) -> None:
        try:
            tun.add_route(network)
        except OSError as error:
            self._failed.say(f"{self._name}: no route to {network}, which {self._known[network]} has: {error.strerror}")
        else:
            self._installed.add(network)

    def _from_system(self) -> None:
        assert self._tun is not None
        for _ in range(AT_A_TIME):
            try:
                packet = self._tun.read()
            except BlockingIOError:
                return
            self._forward(packet)

    def _forward(self, packet: bytes) -> None:
        destination = _destination(packet)
        node = self._node_for(destination) if destination else None
        if node is None or self._datagrams is None:
            return
        if len(packet) > MESH_MTU:
            self._dropped.say(f"{self._name}: dropped a packet of {len(packet)} bytes; the mesh carries {MESH_MTU}")
            return
        try:
            self._datagrams.send(Address(node, self._action.network), packet)
        except UnreachableError as error:
            self._dropped.say(f"{self._name}: dropped a packet: {error}")

    def _node_for(self, destination: IPv4Address | IPv6Address) -> str | None:
        """Who has the smallest network with that address in it."""
        if destination in self._ways:
            return self._ways[destination]
        if len(self._ways) >= MOST_WAYS:
            self._ways.clear()
        fitting = [network for network in self._known if destination in network]
        node = self._known[max(fitting, key=lambda network: network.prefixlen)] if fitting else None
        self._ways[destination] = node
        return node

    def _from_mesh(self, source: Address, packet: bytes) -> None:
        """Take a packet of a node that is in this network, as far as it says who it is."""
        if self._tun is None or source.node not in self._nodes:
            return
        try:
            self._tun.write(packet)
        except OSError as error:
            self._dropped.say(f"{self._name}: the system does not take a packet of {source.node}: {error.strerror}")


def _tags(action: IpRouter) -> dict[str, str]:
    routes = {f"route_{number}": str(network) for number, network in enumerate(action.routes)}
    return {"type": TYPE, "network": action.network, "route_local": str(action.local_network), **routes}


def _networks(advertisement: Advertisement) -> Iterator[Network]:
    """What a node has, as far as it may have it: it gets neither everything nor what never leaves a machine or link."""
    for tag, value in (advertisement.tags or {}).items():
        if not _ROUTE_TAG.fullmatch(tag):
            continue
        try:
            network = ip_network(value, strict=False)
        except ValueError:
            continue
        if network.prefixlen and not (network.is_loopback or network.is_link_local or network.is_multicast):
            yield network


def _destination(packet: bytes) -> IPv4Address | IPv6Address | None:
    match packet[0] >> 4 if packet else 0:
        case 4 if len(packet) >= 20:
            return ip_address(packet[16:20])
        case 6 if len(packet) >= 40:
            return ip_address(packet[24:40])
    return None
