"""Datagrams between UDP ports and services of the mesh: one data packet for each, none of them sure to arrive."""

from __future__ import annotations

import asyncio
import logging
import resource

from receptor.config.service_actions import UdpClient, UdpServer
from receptor.errors import OperatingError, UnreachableError
from receptor.identifiers import is_localhost
from receptor.netceptor.messages import DATAGRAM_SERVICE
from receptor.netceptor.packets import MESH_MTU, Address
from receptor.node.datagrams import DatagramService
from receptor.node.mesh_node import MeshNode
from receptor.node.seldom import Seldom
from receptor.services.flows import Flows
from receptor.services.udp_port import UdpAddress, UdpPort, bound, connected

MOST_FLOWS = 1_000
"""Clients of a udp-server, and senders to a udp-client, that are remembered."""

SHARE_OF_DESCRIPTORS = 8
"""The sockets of a udp-client may take the file descriptors of this process divided by this."""

MOST_EARLY = 32
"""Datagrams that may wait for their socket to be made; what comes first is kept."""

logger = logging.getLogger("receptor.services")


class _ToMesh:
    """Sends datagrams that have come by UDP into the mesh."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._too_large = Seldom(logger)
        self._unreachable = Seldom(logger)

    def send(self, datagrams: DatagramService, to: Address, data: bytes) -> None:
        if len(data) > MESH_MTU:
            self._too_large.say(
                f"{self._name}: dropped a datagram of {len(data)} bytes; the mesh carries at most {MESH_MTU}"
            )
            return
        try:
            datagrams.send(to, data)
        except UnreachableError as error:
            self._unreachable.say(f"{self._name}: dropped a datagram: {error}")


class UdpServerPart:
    """A ``udp-server``: each of its clients has a service of its own, so that the far end can tell them apart."""

    def __init__(self, action: UdpServer, mesh: MeshNode) -> None:
        self._action = action
        self._mesh = mesh
        node = mesh.node_id if is_localhost(action.remote_node) else action.remote_node
        self._to = Address(node, action.remote_service)
        self._port: UdpPort | None = None
        self._clients: Flows[UdpAddress, DatagramService] = Flows(
            DatagramService.close, lambda client: client[0], MOST_FLOWS
        )
        self._to_mesh = _ToMesh(f"udp-server {action.bind_address}:{action.port}")

    async def start(self) -> None:
        """Listen. Raises OperatingError if the port can't be had."""
        host, port = self._action.bind_address, self._action.port
        try:
            self._port = UdpPort(await bound(host, port), self._from_client)
        except OSError as error:
            raise OperatingError(
                f"udp-server can't listen on {host}:{port}: {error.strerror or error};"
                " choose another port or bindaddr, or stop what uses it"
            ) from None
        logger.info("udp-server %s:%d leads to %s on %s", host, self.port, self._to.service, self._to.node)

    @property
    def port(self) -> int:
        """The port that is listened on; the chosen one if the configured port is 0."""
        assert self._port is not None
        return self._port.number

    async def stop(self) -> None:
        """Take no more, and forget all clients."""
        self._clients.clear()
        if self._port is not None:
            self._port.close()

    def _from_client(self, client: UdpAddress, data: bytes) -> None:
        datagrams = self._clients.use(client)
        if datagrams is None:
            datagrams = self._mesh.open_datagrams(lambda source, data: self._from_mesh(client, source, data))
            self._clients.add(client, datagrams)
        self._to_mesh.send(datagrams, self._to, data)

    def _from_mesh(self, client: UdpAddress, source: Address, data: bytes) -> None:
        """Pass an answer on. Whoever else has found the service is none of the client's business."""
        if source == self._to and self._port is not None and self._clients.use(client) is not None:
            self._port.send(data, client)


def _most_sockets() -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_FLOWS
    return max(1, min(MOST_FLOWS, descriptors // SHARE_OF_DESCRIPTORS))


class UdpClientPart:
    """A ``udp-client``: each sender in the mesh has a socket of its own, so that the server can tell them apart."""

    def __init__(self, action: UdpClient, mesh: MeshNode) -> None:
        self._action = action
        self._mesh = mesh
        self._datagrams: DatagramService | None = None
        self._senders: Flows[Address, _Sender] = Flows(_Sender.close, lambda source: source.node, _most_sockets())
        self._to_mesh = _ToMesh(f"udp-client {action.service}")
        self._failed = Seldom(logger, level=logging.WARNING)

    async def start(self) -> None:
        """Take datagrams, and advertise that. Raises OperatingError if the service is taken."""
        action = self._action
        try:
            self._datagrams = self._mesh.open_datagrams(self._from_mesh, action.service)
        except ValueError:
            raise OperatingError(
                f"this node has a service {action.service} already; give one of them another name"
            ) from None
        tags = {"type": "UDP Proxy", "address": str(action.address)}
        self._mesh.advertise(action.service, tags, connection_type=DATAGRAM_SERVICE)
        logger.info("udp-client %s offers %s to the mesh", action.service, action.address)

    async def stop(self) -> None:
        """Withdraw the service, and forget all senders."""
        if self._datagrams is not None:
            self._mesh.withdraw(self._action.service)
            self._datagrams.close()
            self._datagrams = None
        self._senders.clear()

    def _from_mesh(self, source: Address, data: bytes) -> None:
        sender = self._senders.use(source)
        if sender is None:
            sender = _Sender()
            self._senders.add(source, sender)
            sender.opening = asyncio.create_task(self._open(source, sender), name=f"open UDP for {source}")
        sender.send(data)

    async def _open(self, source: Address, sender: _Sender) -> None:
        address = self._action.address
        try:
            opened = await connected(*address)
        except OSError as error:
            self._failed.say(
                f"udp-client {self._action.service} can't connect to {address} for {source}:"
                f" {error.strerror or error}; check the address"
            )
            self._senders.forget(source)
        else:
            sender.opened(UdpPort(opened, lambda _, data: self._from_server(source, data)))

    def _from_server(self, source: Address, data: bytes) -> None:
        if self._datagrams is not None and self._senders.use(source) is not None:
            self._to_mesh.send(self._datagrams, source, data)


class _Sender:
    """A socket to the server, and what waits until it is there."""

    def __init__(self) -> None:
        self.opening: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        self._port: UdpPort | None = None

    def send(self, data: bytes) -> None:
        if self._port is not None:
            self._port.send(data)
        elif len(self._early) < MOST_EARLY:
            self._early.append(data)

    def opened(self, port: UdpPort) -> None:
        self._port = port
        for data in self._early:
            port.send(data)
        self._early.clear()

    def close(self) -> None:
        if self.opening is not None:
            self.opening.cancel()
        if self._port is not None:
            self._port.close()
