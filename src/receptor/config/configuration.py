"""The whole configuration of a node, and the checks that no action can make alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from receptor.config.actions import (
    ACTIONS,
    ControlService,
    LocalOnly,
    LogLevel,
    Node,
    Trace,
    WorkCommand,
    WorkSigning,
    WorkVerification,
)
from receptor.config.backend_actions import Listener, Peer, TcpListener, TcpPeer, UdpListener, WsListener, WsPeer
from receptor.config.certificate_actions import CertificateAction
from receptor.config.keys import Action
from receptor.config.kinds import Address, Right
from receptor.config.kubernetes_action import WorkKubernetes
from receptor.config.problems import Problems, meant
from receptor.config.protection import AccessRule, Audit, Limits
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
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.config.written import WrittenAction, read_action
from receptor.errors import ConfigurationError
from receptor.identifiers import is_localhost
from receptor.workceptor.signing import load_signing_key, load_verification_key

A = TypeVar("A", bound=Action)

DEFAULT_TLS_CLIENT = "default"
"""A tls-client that every node has: it trusts whom the system trusts."""


class Configuration(msgspec.Struct, frozen=True):
    """What a node is to do; whatever is in here has been checked.

    ``log_level`` is one of ``kinds.LOG_LEVELS``.
    """

    node: Node
    log_level: str
    local_only: bool
    trace: bool
    listeners: tuple[Listener, ...]
    peers: tuple[Peer, ...]
    tls_servers: tuple[TlsServer, ...]
    tls_clients: tuple[TlsClient, ...]
    control_services: tuple[ControlService, ...]
    work_commands: tuple[WorkCommand | WorkKubernetes, ...]
    work_signing: WorkSigning | None
    work_verification: WorkVerification | None
    access_rules: tuple[AccessRule, ...]
    audit: Audit | None
    limits: Limits
    services: tuple[Service, ...]


class _Given(msgspec.Struct, frozen=True):
    """All actions with their places; ``source`` is the place of what concerns no single one."""

    actions: tuple[tuple[str, Action], ...]
    source: str
    host_name: str

    def placed(self, kind: type[A]) -> Iterator[tuple[str, A]]:
        return ((place, action) for place, action in self.actions if isinstance(action, kind))

    def all(self, kind: type[A]) -> tuple[A, ...]:
        return tuple(action for _, action in self.placed(kind))

    def one(self, kind: type[A]) -> A | None:
        return next(iter(self.all(kind)), None)


def configuration_of(written: Iterable[WrittenAction], source: str, host_name: str) -> Configuration:
    """The configuration that these actions make together.

    ``source`` begins the messages that concern no single action; ``host_name`` is the id of a node without one.
    Raises one ConfigurationError that tells all that is wrong, a line each.
    """
    given = _Given(_read_all(written), source, host_name)
    problems = Problems()
    for check in _CHECKS:
        for problem in check(given):
            problems.note(problem)
    problems.raise_if_any()
    node = given.one(Node) or Node()
    return Configuration(
        node=node if node.id else msgspec.structs.replace(node, id=host_name),
        log_level=(given.one(LogLevel) or LogLevel()).level,
        local_only=(given.one(LocalOnly) or LocalOnly(local=False)).local,
        trace=(given.one(Trace) or Trace(enabled=False)).enabled,
        listeners=given.all(Listener),
        peers=given.all(Peer),
        tls_servers=given.all(TlsServer),
        tls_clients=given.all(TlsClient),
        control_services=given.all(ControlService),
        work_commands=(*given.all(WorkCommand), *given.all(WorkKubernetes)),
        work_signing=given.one(WorkSigning),
        work_verification=given.one(WorkVerification),
        access_rules=given.all(AccessRule),
        audit=given.one(Audit),
        limits=given.one(Limits) or Limits(),
        services=given.all(Service),
    )


def makes_certificates(written: Iterable[WrittenAction]) -> bool:
    """Whether these actions make certificates, all of them; no node runs then."""
    names = [one.name.lower() for one in written]
    return bool(names) and all(issubclass(ACTIONS.get(name, Action), CertificateAction) for name in names)


def certificate_actions_of(written: Iterable[WrittenAction]) -> tuple[CertificateAction, ...]:
    """The actions that make certificates. Raises one ConfigurationError that tells all that is wrong, a line each."""
    given = _Given(_read_all(written), "", "")
    problems = Problems()
    for problem in _check_once(given):
        problems.note(problem)
    for place, action in given.placed(CertificateAction):
        for mistake in action.mistakes():
            problems.note(f"{place}: {mistake}")
    problems.raise_if_any()
    return given.all(CertificateAction)


def _read_all(written: Iterable[WrittenAction]) -> tuple[tuple[str, Action], ...]:
    actions: list[tuple[str, Action]] = []
    problems = Problems()
    for one in written:
        with problems.noted():
            actions.append((one.place, read_action(one)))
    problems.raise_if_any()
    return tuple(actions)


def _check_certificates(given: _Given) -> Iterator[str]:
    for place, action in given.placed(CertificateAction):
        yield (
            f"{place}: {action.about.name} makes certificates, and no node runs then; "
            "give it in a file or on a command line without other actions"
        )


def _check_once(given: _Given) -> Iterator[str]:
    once = ((place, action.about.name) for place, action in given.actions if action.about.once)
    return _repeated("the action", once)


def _check_node_id(given: _Given) -> Iterator[str]:
    node = given.one(Node)
    host_name = given.host_name.lower()
    if (node is None or not node.id) and (is_localhost(host_name) or host_name.startswith("localhost.")):
        yield (
            f"{given.source}: the node has no id, and this machine's host name, {given.host_name!r}, can't be one; "
            "give it an id with the action 'node'"
        )


def _check_backends(given: _Given) -> Iterator[str]:
    local_only = any(one.local for one in given.all(LocalOnly))
    if not local_only and not given.all(Listener) and not given.all(Peer):
        yield (
            f"{given.source}: nothing to do: no backends are configured; add a listener or a peer such as 'tcp-peer', "
            "or 'local-only' for a node on its own"
        )


def _check_control_services(given: _Given) -> Iterator[str]:
    services = list(given.placed(ControlService))
    for place, one in services:
        if not one.service and one.filename is None and one.tcp_listen is None:
            yield f"{place}: control-service needs at least one of the keys 'service', 'filename' and 'tcplisten'"


def _check_services(given: _Given) -> Iterator[str]:
    names = ((place, _service(action)) for place, action in given.actions)
    return _repeated("the service", ((place, name) for place, name in names if name))


def _service(action: Action) -> str:
    """The service that an action offers on the mesh, if any."""
    match action:
        case ControlService() | TcpClient() | UdpClient() | UnixSocketClient() | CommandService():
            return action.service
        case IpRouter():
            return action.network
    return ""


def _check_addresses(given: _Given) -> Iterator[str]:
    for what in ("TCP address", "UDP address", "Unix socket"):
        listens = ((place, _listens(action, what)) for place, action in given.actions)
        yield from _repeated(f"the {what}", ((place, str(where)) for place, where in listens if where is not None))


def _listens(action: Action, what: str) -> Address | Path | None:
    """Where an action has the node listen, on that sort of socket; None for any free port."""
    match what, action:
        case "TCP address", TcpListener() | WsListener() | TcpServer():
            return Address(action.bind_address, action.port) if action.port else None
        case "UDP address", UdpListener() | UdpServer():
            return Address(action.bind_address, action.port) if action.port else None
        case "TCP address", ControlService(tcp_listen=Address(port=port)) if port:
            return action.tcp_listen
        case "Unix socket", ControlService() | UnixSocketServer():
            return action.filename
    return None


def _check_tls_names(given: _Given) -> Iterator[str]:
    servers, clients = list(given.placed(TlsServer)), list(given.placed(TlsClient))
    yield from _repeated("the tls-server", ((place, one.name) for place, one in servers))
    yield from _repeated("the tls-client", ((place, one.name) for place, one in clients))
    known = {"tls-server": {one.name for _, one in servers}, "tls-client": {one.name for _, one in clients}}
    known["tls-client"].add(DEFAULT_TLS_CLIENT)
    for place, action in given.actions:
        for kind, name in _tls_names(action):
            if name and name not in known[kind]:
                (other,) = known.keys() - {kind}
                add = f"add the action '{kind}' with that name"
                hint = f"that is a {other}; {add}" if name in known[other] else meant(name, known[kind], add)
                yield f"{place}: {action.about.name} needs the {kind} {name!r}, which is not there; {hint}"


def _tls_names(action: Action) -> Iterator[tuple[str, str]]:
    """What TLS settings an action refers to: of which kind, by which name."""
    match action:
        case TcpListener(tls=name) | WsListener(tls=name) | UnixSocketClient(tls=name) | CommandService(tls=name):
            yield "tls-server", name
        case TcpPeer(tls=name) | WsPeer(tls=name) | UnixSocketServer(tls=name):
            yield "tls-client", name
        case TcpServer() | TcpClient():
            yield "tls-server", action.tls_server
            yield "tls-client", action.tls_client
        case ControlService():
            yield "tls-server", action.tls
            yield "tls-server", action.tcp_tls


def _check_work_types(given: _Given) -> Iterator[str]:
    return _repeated("the work type", ((place, one.work_type) for place, one in _work_types(given)))


def _work_types(given: _Given) -> Iterator[tuple[str, WorkCommand | WorkKubernetes]]:
    yield from given.placed(WorkCommand)
    yield from given.placed(WorkKubernetes)


def _check_kubernetes(given: _Given) -> Iterator[str]:
    return (f"{place}: {mistake}" for place, one in given.placed(WorkKubernetes) for mistake in one.mistakes())


def _check_signatures(given: _Given) -> Iterator[str]:
    if given.one(WorkVerification) is None:
        for place, one in _work_types(given):
            if one.verify_signature:
                yield (
                    f"{place}: work type {one.work_type!r} has 'verifysignature', but there is no key to verify with; "
                    "add the action 'work-verification'"
                )


def _check_access_rules(given: _Given) -> Iterator[str]:
    for place, rule in given.placed(AccessRule):
        if not rule.nodes and not rule.tcp_clients:
            yield f"{place}: access-rule must say whom it is for; name some in 'nodes' or 'tcpclients'"
        if rule.work_types is not None and rule.allow.isdisjoint((Right.SUBMIT, Right.ALL)):
            yield f"{place}: access-rule has 'worktypes', which say what may be submitted, but does not allow 'submit'"


def _check_key_files(given: _Given) -> Iterator[str]:
    for place, signing in given.placed(WorkSigning):
        yield from _refusal(place, load_signing_key, signing.private_key)
    for place, verification in given.placed(WorkVerification):
        yield from _refusal(place, load_verification_key, verification.public_key)


def _refusal(place: str, load: Callable[[Path], object], file: Path) -> Iterator[str]:
    try:
        load(file)
    except ConfigurationError as error:
        yield f"{place}: {error}"


def _repeated(what: str, names: Iterable[tuple[str, str]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for place, name in names:
        if name in first:
            yield f"{place}: {what} {name!r} is given twice, first at {first[name]}"
        first.setdefault(name, place)


_CHECKS = (
    _check_certificates,
    _check_once,
    _check_node_id,
    _check_backends,
    _check_control_services,
    _check_services,
    _check_addresses,
    _check_tls_names,
    _check_work_types,
    _check_kubernetes,
    _check_signatures,
    _check_access_rules,
    _check_key_files,
)
