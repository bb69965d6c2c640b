"""Speaking to nodes from Python, over their control service.

    async with Client("/run/receptor/foo.sock") as node:
        unit = await node.submit("echo", b"hi", node="bar")
        async for chunk in unit.stdout():
            ...
        result = await unit

For users: ``Client`` with ``Unit`` (asyncio), their blocking twins ``SyncClient`` and ``SyncUnit``, ``MeshExecutor``
(an executor of ``concurrent.futures``), ``ReceptorControl`` (the calls of the class of that name in receptorctl), the
records that they return, and the errors. docs/python.md shows how.

How it is made: ``conversations`` say what is said and understood, ``operations`` when to repeat, give up and tidy away;
neither does I/O. ``carrying`` runs them, over the connections of ``sessions`` and ``connection``, or ``async_sessions``
and ``async_connection``. ``ControlClient``, for receptorctl, holds conversations over one connection.

Names are imported when they are first used, so that a program pays only for the parts that it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from receptor.client.address import Address, TcpAddress, UnixAddress, parse_address
    from receptor.client.client import ByteStream, Client, Unit
    from receptor.client.mesh_executor import MeshExecutor
    from receptor.client.payloads import AsyncPayload, Payload
    from receptor.client.receptor_control import ReceptorControl
    from receptor.client.replies import Advertisement, Event, Hop, NodeStatus, PingReply, ReloadReply, WorkType
    from receptor.client.submission import Submission
    from receptor.client.sync_client import SyncByteStream, SyncClient, SyncUnit
    from receptor.client.tls_settings import TlsSettings
    from receptor.client.unit_replies import Process, Submitted, UnitResult, UnitState, UnitStatus
    from receptor.errors import (
        CommandError,
        ConfigurationError,
        LimitReached,
        NotAllowed,
        OperatingError,
        PeerError,
        ReceptorError,
        TimeExpired,
        TlsError,
        UnitFailed,
        UnknownUnit,
        UnknownWorkType,
        UnreachableError,
    )

_PLACES = {
    "receptor.client.address": ("Address", "TcpAddress", "UnixAddress", "parse_address"),
    "receptor.client.client": ("ByteStream", "Client", "Unit"),
    "receptor.client.mesh_executor": ("MeshExecutor",),
    "receptor.client.payloads": ("AsyncPayload", "Payload"),
    "receptor.client.receptor_control": ("ReceptorControl",),
    "receptor.client.replies": (
        *("Advertisement", "Event", "Hop", "NodeStatus", "PingReply", "ReloadReply", "WorkType"),
    ),
    "receptor.client.submission": ("Submission",),
    "receptor.client.sync_client": ("SyncByteStream", "SyncClient", "SyncUnit"),
    "receptor.client.tls_settings": ("TlsSettings",),
    "receptor.client.unit_replies": ("Process", "Submitted", "UnitResult", "UnitState", "UnitStatus"),
    "receptor.errors": (
        *("CommandError", "ConfigurationError", "LimitReached", "NotAllowed", "OperatingError", "PeerError"),
        *("ReceptorError", "TimeExpired", "TlsError", "UnitFailed", "UnknownUnit", "UnknownWorkType"),
        "UnreachableError",
    ),
}
_PLACE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Address",
    "Advertisement",
    "AsyncPayload",
    "ByteStream",
    "Client",
    "CommandError",
    "ConfigurationError",
    "Event",
    "Hop",
    "LimitReached",
    "MeshExecutor",
    "NodeStatus",
    "NotAllowed",
    "OperatingError",
    "Payload",
    "PeerError",
    "PingReply",
    "Process",
    "ReceptorControl",
    "ReceptorError",
    "ReloadReply",
    "Submission",
    "Submitted",
    "SyncByteStream",
    "SyncClient",
    "SyncUnit",
    "TcpAddress",
    "TimeExpired",
    "TlsError",
    "TlsSettings",
    "Unit",
    "UnitFailed",
    "UnitResult",
    "UnitState",
    "UnitStatus",
    "UnixAddress",
    "UnknownUnit",
    "UnknownWorkType",
    "UnreachableError",
    "WorkType",
    "parse_address",
]


def _imported(name: str) -> object:
    """The name, imported now (PEP 562)."""
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_PLACE_OF[name]), name)
    globals()[name] = found
    return found


if not TYPE_CHECKING:  # else a name that is none would be one of unknown type
    __getattr__ = _imported


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACE_OF})
