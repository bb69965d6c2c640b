"""The audit: a line for each command that changes something or acts for somebody, and for each that is refused.

The logger is ``receptor.audit``. Parameters, payloads, signatures and output are never in it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

from receptor.control.access import unit_of
from receptor.control.answers import ReloadAnswer
from receptor.control.commands import (
    Command,
    Connect,
    FollowEvents,
    Ping,
    Reload,
    ShowStatus,
    Traceroute,
    WorkCancel,
    WorkList,
    WorkRelease,
    WorkResults,
    WorkStatus,
    WorkSubmit,
    acts,
)
from receptor.errors import NotAllowed, ReceptorError
from receptor.node.byte_stream import Origin

logger = logging.getLogger("receptor.audit")

_LONGEST_VALUE = 300
_PLAIN = re.compile(r"[\w.:*@/+-]+")


class Verdict(StrEnum):
    """What became of a command."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    """By an access rule, or for lack of the right signature."""
    FAILED = "failed"
    """It was allowed, and could not be carried out, or not to its end."""


class Entry:
    """The line of one command, until it is written."""

    def __init__(self, command: Command, origin: Origin) -> None:
        self._unit_id = unit_of(command) or ""
        self._command = command
        self._origin = origin
        self._is_written = False

    def unit_made(self, unit_id: str) -> None:
        """The command has made that unit; the line is to name it, whatever becomes of it."""
        self._unit_id = unit_id

    def allowed(self) -> None:
        """The command is being carried out; whatever becomes of it is not told any more."""
        self._write(Verdict.ALLOWED)

    def answered(self, answer: object) -> None:
        """The command was carried out, and this is its answer."""
        match answer:
            case ReloadAnswer(success=False):
                self._write(Verdict.FAILED, answer.error)
            case _:
                self._write(Verdict.ALLOWED)

    def refused(self, reason: str) -> None:
        """The origin may not do that. This is told of every command."""
        self._write(Verdict.REFUSED, reason)

    def failed(self, reason: str) -> None:
        """It could not be carried out."""
        self._write(Verdict.FAILED, reason)

    def _write(self, verdict: Verdict, reason: str = "") -> None:
        is_refusal = verdict is Verdict.REFUSED
        if self._is_written or not (is_refusal or acts(self._command)):
            return
        self._is_written = True
        name, target = _described(self._command)
        fields = {"command": name, "who": self._origin.who, "from": str(self._origin), **target, "reason": reason}
        logger.log(
            logging.WARNING if is_refusal else logging.INFO,
            "%s %s",
            verdict,
            " ".join(f"{key}={_quoted(value)}" for key, value in fields.items() if value),
            extra={"unit": self._unit_id},
        )


@contextmanager
def audited(command: Command, origin: Origin) -> Iterator[Entry]:
    """The line of a command that the block carries out; errors of the block settle it, and are raised on."""
    entry = Entry(command, origin)
    try:
        yield entry
    except NotAllowed as error:
        entry.refused(str(error))
        raise
    except (ReceptorError, ConnectionError) as error:
        entry.failed(str(error))
        raise
    except asyncio.CancelledError:
        entry.failed("the node dropped the client before the end")
        raise


def _described(command: Command) -> tuple[str, Mapping[str, str]]:
    """The name of the command, and what it is about besides a unit."""
    match command:
        case WorkSubmit():
            return "submit", {"worktype": command.work_type, "target": command.node}
        case WorkList():
            return "list", {}
        case WorkStatus():
            return "work-status", {}
        case WorkResults():
            return "results", {}
        case WorkCancel():
            return "cancel", {}
        case WorkRelease():
            return "force-release" if command.force else "release", {}
        case Connect():
            return "connect", {"target": command.node, "service": command.service}
        case Reload():
            return "reload", {}
        case ShowStatus():
            return "status", {}
        case FollowEvents():
            return "events", {}
        case Ping():
            return "ping", {"target": command.target}
        case Traceroute():
            return "traceroute", {"target": command.target}


def _quoted(value: str) -> str:
    """The value so that all of it can be seen, and where it ends, whatever is in it."""
    if len(value) > _LONGEST_VALUE:
        value = f"{value[:_LONGEST_VALUE]}..."
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=not value.isprintable())
