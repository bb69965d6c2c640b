"""What is noted of a unit beside its status, each record in a file of ours in the unit's folder."""

from __future__ import annotations

import enum
import signal
from typing import Annotated

import msgspec

from receptor.netceptor.messages import format_time, parse_time
from receptor.workceptor.status import ProcessAnswer

LOCAL = "local"

UnixTime = Annotated[float, msgspec.Meta(ge=0, lt=253_402_300_800)]
"""Seconds; from 1970 to the end of 9999, which is as far as a date goes."""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """How a unit came to be. A unit without this record was submitted on this machine, without key and name."""

    submitter: str = LOCAL
    """Whose work it is: ``local``, ``tcp 192.0.2.7``, ``node foo``."""
    idempotency_key: str = ""
    """The submitter's own name for the submission: said again, it means the same unit. Empty if there is none."""
    request_digest: str = ""
    """What was asked for under that key."""
    name: str = ""
    """What the submitter calls the unit, for people; empty if it has no name."""
    has_environment: bool = False
    """Whether the submitter gave variables for the environment of the command, which only that may see."""

    @property
    def is_of_node(self) -> bool:
        """Whether another node submitted it."""
        return self.submitter.startswith("node ")


class Order(enum.StrEnum):
    """What a user wants to become of a unit, whatever dies before it is done."""

    CANCEL = "cancel"
    RELEASE = "release"


class StartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Which process a command is. The number alone would do only until it is used again."""

    pid: Annotated[int, msgspec.Meta(gt=1, lt=2**31)]
    """The leader of the command's own session and process group."""
    start_time: int | None
    """Clock ticks since boot when the process was made (field 22 of /proc/PID/stat); None where that is unknown."""
    boot_id: str
    """Names the time between two boots of the machine; empty where that is unknown."""
    folder: str
    """The unit's folder, which every process of the unit has in its environment as ``RECEPTOR_UNIT``."""
    started: UnixTime
    """Unix seconds."""


class ExitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended; either ``exit_code`` or ``signal`` is set."""

    exit_code: int | None
    signal: Annotated[int, msgspec.Meta(ge=1, lt=signal.NSIG)] | None
    started: UnixTime
    ended: UnixTime
    user_seconds: float
    """Processor time of the command and of those of its children that it waited for, as ``system_seconds``."""
    system_seconds: float
    peak_memory: int
    """Bytes of the largest process among these; never less than the few MiB of the runner that made it."""
    stdout_size: int | None = None
    """Bytes of output at that time, where the runner has noted it."""

    def __post_init__(self) -> None:
        if (self.exit_code is None) == (self.signal is None):
            raise ValueError("a command ends with either an exit code or a signal")

    @property
    def succeeded(self) -> bool:
        """Whether the unit is Succeeded rather than Failed."""
        return self.exit_code == 0

    @property
    def detail(self) -> str:
        """The ``Detail`` of the final status, which clients look into: ``exit status 3``, ``signal: killed``."""
        if self.signal is None:
            return f"exit status {self.exit_code}"
        return f"signal: {(signal.strsignal(self.signal) or str(self.signal)).lower()}"

    def answer(self) -> ProcessAnswer:
        """The same as clients see it."""
        return ProcessAnswer(
            exit_code=self.exit_code,
            signal=self.signal,
            started=_time_text(self.started),
            ended=_time_text(self.ended),
            user_seconds=round(self.user_seconds, 6),
            system_seconds=round(self.system_seconds, 6),
            peak_memory=self.peak_memory,
        )

    @classmethod
    def of(cls, answer: ProcessAnswer) -> ExitRecord:
        """The record of a command of another node. Raises ValueError if it can't have ended like that."""
        fields = msgspec.structs.asdict(answer)
        for name in ("started", "ended"):
            fields[name] = parse_time(fields[name]) / 1_000_000_000
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None


def _time_text(time: float) -> str:
    """Microseconds are as fine as the number is, so that a copy of the record shows the same time."""
    return format_time(round(time * 1e6) * 1000)
