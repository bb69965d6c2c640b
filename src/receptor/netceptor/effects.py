"""What the core asks of the shell, and tells it. ``Netceptor.poll`` hands them over in order."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close a session, after what was sent on it before."""

    session: int
    reason: str


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The link of a session is set up."""

    session: int
    node: str


@dataclass(frozen=True, slots=True)
class RoutesChanged:
    """The table of next hops has changed."""

    routes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An older node with our id has told us to go: this node must end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the log."""

    severity: Severity
    text: str
    peer: str = ""


@dataclass(frozen=True, slots=True)
class DatagramArrived:
    """A datagram for an open datagram service."""

    datagram: Datagram


@dataclass(frozen=True, slots=True)
class PingEnded:
    """The answer to a ping: who answered after how many seconds, or the problem (and who reported it)."""

    ping: int
    node: str
    seconds: float
    problem: str | None


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A stream is ready: one of ours that the far end has accepted, or a new one for a listening service."""

    stream: int
    local: Address
    remote: Address


@dataclass(frozen=True, slots=True)
class StreamData:
    """Bytes have arrived on a stream."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The far end has written its last byte (its half of the stream is closed)."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamWritable:
    """What was written on a stream has drained enough for more."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamClosed:
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
