"""The configuration of a new node, as it is written to its file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import yaml

from receptor.certificates.node_files import authority_files, node_files
from receptor.cli.new_node.wanted import Dial, Listen, Role, Wanted

_TLS = "mesh"
_Keys: TypeAlias = Mapping[str, object]

_HEAD = """\
# Node {node}, as 'receptor init' made it. After a change: receptor --check {file}
# What else can be said here: receptor --sample
---
"""


def configuration_text(wanted: Wanted) -> str:
    """The file's text, in the list form."""
    parts = [_HEAD.format(node=wanted.node_id, file=wanted.place.configuration)]
    for comment, name, keys in _actions(wanted):
        text = yaml.safe_dump([{name: dict(keys)} if keys else name], sort_keys=False, allow_unicode=True, width=1000)
        parts.append((f"# {comment}\n" if comment else "") + text + "\n")
    return "".join(parts).rstrip("\n") + "\n"


def _actions(wanted: Wanted) -> Iterator[tuple[str, str, _Keys]]:
    """Comment, name and keys of each action."""
    place = wanted.place
    yield "", "node", {"id": wanted.node_id, "datadir": str(place.data)}
    yield "", "log-level", {"level": "info"}
    if wanted.has_links:
        yield from _links(wanted)
    else:
        yield "No other node is linked with this one.", "local-only", {}
    socket = {"service": "control", "filename": str(place.socket), "permissions": place.permissions}
    yield "receptorctl talks to the node by this socket, other nodes by the service.", "control-service", socket
    yield from _work(wanted)


def _links(wanted: Wanted) -> Iterator[tuple[str, str, _Keys]]:
    secured: _Keys = {}
    if wanted.security is not None:
        secured = {"tls": _TLS}
        files = node_files(wanted.place.certificates, wanted.node_id)
        trusted = str(authority_files(wanted.place.certificates).certificate)
        own = {"name": _TLS, "cert": str(files.certificate), "key": str(files.key)}
        comment = "What proves to others who this node is, and whom it believes."
        yield comment, "tls-server", {**own, "requireclientcert": True, "clientcas": trusted}
        yield "", "tls-client", {**own, "rootcas": trusted}
    for place in wanted.listen:
        yield "Other nodes link to this one here.", f"{place.kind}-listener", {**_listener(place), **secured}
    for other in wanted.dial:
        redial = {} if wanted.redial else {"redial": False}
        yield "This node links to another one.", f"{other.kind}-peer", {**_peer(other), **redial, **secured}


def _listener(place: Listen) -> _Keys:
    return {"port": place.port, "bindaddr": place.host} if place.host else {"port": place.port}


def _peer(other: Dial) -> _Keys:
    return {"address": other.address}


def _work(wanted: Wanted) -> Iterator[tuple[str, str, _Keys]]:
    if wanted.signs:
        key = {"privatekey": str(wanted.place.signing_key)}
        yield "Signs the work that is submitted for other nodes with --signwork.", "work-signing", key
    if wanted.verification_key:
        key = {"publickey": str(wanted.place.verification_key)}
        yield "Checks the signatures of work from other nodes.", "work-verification", key
    for work in wanted.work:
        params = {"params": work.params} if work.params else {}
        checked = {"verifysignature": True} if wanted.verification_key else {}
        yield "", "work-command", {"worktype": work.name, "command": work.command, **params, **checked}
    if wanted.has_links and wanted.role in (Role.CONTROL, Role.HOP):
        comment = "Other nodes may see how this one is; no work comes from them."
        yield comment, "access-rule", {"nodes": "*", "allow": "status"}
