"""``receptor --check``: would a node start with this configuration? Nothing is started, made or written.

What would keep it from starting is wrong; what it would start with, but hardly anybody can want, is a warning
(``cautions``).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from receptor.cli.cautions import cautions_of, noted_warnings
from receptor.config.actions import LocalOnly, Trace
from receptor.config.command_line import MakeCertificates, RunNode
from receptor.config.configuration import Configuration
from receptor.config.keys import Action
from receptor.config.problems import Problems
from receptor.config.service_actions import UnixSocketServer
from receptor.errors import OperatingError
from receptor.node.unix_sockets import LONGEST_SOCKET_PATH
from receptor.tls.profiles import TlsProfiles
from receptor.workceptor.data_folder import check_data_folder

_MADE_AT_BOOT = (Path("/run"), Path("/var/run"))
"""Folders in there are made by whoever starts the node, as the systemd service does."""


class Verdict(msgspec.Struct, frozen=True):
    """What a good configuration is good for, in a line, and what is to be thought about, each in a line."""

    text: str
    warnings: tuple[str, ...] = ()


def verdict(work: RunNode | MakeCertificates, coming: Collection[Path] = ()) -> Verdict:
    """What to say of a good configuration.

    The configuration was read already; here is tried what can be without effects. ``coming``: folders that will be
    there when the node starts. Raises one ConfigurationError that tells all that is wrong, a line each.
    """
    if isinstance(work, MakeCertificates):
        return Verdict(f"{work.source} is good, and makes certificates: {_counted(work.actions)}")
    configuration = work.configuration
    problems = Problems()
    with noted_warnings() as logged:
        for problem in _problems(configuration, coming):
            problems.note(f"{work.source}: {problem}")
        _check_tls(configuration, problems)
    problems.raise_if_any()
    parts = _counted(_actions(configuration))
    found = dict.fromkeys((*logged, *cautions_of(work), *_folders_to_come(configuration, coming)))
    return Verdict(f"{work.source} is a good configuration of node {configuration.node.id}: {parts}", tuple(found))


def _check_tls(configuration: Configuration, problems: Problems) -> None:
    for server in configuration.tls_servers:
        with problems.noted():
            TlsProfiles([server], [], configuration.node.id)
    for client in configuration.tls_clients:
        with problems.noted():
            TlsProfiles([], [client], configuration.node.id)


def _problems(configuration: Configuration, coming: Collection[Path]) -> Iterator[str]:
    yield from _data_folder(configuration)
    yield from _socket_files(configuration, coming)
    yield from _audit_file(configuration, coming)


def _data_folder(configuration: Configuration) -> Iterator[str]:
    folder = configuration.node.data_dir / configuration.node.id
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.exists(one))
    if not os.path.isdir(there):
        yield f"the data folder {folder} can't be made: {there} is no folder; set another datadir"
        return
    try:
        if os.geteuid() != 0:  # root may look on behalf of the user that the node runs as
            check_data_folder(folder)
    except OperatingError as error:
        yield str(error)
        return
    # What is not there yet the systemd service may make.
    if there in (folder, folder.absolute().parent) and not os.access(there, os.W_OK | os.X_OK):
        yield (
            f"the data folder {there} can't be written, by its mode or as its file system is read-only; make it "
            "writable or set another datadir"
        )


def _sockets(configuration: Configuration) -> Iterator[Path]:
    files = [one.filename for one in configuration.control_services]
    files += [one.filename for one in configuration.services if isinstance(one, UnixSocketServer)]
    return (file.absolute() for file in files if file is not None)


def _socket_files(configuration: Configuration, coming: Collection[Path]) -> Iterator[str]:
    for path in _sockets(configuration):
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            yield f"the path of the socket {path} is longer than {LONGEST_SOCKET_PATH} bytes; choose a shorter filename"
        elif not os.path.isdir(path.parent):
            if path.parent not in coming and path.parent.parent not in _MADE_AT_BOOT:
                yield f"the socket {path} can't be made: there is no folder {path.parent}; make it"
        elif os.path.exists(path) and not path.is_socket():
            yield f"the socket {path} can't be made: there is something else; remove it or choose another filename"


def _folders_to_come(configuration: Configuration, coming: Collection[Path]) -> Iterator[str]:
    for path in _sockets(configuration):
        if path.parent not in coming and path.parent.parent in _MADE_AT_BOOT and not os.path.isdir(path.parent):
            yield (
                f"there is no folder {path.parent} for the socket {path} yet; the systemd service makes it, "
                "for a node that is started otherwise make it"
            )


def _audit_file(configuration: Configuration, coming: Collection[Path]) -> Iterator[str]:
    if configuration.audit is not None:
        folder = configuration.audit.file.absolute().parent
        if folder not in coming and not os.path.isdir(folder):
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
