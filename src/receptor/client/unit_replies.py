"""Frozen records of what a node answers of units of work, parsed once and trusted from then on."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receptor.client.fields import JsonObject, as_kind, as_number, field_of, number_if_any, time_if_any
from receptor.errors import PeerError, UnitFailed

if TYPE_CHECKING:
    from datetime import datetime


class UnitState(enum.IntEnum):
    """States of a unit of work (control protocol, "The status of a unit"); the last three are final."""

    PENDING = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELED = 4

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of the unit."""
        return self >= UnitState.SUCCEEDED

    @property
    def title(self) -> str:
        """The name as nodes write it, such as ``Succeeded``."""
        return self.name.capitalize()


PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED = UnitState
ENDED = frozenset(state for state in UnitState if state.is_final)

_EXIT_STATUS = re.compile(r"exit status ([0-9]{1,3})\b")
_SIGNAL = re.compile(r"signal: ([^()]+)")
_OF_A_SIGNAL = 128


@dataclass(frozen=True)
class Submitted:
    """The last answer to ``work submit``: ``Job Started``, or ``Job Submitted`` if the node is out of reach yet."""

    unit_id: str
    result: str

    @classmethod
    def parse(cls, answer: JsonObject) -> Submitted:
        return cls(field_of(answer, "unitid", str), field_of(answer, "result", str))

    @property
    def waits(self) -> bool:
        """Whether the other node has not taken the work yet."""
        return self.result == "Job Submitted"


@dataclass(frozen=True)
class Process:
    """How the command of a unit ended and what it used; either ``exit_code`` or ``signal`` is known.

    The two times are processor time in seconds, ``peak_memory`` is in bytes.
    """

    exit_code: int | None
    signal: int | None
    started_at: datetime | None
    ended_at: datetime | None
    user_seconds: float
    system_seconds: float
    peak_memory: int

    @classmethod
    def parse(cls, fields: JsonObject) -> Process:
        return cls(
            exit_code=number_if_any(fields, "ExitCode"),
            signal=number_if_any(fields, "Signal"),
            started_at=time_if_any(fields, "Started"),
            ended_at=time_if_any(fields, "Ended"),
            user_seconds=as_number(fields.get("UserSeconds"), "UserSeconds"),
            system_seconds=as_number(fields.get("SystemSeconds"), "SystemSeconds"),
            peak_memory=field_of(fields, "PeakMemory", int),
        )


@dataclass(frozen=True)
class UnitStatus:
    """The status of a unit: where it is on its way, and what is known of it.

    ``stdout_size`` is in bytes. ``name``, the two times, ``process`` and ``idempotency_key`` are told by nodes of ours
    only, as far as they are known. ``remote_node`` is where the work runs, whose ``work_type`` it is; it is empty for
    work of the node that was asked.
    """

    state: UnitState
    detail: str
    stdout_size: int
    work_type: str = ""
    name: str = ""
    remote_node: str = ""
    remote_unit_id: str = ""
    idempotency_key: str = ""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    process: Process | None = None
    unit_id: str = ""

    @classmethod
    def parse(cls, answer: JsonObject, unit_id: str = "") -> UnitStatus:
        """Raises PeerError if a field has the wrong type; a missing one is empty. The node does not repeat the id."""
        remote = field_of(answer, "ExtraData", dict)
        told = field_of(answer, "Process", dict)
        process = Process.parse(told) if told else None
        return cls(
            state=state_of(answer.get("State")),
            detail=field_of(answer, "Detail", str),
            stdout_size=field_of(answer, "StdoutSize", int),
            work_type=field_of(remote, "RemoteWorkType", str) or field_of(answer, "WorkType", str),
            name=field_of(answer, "Name", str),
            remote_node=field_of(remote, "RemoteNode", str),
            remote_unit_id=field_of(remote, "RemoteUnitID", str),
            idempotency_key=field_of(answer, "IdempotencyKey", str),
            created_at=time_if_any(answer, "Created"),
            ended_at=time_if_any(answer, "Ended") or (process.ended_at if process else None),
            process=process,
            unit_id=unit_id,
        )

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of the unit."""
        return self.state.is_final

    @property
    def succeeded(self) -> bool:
        """Whether the command ended with exit code 0."""
        return self.state == SUCCEEDED

    @property
    def work(self) -> str:
        """The work type, and the node that does it if that is another: ``echoint on bar``."""
        return f"{self.work_type} on {self.remote_node}" if self.remote_node else self.work_type

    @property
    def began_at(self) -> datetime | None:
        """When the unit was made, or its command started if that is all that is known."""
        return self.created_at or (self.process.started_at if self.process else None)

    @property
    def exit_code(self) -> int | None:
        """The exit code of the command once it has ended; None if it was killed, never ran, or nobody knows.

        Existing nodes tell it within the detail only.
        """
        if self.process is not None and self.process.exit_code is not None:
            return self.process.exit_code
        told = _EXIT_STATUS.match(self.detail)
        return int(told[1]) if told and self.ended else None

    @property
    def shell_exit_code(self) -> int | None:
        """What a shell would tell of the command: its exit code, or 128 and the number of the signal that killed it.

        None if that is not known. Never 0 for a unit that has not succeeded, whatever its command says of itself.
        """
        code = self.exit_code
        if code is None:
            number = self._signal
            return None if number is None else _OF_A_SIGNAL + number
        return None if code == 0 and not self.succeeded else code

    @property
    def _signal(self) -> int | None:
        """The signal that killed the command, which existing nodes name within the detail only."""
        if self.process is not None and self.process.signal is not None:
            return self.process.signal
        killed = _SIGNAL.match(self.detail)
        if killed is None:
            return None
        import signal  # few units are killed

        name = killed[1].strip()
        return next((one for one in signal.valid_signals() if (signal.strsignal(one) or "").lower() == name), None)


def parse_units(answers: JsonObject) -> list[UnitStatus]:
    """The units of an answer to ``work list``, oldest first as far as the node tells; raises PeerError."""
    units = [UnitStatus.parse(field_of(answers, unit_id, dict), unit_id) for unit_id in answers]
    return sorted(units, key=_age)


def _age(unit: UnitStatus) -> tuple[bool, float]:
    """For sorting: where the node tells no times, those that go on are the newest."""
    began = unit.began_at
    return (began is None and not unit.ended, 0.0 if began is None else began.timestamp())


@dataclass(frozen=True)
class UnitResult(UnitStatus):
    """The status that a unit has ended with."""

    @classmethod
    def of(cls, status: UnitStatus) -> UnitResult:
        """The same status as a result."""
        return cls(**vars(status))

    def check(self) -> UnitResult:
        """The result itself if the unit has succeeded; raises UnitFailed, which says how it ended, if not."""
        if self.succeeded:
            return self
        how = "was canceled" if self.state == CANCELED else "failed"
        where = f" on {self.remote_node}" if self.remote_node else ""
        reason = f": {self.detail}" if self.detail else ""
        raise UnitFailed(f"unit {self.unit_id}{where} {how}{reason}", self.unit_id, self.exit_code)


def state_of(value: object) -> UnitState:
    number = as_kind(value, "State", int)
    try:
        return UnitState(number)
    except ValueError as error:
        raise PeerError(
            f"the node's answer has the State {number}, which is none; is its version compatible?"
        ) from error
