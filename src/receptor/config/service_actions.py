"""The actions that offer services of this machine to the mesh, and services of the mesh to this machine."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

from receptor.config import kinds
from receptor.config.keys import About, Action, written
from receptor.config.kinds import Address, Network

_SERVICE_HELP = "Its name on the mesh."
_REMOTE_NODE_HELP = "The node that has the service."
_REMOTE_SERVICE_HELP = "The service to connect to."


class Service(Action, frozen=True):
    """The base of all that join something of this machine to the mesh."""


class TcpServer(Service, frozen=True):
    """A TCP port that leads to a service of the mesh."""

    about = About(
        "tcp-server",
        "Listens on a TCP port and passes each connection on to a service of the mesh.",
        "- tcp-server:\n    port: 8443\n    bindaddr: 127.0.0.1\n    remotenode: foo\n    remoteservice: web",
    )

    port: Annotated[int, written("port", kinds.PORT, "Port to listen on; 0 takes any free one.")]
    remote_node: Annotated[str, written("remotenode", kinds.NAME, _REMOTE_NODE_HELP)]
    remote_service: Annotated[str, written("remoteservice", kinds.SERVICE_NAME, _REMOTE_SERVICE_HELP)]
    bind_address: Annotated[str, written("bindaddr", kinds.HOST, "Address of this machine to listen on.")] = "0.0.0.0"
    tls_server: Annotated[
        str, written("tlsserver", kinds.TEXT, "The tls-server for the TCP port.", default="no TLS")
    ] = ""
    tls_client: Annotated[str, written("tlsclient", kinds.TEXT, "The tls-client for the mesh.", default="no TLS")] = ""


class TcpClient(Service, frozen=True):
    """A service of the mesh that leads to a TCP address."""

    about = About(
        "tcp-client",
        "Offers a service on the mesh that connects to a TCP address.",
        "- tcp-client:\n    service: web\n    address: localhost:443",
    )

    service: Annotated[str, written("service", kinds.SERVICE_NAME, _SERVICE_HELP)]
    address: Annotated[Address, written("address", kinds.ADDRESS, "Where to connect to.")]
    tls_server: Annotated[str, written("tlsserver", kinds.TEXT, "The tls-server for the mesh.", default="no TLS")] = ""
    tls_client: Annotated[
        str, written("tlsclient", kinds.TEXT, "The tls-client for the address.", default="no TLS")
    ] = ""


class UdpServer(Service, frozen=True):
    """A UDP port that leads to a service of the mesh."""

    about = About(
        "udp-server",
        "Listens on a UDP port and passes datagrams on to a service of the mesh.",
        "- udp-server:\n    port: 5353\n    bindaddr: 127.0.0.1\n    remotenode: foo\n    remoteservice: dns",
    )

    port: Annotated[int, written("port", kinds.PORT, "Port to listen on; 0 takes any free one.")]
    remote_node: Annotated[str, written("remotenode", kinds.NAME, _REMOTE_NODE_HELP)]
    remote_service: Annotated[str, written("remoteservice", kinds.SERVICE_NAME, _REMOTE_SERVICE_HELP)]
    bind_address: Annotated[str, written("bindaddr", kinds.HOST, "Address of this machine to listen on.")] = "0.0.0.0"


class UdpClient(Service, frozen=True):
    """A service of the mesh that leads to a UDP address."""

    about = About(
        "udp-client",
        "Offers a service on the mesh that sends datagrams to a UDP address.",
        "- udp-client:\n    service: dns\n    address: 127.0.0.1:53",
    )

    service: Annotated[str, written("service", kinds.SERVICE_NAME, _SERVICE_HELP)]
    address: Annotated[Address, written("address", kinds.ADDRESS, "Where to send the datagrams.")]


class UnixSocketServer(Service, frozen=True):
    """A Unix socket that leads to a service of the mesh."""

    about = About(
        "unix-socket-server",
        "Listens on a Unix socket and passes each connection on to a service of the mesh.",
        "- unix-socket-server:\n    filename: /tmp/docker.sock\n    remotenode: foo\n    remoteservice: docker",
    )

    filename: Annotated[Path, written("filename", kinds.PATH, "The socket; one that is there is replaced.")]
    remote_node: Annotated[str, written("remotenode", kinds.NAME, _REMOTE_NODE_HELP)]
    remote_service: Annotated[str, written("remoteservice", kinds.SERVICE_NAME, _REMOTE_SERVICE_HELP)]
    permissions: Annotated[int, written("permissions", kinds.PERMISSIONS, "Who may use it.")] = 0o600
    tls: Annotated[str, written("tls", kinds.TEXT, "The tls-client for the mesh.", default="no TLS")] = ""


class UnixSocketClient(Service, frozen=True):
    """A service of the mesh that leads to a Unix socket."""

    about = About(
        "unix-socket-client",
        "Offers a service on the mesh that connects to a Unix socket.",
        "- unix-socket-client:\n    service: docker\n    filename: /var/run/docker.sock",
    )

    service: Annotated[str, written("service", kinds.SERVICE_NAME, _SERVICE_HELP)]
    filename: Annotated[Path, written("filename", kinds.PATH, "The socket to connect to.")]
    tls: Annotated[str, written("tls", kinds.TEXT, "The tls-server for the mesh.", default="no TLS")] = ""


class CommandService(Service, frozen=True):
    """A service of the mesh that runs a command on a terminal for each connection."""

    about = About(
        "command-service",
        "Offers a service on the mesh that runs a command on a terminal, one for each connection.",
        "- command-service:\n    service: shell\n    command: bash --norc -i",
    )

    service: Annotated[str, written("service", kinds.SERVICE_NAME, _SERVICE_HELP)]
    command: Annotated[
        str, written("command", kinds.COMMAND, "The program and its arguments, split into words as a shell does.")
    ]
    tls: Annotated[str, written("tls", kinds.TEXT, "The tls-server for the mesh.", default="no TLS")] = ""


class IpRouter(Service, frozen=True):
    """A network interface whose packets travel over the mesh."""

    about = About(
        "ip-router",
        "Joins networks over the mesh by a tun interface (Linux, as root).",
        "- ip-router:\n    networkname: vpn\n    localnet: 10.99.0.0/30\n    routes: 192.0.2.0/24",
    )

    network: Annotated[str, written("networkname", kinds.SERVICE_NAME, "Its name, alike on all nodes of it.")]
    local_network: Annotated[
        IPv4Network, written("localnet", kinds.NETWORK_OF_FOUR, "Of the interface: the second address is its own.")
    ]
    interface: Annotated[str, written("interface", kinds.INTERFACE, "Its name.", default="tun0 or the like")] = ""
    routes: Annotated[
        tuple[Network, ...],
        written("routes", kinds.LISTED_NETWORKS, "Networks that this node reaches.", default="none"),
    ] = ()
