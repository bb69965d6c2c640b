"""Finding the control socket of the node on this machine, where nobody says which it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import glob

from receptor.errors import ConfigurationError

SAY_WHERE = "with 'receptorctl --socket PATH ...' or in the environment variable RECEPTORCTL_SOCKET"


@dataclass(frozen=True)
class Places:
    """Patterns of file names: of nodes' configurations, and of sockets where nodes usually have them."""

    configurations: tuple[str, ...]
    sockets: tuple[str, ...]


PLACES = Places(
    ("/etc/receptor/*.conf", "/etc/receptor/*.yml", "/etc/receptor/*.yaml", "$HOME/.config/receptor/*.conf"),
    (
        *("/run/receptor/*.sock", "/var/run/receptor/*.sock"),
        *("/run/awx-receptor/*.sock", "/var/run/awx-receptor/*.sock"),
        *("$XDG_RUNTIME_DIR/receptor/*.sock", "/tmp/receptor.sock"),
    ),
)
"""A configuration says more than a socket that lies about, so these are looked at first."""


@dataclass(frozen=True)
class Found:
    """A socket, and in which file or folder it was found: ``in /run/receptor``."""

    socket: str
    where: str


def find_socket() -> Found:
    """The one control socket that this machine's configurations name, or else the one in the usual places.

    Raises ConfigurationError if there are none or several, which says where it has looked.
    """
    looked: list[str] = []
    for kind in (_configured(looked), _lying_about(looked)):
        # Two names may lead to one socket: /var/run is /run on most machines.
        by_file: dict[str, Found] = {}
        for one in kind:
            by_file.setdefault(os.path.realpath(one.socket), one)
        found = list(by_file.values())
        if len(found) > 1:
            names = " and ".join(f"{one.socket} ({one.where})" for one in found)
            raise ConfigurationError(f"there are several nodes on this machine: {names}; say which {SAY_WHERE}")
        if found:
            return found[0]
    raise ConfigurationError(
        "no control socket is given, and none is found on this machine; start the node, or say where it is "
        f"{SAY_WHERE}. Looked in vain: {'; '.join(looked)}"
    )


def usual_sockets() -> list[str]:
    """The files that look like sockets where nodes usually have them, each under one name."""
    by_file: dict[str, str] = {}
    for name in _matches(PLACES.sockets):
        by_file.setdefault(os.path.realpath(name), name)
    return list(by_file.values())


def socket_of(file: str) -> str:
    """The socket that a node's configuration names; raises ConfigurationError if it names none, or several."""
    try:
        names = _sockets_in(file)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; correct --config, or say where the node is {SAY_WHERE}") from error
    if len(names) == 1:
        return names[0]
    problem = f"names several control sockets ({', '.join(names)})" if names else "names no control socket"
    raise ConfigurationError(f"{file}: {problem}; say which {SAY_WHERE}")


def _sockets_in(file: str) -> list[str]:
    from receptor.client.configuration_file import read_actions

    names = (service.get("filename") for service in read_actions(file, "control-service"))
    return [name for name in names if isinstance(name, str) and name]


def _configured(looked: list[str]) -> Iterator[Found]:
    files = list(_matches(PLACES.configurations))
    if not files:
        looked.append(f"no configuration at {_either(PLACES.configurations)}")
    for file in files:
        try:
            names = _sockets_in(file)
        except ConfigurationError as error:
            looked.append(str(error))
            continue
        if not names:
            looked.append(f"{file} names no control socket")
        for name in names:
            if _is_there(name):
                yield Found(name, f"in {file}")
            else:
                looked.append(f"{file} names {name}, where there is no socket")


def _lying_about(looked: list[str]) -> Iterator[Found]:
    for name in _matches(PLACES.sockets):
        if _is_there(name) and _is_trusted(name):
            yield Found(name, f"in {os.path.dirname(name)}")
    looked.append(f"no socket at {_either(PLACES.sockets)}")
    looked.extend(f"{folder} is closed to you; its owner may look" for folder in _closed(PLACES.sockets))


def _matches(patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from sorted(glob(os.path.expandvars(pattern)))


def _closed(patterns: Iterable[str]) -> list[str]:
    """The folders that are there, but can't be looked into."""
    folders = dict.fromkeys(os.path.realpath(os.path.dirname(os.path.expandvars(pattern))) for pattern in patterns)
    return [folder for folder in folders if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK)]


def _either(patterns: Iterable[str]) -> str:
    return " or ".join(name for name in map(os.path.expandvars, patterns) if "$" not in name)


def _is_there(name: str) -> bool:
    """Whether there is a socket to try: also one that we may not look at, as trying tells what is wrong with it."""
    try:
        return stat.S_ISSOCK(os.stat(name).st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def _is_trusted(name: str) -> bool:
    """Whether nobody but root and ourselves can have put the socket there: payloads may be secret."""
    try:
        owner, folder = os.stat(name).st_uid, os.stat(os.path.dirname(name) or ".")
    except OSError:
        return False
    return owner in (0, os.geteuid()) or not folder.st_mode & stat.S_IWOTH
