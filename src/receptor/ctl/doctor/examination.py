"""Gathers the facts: looks at the socket, asks the node, and over the mesh all others at once."""

from __future__ import annotations

import grp
import os
import pwd
import queue
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from glob import glob
from typing import TYPE_CHECKING

from receptor import __version__
from receptor.client.address import UnixAddress
from receptor.client.replies import NodeStatus
from receptor.client.unit_replies import parse_units
from receptor.ctl import mesh_view
from receptor.ctl.doctor.facts import NODE_FIELDS, PREFIX, Facts, NodeFacts, SocketFile, Variable
from receptor.ctl.finding import usual_sockets
from receptor.ctl.mesh_view import KnownService
from receptor.errors import ReceptorError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.ctl.settings import Settings

_AT_ONCE = 8
"""Nodes that are asked at the same time."""

CONTROL = "control"
"""The name of control services on the mesh."""


def examine(
    settings: Settings, variables: Mapping[str, str], known_variables: Iterable[str], tls_client: str, seconds: float
) -> Facts:
    """Everything that can be found out; what can't be is noted with the reason, and never an error.

    ``seconds`` is how long to wait for the other nodes, all together.
    """
    facts = Facts(
        now=time.time(),
        our_version=__version__,
        known_variables=tuple(known_variables),
        variables=tuple(
            _variable(name, value) for name, value in sorted(variables.items()) if name.startswith(PREFIX) and value
        ),
    )
    try:
        client = settings.client()
    except ReceptorError as error:
        return replace(facts, trouble=str(error))
    with client:
        address = client.address
        socket = look_at(address.path) if isinstance(address, UnixAddress) else None
        facts = replace(facts, address=str(address), socket=socket)
        try:
            status = NodeStatus.parse(client.status())
        except ReceptorError as error:
            return replace(facts, trouble=str(error))
        facts = _with_units(replace(facts, status=status, own=_ask_own(client, status.node_id)), client)
    controls = {one.node_id: one for one in mesh_view.services(status) if one.name == CONTROL}
    nodes = {node_id: controls.get(node_id) for node_id in sorted(status.routes)}
    return replace(facts, others=_ask_others(settings, nodes, tls_client, seconds))


def look_at(path: str) -> SocketFile:
    """What there is in the place of a socket, and whether we may use it."""
    folder = os.path.dirname(path) or "."
    others = {*glob(os.path.join(folder, "*.sock")), *usual_sockets()}
    found = SocketFile(path, folder_is_open=True, who=_user(os.geteuid()), others=tuple(sorted(others - {path})[:5]))
    try:
        status = os.stat(path)
    except PermissionError:
        return replace(found, folder_is_open=False)
    except OSError:
        return found
    return replace(
        found,
        exists=True,
        is_socket=stat.S_ISSOCK(status.st_mode),
        mode=status.st_mode,
        owner=_user(status.st_uid),
        group=_group(status.st_gid),
        may_use=os.access(path, os.R_OK | os.W_OK),
    )


def _variable(name: str, value: str) -> Variable:
    is_file = name == f"{PREFIX}CONFIG" or (name == f"{PREFIX}SOCKET" and not value.startswith(("tcp:", "tls:")))
    path = os.path.expanduser(value.removeprefix("unix:").removeprefix("//") if name == f"{PREFIX}SOCKET" else value)
    return Variable(name, value, is_file, exists=os.path.exists(path))


def _with_units(facts: Facts, client: ControlClient) -> Facts:
    try:
        return replace(facts, units=tuple(parse_units(client.units())))
    except ReceptorError as error:
        return replace(facts, units_trouble=str(error))


def _ask_own(client: ControlClient, node_id: str) -> NodeFacts:
    try:
        return _ask(client)
    except ReceptorError as error:
        return NodeFacts(node_id, trouble=str(error))


def _ask(client: ControlClient) -> NodeFacts:
    asked_at = time.time()
    answer = client.status(*NODE_FIELDS)
    return NodeFacts.parse(answer, asked_at, time.time())


def _ask_others(
    settings: Settings, nodes: Mapping[str, KnownService | None], tls_client: str, seconds: float
) -> dict[str, NodeFacts]:
    """What the nodes say, each asked by its control service.

    Those that don't answer in time are left behind, in threads that end with the program.
    """
    nothing = f"nothing within {seconds:g} s"
    found = {node_id: NodeFacts(node_id, ping_trouble=nothing) for node_id in nodes}
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[str] = queue.SimpleQueue()
    for node_id in nodes:
        waiting.put(node_id)

    def work() -> None:
        while True:
            try:
                node_id = waiting.get_nowait()
            except queue.Empty:
                return
            for facts in _ask_other(settings, node_id, nodes[node_id], tls_client):
                found[node_id] = facts or NodeFacts(node_id, trouble=nothing)
            done.put(node_id)

    for _ in range(min(_AT_ONCE, len(nodes))):
        threading.Thread(target=work, name="doctor", daemon=True).start()
    deadline = time.monotonic() + seconds
    try:
        for _ in nodes:
            done.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        pass  # the others have had their time
    return dict(found)


def _ask_other(
    settings: Settings, node_id: str, control: KnownService | None, tls_client: str
) -> Iterator[NodeFacts | None]:
    """What is known of the node in the end; before that None as soon as it has answered a ping."""
    try:
        with settings.client() as client:
            reply = client.ping(node_id)
            if not reply.success:
                yield NodeFacts(node_id, ping_trouble=reply.error)
            elif control is None:
                yield NodeFacts(node_id, trouble=f"it offers no service {CONTROL}")
            elif control.wants_tls and not tls_client:
                yield NodeFacts(node_id, wants_tls=True)
            else:
                yield None
                client.go_to(node_id, tls_client if control.wants_tls else "")
                yield replace(_ask(client), node_id=node_id)
    except ReceptorError as error:
        yield NodeFacts(node_id, trouble=str(error))


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
