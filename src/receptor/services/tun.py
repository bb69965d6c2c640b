"""A network interface of Linux whose packets this process carries (tun), and the routes that lead to it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from ipaddress import IPv4Address
from typing import TypeAlias

from receptor.config.kinds import Network

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFDSTADDR = 0x8914, 0x8916, 0x8918
_IFF_UP, _IFF_RUNNING = 0x1, 0x40

_RTM_NEWROUTE, _RTM_DELROUTE, _NLMSG_ERROR = 24, 25, 2
_REQUEST_ACKNOWLEDGED, _NEW_ONLY = 0x05, 0x600
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_MAIN_TABLE, _STATIC, _UNICAST, _ATTRIBUTE_DESTINATION, _ATTRIBUTE_INTERFACE = 254, 4, 1, 1, 4

LARGEST = 65_535

_Attribute: TypeAlias = tuple[int, bytes]


class Tun:
    """An interface that exists until it is closed, together with all routes that lead to it."""

    def __init__(self, name: str, own: IPv4Address, peer: IPv4Address) -> None:
        """Make it, with an address of its own and one at its other end; without a name the system chooses one.

        Raises OSError: it takes root's rights (CAP_NET_ADMIN) and /dev/net/tun.
        """
        self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
            self.name = fcntl.ioctl(self.descriptor, _TUNSETIFF, request)[:16].rstrip(b"\0").decode()
            # Sockets belong to the network namespace in which they were made, like the interface.
            self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        except BaseException:
            os.close(self.descriptor)
            raise
        try:
            self._bring_up(own, peer)
            self._index = socket.if_nametoindex(self.name)
        except BaseException:
            self.close()
            raise

    def _bring_up(self, own: IPv4Address, peer: IPv4Address) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as configuring:
            for command, address in ((_SIOCSIFADDR, own), (_SIOCSIFDSTADDR, peer)):
                request = struct.pack("16sHH4s16x", self.name.encode(), socket.AF_INET, 0, address.packed)
                fcntl.ioctl(configuring, command, request)
            flags = struct.pack("16sH22x", self.name.encode(), _IFF_UP | _IFF_RUNNING)
            fcntl.ioctl(configuring, _SIOCSIFFLAGS, flags)

    def read(self) -> bytes:
        """The next packet that the system has routed here. Raises BlockingIOError if there is none."""
        return os.read(self.descriptor, LARGEST)

    def write(self, packet: bytes) -> None:
        """Hand the system a packet, as if it had come by a wire. Raises OSError if it does not take it."""
        os.write(self.descriptor, packet)

    def add_route(self, destination: Network) -> None:
        """Let a network be reached by this interface. Raises OSError, also if the system has a route to just that."""
        self._change_route(_RTM_NEWROUTE, _NEW_ONLY, destination)

    def remove_route(self, destination: Network) -> None:
        """Take a route back; nothing happens if it is not there."""
        try:
            self._change_route(_RTM_DELROUTE, 0, destination)
        except ProcessLookupError:
            pass

    def _change_route(self, kind: int, flags: int, destination: Network) -> None:
        family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
        route = _ROUTE.pack(family, destination.prefixlen, 0, 0, _MAIN_TABLE, _STATIC, 0, _UNICAST, 0)
        body = route + _attribute(_ATTRIBUTE_DESTINATION, destination.network_address.packed)
        body += _attribute(_ATTRIBUTE_INTERFACE, struct.pack("=I", self._index))
        length = _HEADER.size + len(body)
        # The kernel answers before ``send`` returns.
        self._netlink.send(_HEADER.pack(length, kind, _REQUEST_ACKNOWLEDGED | flags, 0, 0) + body)
        answer = self._netlink.recv(LARGEST)
        if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
            code: int = -struct.unpack_from("=i", answer, _HEADER.size)[0]
            if code:
                raise OSError(code, os.strerror(code)) if code != errno.ESRCH else ProcessLookupError(code, "no route")

    def close(self) -> None:
        """Let the interface vanish."""
        self._netlink.close()
        os.close(self.descriptor)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value
