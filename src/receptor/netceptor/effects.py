"""What the core asks of the shell, and tells it. ``Netceptor.poll`` hands them over in order."""

from __future__ import annotations

from enum import Enum

import msgspec

from receptor.netceptor.packets import Address, Datagram


class Severity(Enum):
    """How much a notice matters; the shell maps it to its log levels."""

    TRACE = "trace"
    """About a single packet; only where tracing was asked for."""
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Send(msgspec.Struct, frozen=True):
    """Send a packet on a session. Data may be dropped when the session's queue is full, the rest may not."""

    session: int
    packet: bytes
    may_drop: bool


class Disconnect(msgspec.Struct, frozen=True):
    """Close a session, after what was sent on it before."""

    session: int
    reason: str


class LinkUp(msgspec.Struct, frozen=True):
    """The link of a session is set up."""

    session: int
    node: str
    cost: float


class LinkDown(msgspec.Struct, frozen=True):
    """A link that was set up has ended."""

    node: str
    cost: float


class ServiceChanged(msgspec.Struct, frozen=True):
    """A node, maybe ours, offers a service that was not there before, or no longer offers it."""

    node: str
    service: str
    is_there: bool


class RoutesChanged(msgspec.Struct, frozen=True):
    """The table of next hops has changed."""

    routes: dict[str, str]


class Duplicate(msgspec.Struct, frozen=True):
    """An older node with our id has told us to go: this node must end."""

    reason: str


class Notice(msgspec.Struct, frozen=True):
    """A line for the log."""

    severity: Severity
    text: str
    peer: str = ""


class DatagramArrived(msgspec.Struct, frozen=True):
    """A datagram for an open datagram service."""

    datagram: Datagram


class PingEnded(msgspec.Struct, frozen=True):
    """The answer to a ping: who answered after how many seconds, or the problem (and who reported it)."""

    ping: int
    node: str
    seconds: float
    problem: str | None


class StreamOpened(msgspec.Struct, frozen=True):
    """A stream is ready: one of ours that the far end has accepted, or a new one for a listening service."""

    stream: int
    local: Address
    remote: Address


class StreamData(msgspec.Struct, frozen=True):
    """Bytes have arrived on a stream."""

    stream: int
    data: bytes


class StreamEnded(msgspec.Struct, frozen=True):
    """The far end has written its last byte (its half of the stream is closed)."""

    stream: int


class StreamWritable(msgspec.Struct, frozen=True):
    """What was written on a stream has drained enough for more."""

    stream: int


class StreamClosed(msgspec.Struct, frozen=True):
    """A stream is over in both directions; ``problem`` is None after an orderly close.

    With ``failed_tls`` it has never opened, since an end did not accept the other one.
    """

    stream: int
    problem: str | None
    failed_tls: bool = False


Effect = (
    Send
    | Disconnect
    | LinkUp
    | LinkDown
    | ServiceChanged
    | RoutesChanged
    | Duplicate
    | Notice
    | DatagramArrived
    | PingEnded
    | StreamOpened
    | StreamData
    | StreamEnded
    | StreamWritable
    | StreamClosed
)
