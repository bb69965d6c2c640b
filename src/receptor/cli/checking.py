"""``receptor --check``: would a node start with this configuration? Nothing is started, made or written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from receptor.config.actions import LocalOnly, Trace
from receptor.config.command_line import MakeCertificates, RunNode
from receptor.config.configuration import Configuration
from receptor.config.keys import Action
from receptor.config.problems import Problems
from receptor.config.service_actions import UnixSocketServer
from receptor.node.unix_sockets import LONGEST_SOCKET_PATH
from receptor.tls.profiles import TlsProfiles


def verdict(work: RunNode | MakeCertificates) -> str:
    """A line that says what the configuration is good for.

    The configuration was read already; here is tried what can be without effects. Raises one ConfigurationError
    that tells all that is wrong, a line each.
    """
    if isinstance(work, MakeCertificates):
        return f"{work.source} is good, and makes certificates: {_counted(work.actions)}"
    configuration = work.configuration
    problems = Problems()
    for server in configuration.tls_servers:
        with problems.noted():
            TlsProfiles([server], [], configuration.node.id)
    for client in configuration.tls_clients:
        with problems.noted():
            TlsProfiles([], [client], configuration.node.id)
    for problem in (*_data_folder(configuration), *_socket_files(configuration), *_audit_file(configuration)):
        problems.note(f"{work.source}: {problem}")
    problems.raise_if_any()
    parts = _counted(_actions(configuration))
    return f"{work.source} is a good configuration of node {configuration.node.id}: {parts}"


def _data_folder(configuration: Configuration) -> Iterator[str]:
    folder = configuration.node.data_dir / configuration.node.id
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.exists(one))
    if not os.path.isdir(there):
        yield f"the data folder {folder} can't be made: {there} is no folder; set another datadir"


def _socket_files(configuration: Configuration) -> Iterator[str]:
    files = [one.filename for one in configuration.control_services]
    files += [one.filename for one in configuration.services if isinstance(one, UnixSocketServer)]
    for file in files:
        if file is None:
            continue
        path = file.absolute()
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            yield f"the path of the socket {path} is longer than {LONGEST_SOCKET_PATH} bytes; choose a shorter filename"
        elif not os.path.isdir(path.parent):
            yield f"the socket {path} can't be made: there is no folder {path.parent}; make it"
        elif os.path.exists(path) and not path.is_socket():
            yield f"the socket {path} can't be made: there is something else; remove it or choose another filename"


def _audit_file(configuration: Configuration) -> Iterator[str]:
    if configuration.audit is not None:
        folder = configuration.audit.file.absolute().parent
        if not os.path.isdir(folder):
            yield f"the audit file {configuration.audit.file} can't be made: there is no folder {folder}; make it"


def _actions(configuration: Configuration) -> Iterator[Action]:
    """Those that there can be several of, and what makes a node special."""
    if configuration.local_only:
        yield LocalOnly()
    if configuration.trace:
        yield Trace()
    for one in configuration.__struct_fields__:
        value = getattr(configuration, one)
        if isinstance(value, tuple):
            yield from value


def _counted(actions: Iterator[Action] | tuple[Action, ...]) -> str:
    counts = Counter(action.about for action in actions)
    return ", ".join(
        about.name if about.once else f"{count} {about.name if count == 1 else about.map_key}"
        for about, count in counts.items()
    )
