"""Ways through the HTTP proxies that the environment names: HTTP_PROXY, HTTPS_PROXY and NO_PROXY."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from base64 import b64encode
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

LARGEST_ANSWER = 16 * 1024
"""Bytes of a proxy's answer."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r]")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. ``user`` is ``name:password``, or empty."""

    host: str
    port: int
    user: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def proxy_for(host: str, port: int, secure: bool) -> Proxy | None:
    """The proxy for connections to a host. Raises OSError if the environment names one that can't be used.

    As for the Go daemon, none is used for this machine itself, nor for what NO_PROXY lists: ``*``, addresses,
    networks, names with all names below them, and with a leading dot only those below; names may have a port.
    """
    variable = "HTTPS_PROXY" if secure else "HTTP_PROXY"
    url = _setting(variable)
    if not url or _is_this_machine(host):
        return None
    if any(_is_meant(entry.strip().lower(), host.lower(), port) for entry in _setting("NO_PROXY").split(",")):
        return None
    proxy = _parsed(url)
    if proxy is None:
        raise OSError(f"{variable} in the environment must be a URL such as http://proxy.example.com:3128")
    return proxy


def _setting(variable: str) -> str:
    return os.environ.get(variable) or os.environ.get(variable.lower()) or ""


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.lower() == "localhost"


def _is_meant(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means a host."""
    if entry == "*":
        return True
    with suppress(ValueError):
        return ip_address(host) in ip_network(entry, strict=False)
    name, _, its_port = entry.partition(":")
    if not name or its_port not in ("", str(port)):
        return False
    name = name.removeprefix("*")
    return host == name or host.endswith(name if name.startswith(".") else f".{name}")


def _parsed(url: str) -> Proxy | None:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or not host:
        return None
    user = "" if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(host, port or 80, user)


async def tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A connection through a proxy (RFC 9110, section 9.3.6). Raises OSError. Cancelling it leaves nothing behind."""
    loop = asyncio.get_running_loop()
    with ExitStack() as opened:
        try:
            connection = opened.enter_context(await _connected(proxy))
        except OSError as error:
            raise OSError(f"the proxy {proxy} can't be reached: {error.strerror or error}") from None
        await loop.sock_sendall(connection, _request(proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = await loop.sock_recv(connection, 4096)
            if not more or len(answer) > LARGEST_ANSWER:
                break
            answer += more
        problem = _problem(answer)
        if problem:
            raise OSError(f"the proxy {proxy} {problem}")
        opened.pop_all()
    return connection


async def _connected(proxy: Proxy) -> socket.socket:
    loop = asyncio.get_running_loop()
    problem = OSError("its name has no address")
    for family, kind, number, _, address in await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM):
        with ExitStack() as opened:
            connection = opened.enter_context(socket.socket(family, kind, number))
            connection.setblocking(False)
            try:
                await loop.sock_connect(connection, address)
            except OSError as error:
                problem = error
                continue
            opened.pop_all()
            return connection
    raise problem


def _request(proxy: Proxy, target: str) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.user:
        lines.append(f"Proxy-Authorization: Basic {b64encode(proxy.user.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


def _problem(answer: bytes) -> str:
    """What is wrong with the answer of a proxy; nothing if it lets us through."""
    status = _STATUS.match(answer)
    if status is None or b"\r\n\r\n" not in answer:
        return "gave no proper answer; check whether it is an HTTP proxy"
    if status[1] == b"407":
        return "wants another user name or password (HTTP status 407); check them in HTTP_PROXY or HTTPS_PROXY"
    if not status[1].startswith(b"2"):
        return f"refused (HTTP status {int(status[1])}); check whether it lets this node connect there"
    return ""
