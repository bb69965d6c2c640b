"""The status of a unit of work: its states, its file and the form in which clients see it (work-units, "On disk").

Nothing here does I/O. ``Status`` is what the daemon works with, ``encode_status`` and ``decode_status`` are
the two ends of the ``status`` file, and ``answer`` makes what ``work status`` and ``work list`` may show.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime

import msgspec

LARGEST_STATUS = 4 * 1024 * 1024
"""Bytes of the largest status file that is read or written."""

STARTING = "Starting Worker"
"""How the detail begins when the payload is whole, until the command, or the node on which it runs, tells more."""

REMOTE_WORK_TYPE = "remote"
NO_EXPIRATION = "0001-01-01T00:00:00Z"
SECRET_PREFIX = "secret_"

_LARGEST_SIZE = 2**63 - 1
_END_OF_DATES = 253_402_300_799
_KEYS = {
    "state": "State",
    "detail": "Detail",
    "stdout_size": "StdoutSize",
    "work_type": "WorkType",
    "extra": "ExtraData",
}


class State(enum.IntEnum):
    """Where a unit is on its way; the numbers are those of the status file and the control protocol."""

    PENDING = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELED = 4

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow any more."""
        return self >= State.SUCCEEDED

    @property
    def title(self) -> str:
        """The ``StateName`` of answers: ``Pending``, ``Running``, ``Succeeded``, ``Failed``, ``Canceled``."""
        return self.name.capitalize()


def may_follow(old: State, new: State) -> bool:
    """Whether a unit may go from one state to the other: only forward, and never on from a final state.

    A state that isn't final may be written again, with another detail.
    """
    return not old.is_final and new >= old


class CommandExtra(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What the status says of a command while it runs."""

    pid: int = 0
    params: str = ""


class RemoteExtra(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "remote_node": "RemoteNode",
        "remote_work_type": "RemoteWorkType",
        "remote_params": "RemoteParams",
        "remote_unit_id": "RemoteUnitID",
        "remote_started": "RemoteStarted",
        "local_cancelled": "LocalCancelled",
        "local_released": "LocalReleased",
        "sign_work": "SignWork",
        "tls_client": "TLSClient",
        "expiration": "Expiration",
        "may_be_there": "MayBeThere",
    },
):
    """What the status says of a unit that runs on another node; older files lack some of the keys.

    ``expiration`` is RFC 3339 text, ``NO_EXPIRATION`` if the unit may wait for its start for ever. ``may_be_there``
    (ours) is there while a unit that has ended must be looked for on the other node.
    """

    remote_node: str = ""
    remote_work_type: str = ""
    remote_params: dict[str, str] = {}
    remote_unit_id: str = ""
    remote_started: bool = False
    local_cancelled: bool = False
    local_released: bool = False
    sign_work: bool = False
    tls_client: str = ""
    expiration: str = NO_EXPIRATION
    may_be_there: bool | msgspec.UnsetType = msgspec.UNSET


class PodExtra(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What the status says of a unit that runs in a pod.

    ``kube_config`` and ``kube_pod`` are what its submitter gave, and secret. ``pod_name`` is on disk before the pod
    is made. ``pod_pending_timeout`` (ours) is a Go duration, empty if the pod may wait for ever.
    """

    image: str = ""
    command: str = ""
    params: str = ""
    kube_namespace: str
    kube_config: str = ""
    kube_pod: str = ""
    pod_name: str = ""
    pod_pending_timeout: str = ""


Extra = CommandExtra | RemoteExtra | PodExtra | None


class Status(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename=_KEYS,
):
    """The status of one unit. ``stdout_size`` is in bytes. It may hold secrets: show only its ``answer``."""

    state: State
    detail: str
    stdout_size: int
    work_type: str
    extra: Extra = None


class ProcessAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How the command of a unit ended and what it used, as the control service shows it.

    Either ``exit_code`` or ``signal`` is set; times are RFC 3339, ``peak_memory`` is in bytes.
    """

    exit_code: int | None = None
    signal: int | None = None
    started: str
    ended: str
    user_seconds: float
    system_seconds: float
    peak_memory: int


class StatusAnswer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename=_KEYS
    | {
        "state_name": "StateName",
        "process": "Process",
        "idempotency_key": "IdempotencyKey",
        "name": "Name",
        "created": "Created",
        "ended": "Ended",
    },
):
    """A status as the control service shows it, without secrets; what has a default is ours and may be missing."""

    state: State
    state_name: str
    detail: str
    stdout_size: int
    work_type: str
    extra: Extra
    process: ProcessAnswer | None = None
    idempotency_key: str = ""
    name: str = ""
    created: datetime | None = None
    ended: datetime | None = None


class Report(msgspec.Struct, frozen=True):
    """What a node told of a unit of its own; existing nodes tell the status only."""

    status: Status
    process: ProcessAnswer | None = None
    idempotency_key: str = ""


class _Additions(msgspec.Struct, frozen=True, rename={"process": "Process", "idempotency_key": "IdempotencyKey"}):
    process: ProcessAnswer | None = None
    idempotency_key: str = ""


class _ExtraKind(msgspec.Struct, frozen=True, rename="pascal"):
    kube_namespace: str | None = None


class _WrittenStatus(
    msgspec.Struct,
    frozen=True,
    rename=_KEYS,
):
    """The status as JSON has it: which kind of ``ExtraData`` it holds is known only from the work type."""

    state: State
    detail: str
    work_type: str
    stdout_size: int = 0
    extra: msgspec.Raw = msgspec.Raw(b"null")


def encode_status(status: Status) -> bytes:
    """The content of the status file: one JSON object and a newline.

    Raises ValueError if it would be larger than ``decode_status`` takes.
    """
    raw = msgspec.json.encode(status) + b"\n"
    if len(raw) > LARGEST_STATUS:
        raise ValueError(f"the status of {len(raw)} bytes is larger than {LARGEST_STATUS} bytes")
    return raw


def decode_status(raw: bytes) -> Status:
    """The status that a status file or another node's answer to ``work status`` holds.

    Keys that we don't know are passed over. Raises ValueError with the reason for people if it is damaged.
    """
    if len(raw) > LARGEST_STATUS:
        raise ValueError(f"it has {len(raw)} bytes, more than {LARGEST_STATUS}")
    if not raw.strip():
        raise ValueError("it is empty")
    try:
        written = msgspec.json.decode(raw.decode(), type=_WrittenStatus)
        return Status(
            state=written.state,
            detail=written.detail,
            stdout_size=_checked_size(written.stdout_size),
            work_type=written.work_type,
            extra=_decode_extra(written.extra, written.work_type),
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except msgspec.MsgspecError as error:
        raise ValueError(f"it is not a status: {error}") from error


def decode_report(raw: bytes) -> Report:
    """The answer of another node to ``work status``. Raises ValueError with the reason for people if it is none."""
    status = decode_status(raw)
    try:
        additions = msgspec.json.decode(raw, type=_Additions)
    except msgspec.MsgspecError as error:
        raise ValueError(f"it is not a status: {error}") from error
    return Report(status, additions.process, additions.idempotency_key)


def answer(
    status: Status,
    process: ProcessAnswer | None = None,
    idempotency_key: str = "",
    *,
    name: str = "",
    created: float = 0.0,
    ended: float | None = None,
) -> StatusAnswer:
    """What clients may see of a unit: parameters that begin with ``secret_`` (any case) are left out.

    The two times are in unix seconds; one that is not known, or is no time as a file may have it, is not told.
    """
    return StatusAnswer(
        state=status.state,
        state_name=status.state.title,
        detail=status.detail,
        stdout_size=status.stdout_size,
        work_type=status.work_type,
        extra=_without_secrets(status.extra),
        process=process,
        idempotency_key=idempotency_key,
        name=name,
        created=_moment(created),
        ended=_moment(ended) if status.state.is_final else None,
    )


def _moment(time: float | None) -> datetime | None:
    return datetime.fromtimestamp(time, UTC) if time and 0 < time < _END_OF_DATES else None


def is_secret(parameter: str) -> bool:
    """Whether a parameter of that name must never be shown."""
    return parameter.lower().startswith(SECRET_PREFIX)


def _checked_size(size: int) -> int:
    if not 0 <= size <= _LARGEST_SIZE:
        raise ValueError(f"it is not a status: {size} is not a size - at `$.StdoutSize`")
    return size


def _decode_extra(raw: msgspec.Raw, work_type: str) -> Extra:
    if work_type == REMOTE_WORK_TYPE:
        return msgspec.json.decode(raw, type=RemoteExtra | None)
    kind = msgspec.json.decode(raw, type=_ExtraKind | None)
    if kind is not None and kind.kube_namespace is not None:
        return msgspec.json.decode(raw, type=PodExtra)
    return msgspec.json.decode(raw, type=CommandExtra | None)


def _without_secrets(extra: Extra) -> Extra:
    if isinstance(extra, PodExtra):
        return msgspec.structs.replace(extra, kube_config="", kube_pod="")
    if not isinstance(extra, RemoteExtra):
        return extra
    shown = {name: value for name, value in extra.remote_params.items() if not is_secret(name)}
    return msgspec.structs.replace(extra, remote_params=shown)
