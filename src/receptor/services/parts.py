"""Services by what the configuration says of them."""

from __future__ import annotations

from typing import Protocol

from receptor.config.service_actions import (
    CommandService,
    IpRouter,
    Service,
    TcpClient,
    TcpServer,
    UdpClient,
    UdpServer,
    UnixSocketClient,
    UnixSocketServer,
)
from receptor.node.mesh_node import MeshNode
from receptor.services.command_service import CommandServicePart
from receptor.services.inbound import TcpServerPart, UnixSocketServerPart
from receptor.services.ip_router import IpRouterPart
from receptor.services.outbound import tcp_client, unix_socket_client
from receptor.services.udp_proxy import UdpClientPart, UdpServerPart
from receptor.tls.profiles import TlsProfiles


class Part(Protocol):
    """What is started and stopped with the node, or by a reload."""

    async def start(self) -> None:
        """Raises OperatingError if something of this machine is in the way; it can be stopped in any case."""

    async def stop(self) -> None:
        """Accept no more, and end the connections there are."""


def service_part(action: Service, mesh: MeshNode, tls: TlsProfiles) -> Part:
    """The part that does what the action says.

    Raises CommandError if it names a TLS profile that there is not, ConfigurationError if its command can't be read.
    """
    match action:
        case TcpServer():
            return TcpServerPart(action, mesh, tls.server(action.tls_server) if action.tls_server else None)
        case TcpClient():
            return tcp_client(action, mesh, tls.client(action.tls_client) if action.tls_client else None)
        case UnixSocketServer():
            return UnixSocketServerPart(action, mesh)
        case UnixSocketClient():
            return unix_socket_client(action, mesh)
        case UdpServer():
            return UdpServerPart(action, mesh)
        case UdpClient():
            return UdpClientPart(action, mesh)
        case CommandService():
            return CommandServicePart(action, mesh)
        case IpRouter():
            return IpRouterPart(action, mesh)
    raise AssertionError(f"no service: {action}")
