"""Every action that a configuration may hold: one frozen class each, with its keys as people write them.

This is the only list: reading, error messages, ``--help`` and the documentation's tables come from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from receptor.config import kinds
from receptor.config.backend_actions import TcpListener, TcpPeer, UdpListener, UdpPeer, WsListener, WsPeer
from receptor.config.certificate_actions import CertInit, CertMakeReq, CertSignReq
from receptor.config.keys import About, Action, written
from receptor.config.kinds import Address
from receptor.config.kubernetes_action import WorkKubernetes
from receptor.config.protection import AccessRule, Audit, Limits
from receptor.config.service_actions import (
    CommandService,
    IpRouter,
    TcpClient,
    TcpServer,
    UdpClient,
    UdpServer,
    UnixSocketClient,
    UnixSocketServer,
)
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.netceptor.firewall import FirewallRule


class Node(Action, frozen=True):
    """This node; an empty ``id`` stands for the host name only until the whole configuration is made."""

    about = About("node", "Names this node and says where it keeps its data.", "- node:\n    id: foo", once=True)

    id: Annotated[
        str,
        written(
            "id",
            kinds.NODE_ID,
            "The node's name, which no other node of the mesh may have.",
            main=True,
            default="this machine's host name",
        ),
    ] = ""
    data_dir: Annotated[Path, written("datadir", kinds.PATH, "Folder for the units of work.")] = Path("/tmp/receptor")
    max_idle_connection_timeout: Annotated[
        float | None,
        written(
            "maxidleconnectiontimeout",
            kinds.IDLE_TIMEOUT,
            "How long a link may be silent before it is closed.",
            default=format(kinds.SHORTEST_IDLE_TIMEOUT, ".0f") + "s",
        ),
    ] = None
    firewall_rules: Annotated[
        tuple[FirewallRule, ...],
        written(
            "firewallrules",
            kinds.FIREWALL_RULES,
            "Which data packets pass; the first rule that fits decides.",
            default="none",
        ),
    ] = ()
    durability: Annotated[
        str,
        written("durability", kinds.DURABILITY, "What acknowledged work outlives: dead processes, or power cuts too."),
    ] = "process"


class LocalOnly(Action, frozen=True):
    """A node on its own."""

    about = About("local-only", "Lets the node run on its own, without any other node.", "- local-only", once=True)

    local: Annotated[bool, written("local", kinds.BOOLEAN, "Whether it may.", main=True)] = True


class LogLevel(Action, frozen=True):
    """How much is logged: one of ``kinds.LOG_LEVELS``."""

    about = About("log-level", "Says how much the node logs.", "- log-level: info", once=True)

    level: Annotated[str, written("level", kinds.LOG_LEVEL, "The least severe messages to log.", main=True)] = "info"


class Trace(Action, frozen=True):
    """A line in the log for each data packet."""

    about = About(
        "trace",
        "Logs each data packet that the node sends, passes on or takes, whatever its log-level.",
        "- trace",
        once=True,
    )

    enabled: Annotated[bool, written("enabled", kinds.BOOLEAN, "Whether to do so.", main=True)] = True


class ControlService(Action, frozen=True):
    """A service that takes commands; an empty ``service`` keeps it off the mesh."""

    about = About(
        "control-service",
        "Takes the commands of receptorctl, and the work of other nodes.",
        "- control-service:\n    service: control\n    filename: /tmp/foo.sock",
    )

    service: Annotated[
        str, written("service", kinds.SERVICE, "Its name on the mesh; other nodes send work to 'control'.")
    ] = "control"
    filename: Annotated[
        Path | None,
        written("filename", kinds.PATH, "Unix socket for the clients of this machine.", default="no socket"),
    ] = None
    permissions: Annotated[int, written("permissions", kinds.PERMISSIONS, "Who may use that socket.")] = 0o600
    tcp_listen: Annotated[
        Address | None,
        written("tcplisten", kinds.LISTEN_ADDRESS, "TCP address for clients; anybody may connect.", default="no TCP"),
    ] = None
    tls: Annotated[str, written("tls", kinds.TEXT, "The tls-server for its service on the mesh.", default="no TLS")] = (
        ""
    )
    tcp_tls: Annotated[str, written("tcptls", kinds.TEXT, "The tls-server for the TCP address.", default="no TLS")] = ""


class WorkCommand(Action, frozen=True):
    """A work type that runs a command; ``grace`` in seconds."""

    about = About(
        "work-command",
        "Defines a type of work that runs a command.",
        "- work-command:\n    worktype: count\n    command: bash\n"
        '    params: "-c \\"for i in {1..5}; do echo $i; sleep 1; done\\""',
    )

    work_type: Annotated[str, written("worktype", kinds.WORK_TYPE, "The name under which work is submitted.")]
    command: Annotated[str, written("command", kinds.NAME, "The program to run.")]
    params: Annotated[str, written("params", kinds.TEXT, "Its arguments, split into words as a shell does.")] = ""
    allow_runtime_params: Annotated[
        bool, written("allowruntimeparams", kinds.BOOLEAN, "Whether a submitter may add arguments after these.")
    ] = False
    allow_runtime_environment: Annotated[
        bool, written("allowruntimeenv", kinds.BOOLEAN, "Whether a submitter may set variables of its environment.")
    ] = False
    verify_signature: Annotated[
        bool, written("verifysignature", kinds.BOOLEAN, "Whether work from other nodes or over TCP must be signed.")
    ] = False
    grace: Annotated[
        float, written("grace", kinds.DURATION, "Time that a cancelled unit has between SIGINT and SIGTERM.")
    ] = 10.0


class WorkSigning(Action, frozen=True):
    """The key that signs work for other nodes; ``token_expiration`` in seconds."""

    about = About(
        "work-signing",
        "Signs the work that is submitted for other nodes with --signwork.",
        "- work-signing:\n    privatekey: /etc/receptor/signworkprivate.pem\n    tokenexpiration: 30m",
        once=True,
    )

    private_key: Annotated[
        Path, written("privatekey", kinds.PATH, "RSA private key, a PEM file (PKCS#1 or PKCS#8).", main=True)
    ]
    token_expiration: Annotated[float, written("tokenexpiration", kinds.DURATION, "How long a signature is valid.")] = (
        300.0
    )


class WorkVerification(Action, frozen=True):
    """The key that signatures of work from other nodes are checked with."""

    about = About(
        "work-verification",
        "Checks the signatures of work that needs one (verifysignature).",
        "- work-verification:\n    publickey: /etc/receptor/signworkpublic.pem",
        once=True,
    )

    public_key: Annotated[Path, written("publickey", kinds.PATH, "RSA public key, a PEM file (PKIX).", main=True)]
    accept_unbound: Annotated[
        bool, written("acceptunbound", kinds.BOOLEAN, "Whether a signature may fit any command, as older nodes' do.")
    ] = True


GROUPS: dict[str, tuple[type[Action], ...]] = {
    "The node": (Node, LocalOnly, LogLevel, Trace),
    "Links with other nodes": (TcpListener, TcpPeer, UdpListener, UdpPeer, WsListener, WsPeer),
    "TLS": (TlsServer, TlsClient),
    "Control and work": (ControlService, WorkCommand, WorkSigning, WorkVerification),
    "Work in pods": (WorkKubernetes,),
    "Services": (
        TcpServer,
        TcpClient,
        UdpServer,
        UdpClient,
        UnixSocketServer,
        UnixSocketClient,
        CommandService,
        IpRouter,
    ),
    "Protection": (AccessRule, Audit, Limits),
    "Certificates, for which no node runs": (CertInit, CertMakeReq, CertSignReq),
}
"""All actions, under headings."""

ACTIONS: dict[str, type[Action]] = {action.about.name: action for group in GROUPS.values() for action in group}
