"""What a node tells of one unit of work, as the verbs for units use it."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import NoReturn

from receptor.client.replies import CANCELED, FAILED, PENDING, RUNNING, SUCCEEDED, JsonObject
from receptor.ctl.moments import parse_moment
from receptor.errors import PeerError

STATE_NAMES: dict[int, str] = {
    PENDING: "Pending",
    RUNNING: "Running",
    SUCCEEDED: "Succeeded",
    FAILED: "Failed",
    CANCELED: "Canceled",
}
ENDED: frozenset[int] = frozenset({SUCCEEDED, FAILED, CANCELED})

_EXIT_STATUS = re.compile(r"exit status (\d+)")
_SIGNAL = re.compile(r"signal: ([^()]+)")
_OF_A_SIGNAL = 128
"""What a shell adds to the number of the signal that ended a command."""


@dataclass(frozen=True)
class Usage:
    """How a command ended and what it used: seconds of processor time, bytes of memory, RFC 3339 times."""

    exit_code: int | None
    signal: int | None
    started: str
    ended: str
    user_seconds: float
    system_seconds: float
    peak_memory: int


@dataclass(frozen=True)
class UnitDetails:
    """The status of a unit; a text is empty, and a number 0, if the node does not tell it."""

    unit_id: str
    state: int
    detail: str
    stdout_size: int
    work_type: str
    name: str = ""
    remote_node: str = ""
    remote_unit_id: str = ""
    idempotency_key: str = ""
    created: str = ""
    ended: str = ""
    usage: Usage | None = None

    @classmethod
    def parse(cls, unit_id: str, answer: JsonObject) -> UnitDetails:
        """Raises PeerError if the node's answer is no status."""
        fields = _Fields(answer)
        extra = fields.nested("ExtraData")
        process = fields.nested("Process")
        return cls(
            unit_id=unit_id,
            state=fields.number("State"),
            detail=fields.text("Detail"),
            stdout_size=fields.number("StdoutSize"),
            work_type=extra.text("RemoteWorkType") or fields.text("WorkType"),
            name=fields.text("Name"),
            remote_node=extra.text("RemoteNode"),
            remote_unit_id=extra.text("RemoteUnitID"),
            idempotency_key=fields.text("IdempotencyKey"),
            created=fields.text("Created"),
            ended=fields.text("Ended"),
            usage=_usage(process) if process.answer else None,
        )

    @property
    def state_name(self) -> str:
        return STATE_NAMES.get(self.state, str(self.state))

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of the unit."""
        return self.state in ENDED

    @property
    def has_succeeded(self) -> bool:
        return self.state == SUCCEEDED

    @property
    def work(self) -> str:
        """The work type, and the node that does it if that is another: ``echoint on bar``."""
        return f"{self.work_type} on {self.remote_node}" if self.remote_node else self.work_type

    @property
    def began_at(self) -> float | None:
        """When the unit was made, or its command started if that is all that is known: seconds since 1970."""
        started = self.usage.started if self.usage else ""
        return _first_moment(self.created, started)

    @property
    def ended_at(self) -> float | None:
        """When the unit ended, in seconds since 1970; None if it has not, or nobody has noted it."""
        if not self.has_ended:
            return None
        return _first_moment(self.ended, self.usage.ended if self.usage else "")

    @property
    def own_exit_code(self) -> int | None:
        """The command's exit code, 128 and the number for a signal; None if there is none to be known.

        Never 0 for a unit that has not succeeded, whatever its command says of itself.
        """
        code = _exit_code(self)
        return None if code == 0 and self.state != SUCCEEDED else code


def parse_units(answers: JsonObject) -> list[UnitDetails]:
    """The units of an answer to ``work list``, oldest first as far as the node tells; raises PeerError."""
    units = [UnitDetails.parse(unit_id, _Fields(answers).nested(unit_id).answer) for unit_id in answers]
    return sorted(units, key=_age)


def _age(unit: UnitDetails) -> tuple[bool, float]:
    """For sorting: where the node tells no times, those that go on are the newest."""
    return (unit.began_at is None and not unit.has_ended, unit.began_at or 0.0)


def _exit_code(unit: UnitDetails) -> int | None:
    if unit.usage is not None and unit.usage.exit_code is not None:
        return unit.usage.exit_code
    if unit.usage is not None and unit.usage.signal is not None:
        return _OF_A_SIGNAL + unit.usage.signal
    if exit_status := _EXIT_STATUS.match(unit.detail):
        return int(exit_status[1])
    if killed := _SIGNAL.match(unit.detail):
        return next(
            (_OF_A_SIGNAL + one for one in signal.valid_signals() if _name_of_signal(one) == killed[1].strip()), None
        )
    return None


def _name_of_signal(number: int) -> str:
    return (signal.strsignal(number) or "").lower()


def _usage(process: _Fields) -> Usage:
    return Usage(
        exit_code=process.number("ExitCode") if "ExitCode" in process.answer else None,
        signal=process.number("Signal") if "Signal" in process.answer else None,
        started=process.text("Started"),
        ended=process.text("Ended"),
        user_seconds=process.decimal("UserSeconds"),
        system_seconds=process.decimal("SystemSeconds"),
        peak_memory=process.number("PeakMemory"),
    )


def _first_moment(*texts: str) -> float | None:
    return next((moment for text in texts if text and (moment := parse_moment(text)) is not None), None)


@dataclass(frozen=True)
class _Fields:
    """A JSON object whose fields are read with their types; a missing one is empty."""

    answer: JsonObject

    def text(self, name: str) -> str:
        value = self.answer.get(name)
        return "" if value is None else value if isinstance(value, str) else self._refuse(name)

    def number(self, name: str) -> int:
        value = self.answer.get(name)
        return 0 if value is None else value if isinstance(value, int) else self._refuse(name)

    def decimal(self, name: str) -> float:
        value = self.answer.get(name)
        return 0.0 if value is None else float(value) if isinstance(value, int | float) else self._refuse(name)

    def nested(self, name: str) -> _Fields:
        value = self.answer.get(name)
        return _Fields({} if value is None else value if isinstance(value, dict) else self._refuse(name))

    def _refuse(self, name: str) -> NoReturn:
        raise PeerError(f"the node's status of a unit has a {name} of another type than it should; is it compatible?")
