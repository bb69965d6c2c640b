"""What ``receptor --check`` warns of: a node would start with it, but hardly anybody can want it."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from receptor.config.actions import ControlService, Node, WorkCommand
from receptor.config.backend_actions import TcpListener, UdpListener, WsListener
from receptor.config.command_line import RunNode
from receptor.config.configuration import Configuration
from receptor.config.kinds import Address
from receptor.config.service_actions import TcpServer, UdpServer
from receptor.errors import ConfigurationError

_SOON = timedelta(days=30)
_LOGGERS = ("receptor.tls", "receptor.workceptor")


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Fills the list with what the block logs, which a node that starts would log too."""
    noted: list[str] = []
    handler = _Notes(noted)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield noted
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, noted: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._noted = noted

    def emit(self, record: logging.LogRecord) -> None:
        self._noted.append(record.getMessage())


def cautions_of(work: RunNode) -> Iterator[str]:
    """What to think about, a line each. Reads files and tries ports, and leaves all as it was."""
    configuration = work.configuration
    yield from _file_of_the_configuration(Path(work.source))
    yield from _data_folder(configuration.node)
    yield from _signing_key(configuration)
    yield from _certificates(configuration)
    yield from _names_of_listeners(configuration)
    for command in configuration.work_commands:
        if isinstance(command, WorkCommand):
            yield from _program(command)
    for service in configuration.control_services:
        yield from _who_may_command(service)
    if not any(_somebody_serves(service) for service in configuration.control_services):
        yield from _ports(configuration)


def _file_of_the_configuration(path: Path) -> Iterator[str]:
    if _mode(path) & stat.S_IWOTH:
        yield f"{path}: everybody may change the configuration, and have commands run by it; chmod o-w {path}"


def _data_folder(node: Node) -> Iterator[str]:
    if node.data_dir == Node().data_dir:
        yield (
            f"the data folder is in {node.data_dir}, which many systems empty when they start, units and all; "
            "set a datadir such as /var/lib/receptor"
        )


def _signing_key(configuration: Configuration) -> Iterator[str]:
    if configuration.work_signing is not None:
        key = configuration.work_signing.private_key
        if _mode(key) & (stat.S_IRGRP | stat.S_IROTH):
            yield f"{key}: others than its owner can read the key that signs work; chmod 600 {key}"


def _certificates(configuration: Configuration) -> Iterator[str]:
    """Those that end soon, and authorities that have ended; of nodes' own that have ended the reader tells."""
    own = [one.certificate for one in configuration.tls_servers]
    own += [one.certificate for one in configuration.tls_clients if one.certificate]
    authorities = [one.client_cas for one in configuration.tls_servers if one.client_cas]
    authorities += [one.root_cas for one in configuration.tls_clients if one.root_cas]
    now = datetime.now(UTC)
    for path in dict.fromkeys((*own, *authorities)):
        for end in _ends(path):
            if now < end <= now + _SOON:
                yield f"{path}: the certificate expires on {end:%Y-%m-%d}; renew it, see 'receptor certs node --help'"
            elif end <= now and path in authorities:
                yield (
                    f"{path}: the authority's certificate expired on {end:%Y-%m-%d}, so nobody is trusted by it; "
                    "make a new one"
                )


def _ends(path: Path) -> Iterable[datetime]:
    from receptor.certificates.reading import read_certificates

    try:
        return [one.not_valid_after_utc for one in read_certificates(path)[:1]]
    except ConfigurationError:
        return ()  # Told as a mistake.


def _names_of_listeners(configuration: Configuration) -> Iterator[str]:
    """Listeners that nobody can be sure of, as their certificates name no machine."""
    certificates = {one.name: one.certificate for one in configuration.tls_servers}
    for listener in configuration.listeners:
        if not isinstance(listener, TcpListener | WsListener) or not listener.tls:
            continue
        path = certificates[listener.tls]
        if not _names_a_machine(path):
            yield (
                f"{listener.about.name}: {path} has neither DNS name nor IP address, so nodes that check certificates "
                "can't link to it; make it anew with --dns or --ip, see 'receptor certs --help'"
            )


def _names_a_machine(path: Path) -> bool:
    from cryptography import x509

    from receptor.certificates.reading import names_of, read_certificates

    try:
        names = names_of(path, read_certificates(path)[0])
    except ConfigurationError:
        return True  # Told as a mistake.
    return any(isinstance(name, x509.DNSName | x509.IPAddress) for name in names)


def _program(command: WorkCommand) -> Iterator[str]:
    if shutil.which(command.command) is None:
        where = "on the PATH" if "/" not in command.command else "there, or it can't be run"
        yield (
            f"work type {command.work_type!r}: there is no program {command.command!r} {where}, so its units will "
            "fail; install it, or give its full path"
        )


def _who_may_command(service: ControlService) -> Iterator[str]:
    if service.filename is not None and service.permissions & stat.S_IWOTH:
        yield (
            f"the socket {service.filename}: every user of this machine may have commands run by the node; "
            "set permissions such as 0660"
        )
    if service.tcp_listen is not None and not service.tcp_tls and not _is_of_this_machine(service.tcp_listen.host):
        yield (
            f"tcplisten {service.tcp_listen}: who reaches this address may give commands, and read along; listen on "
            "127.0.0.1, or set 'tcptls' and an access-rule"
        )


def _is_of_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _somebody_serves(service: ControlService) -> bool:
    """Whether the node runs already, with its ports in use for that reason."""
    if service.filename is None:
        return False
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(service.filename))
        except PermissionError:
            return True
        except OSError:
            return False
    return True


def _ports(configuration: Configuration) -> Iterator[str]:
    for listener in configuration.listeners:
        kind = socket.SOCK_DGRAM if isinstance(listener, UdpListener) else socket.SOCK_STREAM
        yield from _port(kind, Address(listener.bind_address, listener.port), listener.about.name)
    for one in configuration.services:
        if isinstance(one, TcpServer | UdpServer):
            kind = socket.SOCK_DGRAM if isinstance(one, UdpServer) else socket.SOCK_STREAM
            yield from _port(kind, Address(one.bind_address, one.port), one.about.name)
    for service in configuration.control_services:
        if service.tcp_listen is not None:
            yield from _port(socket.SOCK_STREAM, service.tcp_listen, service.about.name)


def _port(kind: socket.SocketKind, address: Address, name: str) -> Iterator[str]:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            reason, advice = _REASONS.get(error.errno or 0, (error.strerror or str(error), "choose another address"))
            yield f"{name}: {address} can't be listened on now: {reason}; {advice}"


_REASONS = {
    errno.EADDRINUSE: ("another program has the port", "end it or choose another port, unless it is this node"),
    errno.EACCES: ("ports below 1024 are for root", "choose another port, or give the node CAP_NET_BIND_SERVICE"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "correct bindaddr"),
}


def _mode(path: Path) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0  # The command line, or nobody to be warned of.
