"""Checks of what lies between receptorctl and the node: the environment, the socket, the connection."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from receptor.ctl.doctor.facts import PREFIX, Facts, SocketFile
from receptor.ctl.doctor.findings import Area, Finding, ok, problem, skipped, warning
from receptor.ctl.meant import nearest


def check_environment(facts: Facts) -> Iterator[Finding]:
    """Variables that name what does not exist, and names that are nearly right."""
    area = Area.ENVIRONMENT
    for one in facts.variables:
        if one.name not in facts.known_variables:
            names = {name.removeprefix(PREFIX): name for name in facts.known_variables}
            meant = names.get(nearest(one.name.removeprefix(PREFIX), names))
            fix = f"rename it to {meant}" if meant else f"unset {one.name}"
            yield warning(area, f"{one.name} is set, but receptorctl does not read it", fix)
        elif one.is_file and not one.exists:
            yield problem(
                area, f"{one.name} names {one.value}, which does not exist", f"correct it or: unset {one.name}"
            )
        else:
            yield ok(area, f"{one.name}={one.value}")


def check_access(facts: Facts) -> Iterator[Finding]:
    """Whether the node can be asked, and if not, whose fault it is."""
    area = Area.SOCKET
    if facts.socket is not None:
        yield from _check_file(facts.socket)
    if facts.status is not None:
        yield ok(area, f"node {facts.status.node_id} answers at {facts.address}")
    elif facts.socket is None or (facts.socket.exists and facts.socket.is_socket and facts.socket.may_use):
        text, fix = _parts(facts.trouble)
        if facts.socket is not None and "nobody listens" in text:
            text = f"{facts.address} is stale: its node has ended without removing it, and nobody listens"
            fix = "start the node again; it takes over the socket"
        if not facts.address:
            fix = f"{fix}; to start one for a first try: {_start('/tmp/NAME.sock')}"
        yield problem(area, text, fix)
    if facts.status is None:
        yield skipped(area, "the node, its mesh and its work can't be looked at")


def _check_file(socket: SocketFile) -> Iterator[Finding]:
    area = Area.SOCKET
    if not socket.folder_is_open:
        yield problem(
            area, f"{socket.who} may not look into the folder of {socket.path}", "run as the user of the node, or root"
        )
    elif not socket.exists:
        others = f", or use another one: {' or '.join(socket.others)}" if socket.others else ""
        fix = f"start the node, for a first try with '{_start(socket.path)}'{others}"
        yield problem(area, f"there is no socket {socket.path}", fix)
    elif not socket.is_socket:
        yield problem(
            area, f"{socket.path} is a file but no socket", "give the filename that the node's control-service has"
        )
    else:
        place = f"{socket.path} ({stat.filemode(socket.mode)} {socket.owner}:{socket.group})"
        if not socket.may_use:
            yield problem(area, f"{socket.who} may not use {place}", _allow(socket))
        elif socket.mode & stat.S_IWOTH:
            yield warning(
                area,
                f"everybody on this machine may run work over {place}",
                "set permissions of the node's control-service to 0660 or 0600",
            )
        else:
            yield ok(area, f"{socket.who} may use {place}")


def _start(path: str) -> str:
    return f"receptor --node id=NAME --control-service service=control filename={path}"


def _allow(socket: SocketFile) -> str:
    if socket.mode & stat.S_IWGRP:
        return f"join the group: sudo usermod -aG {socket.group} {socket.who}, then log in again"
    return f"run as {socket.owner}, or set permissions of the node's control-service to 0660 and join its group"


def _parts(message: str) -> tuple[str, str]:
    """What has happened and what to do, as messages of errors have them."""
    text, _, fix = message.partition("; ")
    return text, fix or "see the node's log"
