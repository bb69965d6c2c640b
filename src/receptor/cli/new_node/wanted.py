"""What a new node is to be: the options of ``receptor init``, or the answers to its questions. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import msgspec

from receptor.certificates.bundles import Bundle
from receptor.config import kinds

DEFAULT_PORT = 27199
"""Where the nodes of AWX listen."""

SYSTEM_FOLDER = Path("/etc/receptor")

A_LISTENER = "a port such as 27199, an address and a port, udp:27199 or ws:8080"
A_PEER = "an address such as foo.example.com:27199, udp:foo:27199 or wss://foo.example.com/mesh"
A_WORK_TYPE = "a work type and its command, such as cat=cat"
"""What to say that was expected, where a text is none."""


class Role(enum.StrEnum):
    """What a node is for, as the documents of AWX call it."""

    CONTROL = "control"
    """It sends work to others, and takes none from them."""
    EXECUTION = "execution"
    """It runs work."""
    HYBRID = "hybrid"
    """It does both."""
    HOP = "hop"
    """It passes traffic on."""

    @property
    def runs_work(self) -> bool:
        return self in (Role.EXECUTION, Role.HYBRID)

    @property
    def sends_work(self) -> bool:
        return self in (Role.CONTROL, Role.HYBRID)


class Listen(msgspec.Struct, frozen=True):
    """Where other nodes may link to this one; ``kind`` is ``tcp``, ``udp`` or ``ws``."""

    kind: str
    host: str
    port: int

    def __str__(self) -> str:
        address = str(kinds.Address(self.host, self.port)) if self.host else str(self.port)
        return address if self.kind == "tcp" else f"{self.kind}:{address}"


class Dial(msgspec.Struct, frozen=True):
    """A node that this one links to; the address of ``ws`` is a URL."""

    kind: str
    address: str

    def __str__(self) -> str:
        return f"udp:{self.address}" if self.kind == "udp" else self.address


class Work(msgspec.Struct, frozen=True):
    """A work type that runs a command."""

    name: str
    command: str
    params: str


class OwnAuthority(msgspec.Struct, frozen=True):
    """Links are secured by the authority in that folder, which is made if there is none."""

    folder: Path


class Place(msgspec.Struct, frozen=True):
    """Where the files of a node are. ``permissions`` are those of its socket, as they are written."""

    configuration: Path
    data: Path
    socket: Path
    permissions: str

    @property
    def folder(self) -> Path:
        return self.configuration.parent

    @property
    def is_of_the_system(self) -> bool:
        """Whether the systemd services look for it there."""
        return self.folder == SYSTEM_FOLDER

    @property
    def certificates(self) -> Path:
        return self.folder / "tls"

    @property
    def authority(self) -> Path:
        """Where an authority is put if nobody says where."""
        return self.folder / "ca"

    @property
    def signing_key(self) -> Path:
        return self.folder / "work-signing.pem"

    @property
    def verification_key(self) -> Path:
        return self.folder / "work-verification.pem"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A new node. ``security`` None: its links are not secured. ``verification_key`` is PEM, empty for none."""

    node_id: str
    role: Role
    place: Place
    listen: tuple[Listen, ...] = ()
    dial: tuple[Dial, ...] = ()
    redial: bool = True
    security: OwnAuthority | Bundle | None = None
    dns: tuple[str, ...] = ()
    ip: tuple[IPv4Address | IPv6Address, ...] = ()
    work: tuple[Work, ...] = ()
    signs: bool = False
    verification_key: str = ""

    @property
    def has_links(self) -> bool:
        return bool(self.listen or self.dial)


def place_of(configuration: Path) -> Place:
    """Where the files of the node with that configuration are: in the places of the system, or all beside it."""
    name = f"{configuration.stem}.sock"
    if configuration.parent == SYSTEM_FOLDER:
        return Place(configuration, Path("/var/lib/receptor"), Path("/run/receptor", name), "0660")
    return Place(configuration, configuration.parent / "data", configuration.parent / name, "0600")


def listen_of(text: str) -> Listen:
    """``27199``, ``192.0.2.1:27199``, ``udp:27199`` or ``ws:8080``; raises ValueError if it is none of these."""
    kind, address = _split(text)
    if address.isdecimal():
        return Listen(kind, "", _port(address))
    where = kinds.ADDRESS.read(address)
    assert isinstance(where, kinds.Address)
    return Listen(kind, where.host, where.port)


def dial_of(text: str) -> Dial:
    """``foo.example.com:27199``, ``udp:foo:27199`` or ``wss://foo/mesh``; raises ValueError if it is none of these."""
    if "://" in text:
        kinds.WS_URL.read(text)
        return Dial("ws", text)
    kind, address = _split(text)
    if kind == "ws":
        raise ValueError
    kinds.ADDRESS.read(address)
    return Dial(kind, address)


def work_of(text: str) -> Work:
    """``NAME=PROGRAM ARGUMENTS``; raises ValueError if it is something else."""
    name, _, line = text.partition("=")
    command, _, params = line.strip().partition(" ")
    kinds.WORK_TYPE.read(name.strip())
    kinds.NAME.read(command)
    kinds.COMMAND.read(line.strip())
    return Work(name.strip(), command, params.strip())


def mistakes_of(wanted: Wanted) -> Iterator[str]:
    """What can't be meant so, a line each, with the way out."""
    if wanted.role is Role.HOP and not wanted.has_links:
        yield "a hop node passes traffic on, so it needs --listen or --peer"
    if wanted.work and not wanted.role.runs_work:
        yield f"a {wanted.role} node runs no work; leave --work out, or choose --role execution or hybrid"
    if wanted.role is Role.EXECUTION and not wanted.work:
        yield "an execution node needs work types to run, such as --work 'ansible-runner=ansible-runner worker'"
    if wanted.signs and not wanted.role.sends_work:
        yield f"a {wanted.role} node sends no work that could be signed; leave --sign out, or choose --role control"
    if wanted.security is not None:
        if "udp" in [*(one.kind for one in wanted.listen), *(one.kind for one in wanted.dial)]:
            yield "links over UDP can't be secured; use TCP or WebSocket, or --no-tls"
        for one in wanted.dial:
            if one.kind == "ws" and not one.address.lower().startswith("wss:"):
                yield f"{one}: a secured link over WebSocket has an address that begins with wss://"


def _split(text: str) -> tuple[str, str]:
    for kind in ("tcp", "udp", "ws"):
        if text.startswith(f"{kind}:"):
            return kind, text.removeprefix(f"{kind}:")
    return "tcp", text


def _port(text: str) -> int:
    port = kinds.PORT.read(text)
    assert isinstance(port, int)
    return port
