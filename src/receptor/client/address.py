"""Addresses of control services as people write them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TypeAlias

from receptor.errors import ConfigurationError

_NETWORK = re.compile(r"(tcp|tls):(?://)?(?:\[([^\[\]]+)\]|([^\[\]/]+)):([0-9]{1,5})/?")
_UNIX_PREFIX = re.compile(r"unix:(?://)?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(tcp|tls):")


@dataclass(frozen=True)
class UnixAddress:
    """A Unix socket of this machine."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class TcpAddress:
    """A TCP port, with or without TLS."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'tcp'}://{host}:{self.port}"


Address: TypeAlias = UnixAddress | TcpAddress


def parse_address(text: str) -> Address:
    """The address that the text means: a path, ``unix:path``, ``tcp://host:port`` or ``tls://host:port``.

    The two slashes may be left out, ``~`` in a path is the home folder, an IPv6 host may stand in brackets.
    Raises ConfigurationError for anything else.
    """
    if network := _NETWORK.fullmatch(text):
        scheme, bracketed, plain, port = network.groups()
        if 0 < int(port) < 65536:
            return TcpAddress(bracketed or plain, int(port), scheme == "tls")
        raise ConfigurationError(f"the port {port} of {text!r} does not exist; ports go from 1 to 65535")
    path = _UNIX_PREFIX.sub("", text, count=1) if text.startswith("unix:") else text
    if not path or "\0" in path or _SCHEME.match(path):
        raise ConfigurationError(
            f"{text!r} is no address of a control service; write the path of its Unix socket, tcp://host:port "
            "or tls://host:port"
        )
    return UnixAddress(os.path.expanduser(path))
