"""Logging: one line a record on standard error, with the node, unit and peer that it concerns; the audit's file."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from receptor.errors import OperatingError

logger = logging.getLogger("receptor.node")

TRACE = 5
"""The level of the lines about single packets: below that of debugging."""

LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


class _LineFormatter(logging.Formatter):
    """Time, level, then the fields that are set, then the message, whatever is in it on one line."""

    def __init__(self, node_id: str) -> None:
        super().__init__()
        self._node_id = node_id

    def format(self, record: logging.LogRecord) -> str:
        fields = {"node": self._node_id, "unit": getattr(record, "unit", ""), "peer": getattr(record, "peer", "")}
        named = " ".join(f"{name}={value}" for name, value in fields.items() if value)
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}: {self.formatException(record.exc_info)}"
        return f"{self.formatTime(record)} {record.levelname} {_escaped(f'{named} {record.name}: {text}')}"


def _escaped(text: str) -> str:
    """The text on one line, without characters that a terminal obeys: names come from other nodes and clients."""
    doubled = text.replace("\\", "\\\\")
    if doubled.isprintable():
        return doubled
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in doubled)


def set_up_logging(level: str, node_id: str, trace: bool = False) -> None:
    """Log what is at least as severe as the level (a key of LEVELS), and with ``trace`` each data packet too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter(node_id))
    if trace:
        _set_up_trace(handler)
    handler.setLevel(LEVELS[level])
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("receptor").setLevel(LEVELS[level])
    # Who logs a record, in which thread and process, is in no line: to find it out takes half of the time for one.
    logging._srcfile = None  # as logging's documentation has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # A peer that closes in order is news to qh3; we log the ends of streams ourselves.
    logging.getLogger("quic").setLevel(logging.CRITICAL)


def _set_up_trace(like: logging.Handler) -> None:
    """A way to the same place past the level of the log."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(like.formatter)
    logging.addLevelName(TRACE, "TRACE")
    tracer = logging.getLogger("receptor.trace")
    tracer.setLevel(TRACE)
    tracer.handlers = [handler]
    tracer.propagate = False


class _AuditFile(WatchedFileHandler):
    """A file that its owner alone may read; it is made anew when it was moved away, as logrotate does."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_open_for_owner)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # It was moved away, and could not be made anew.
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        logger.error(
            "the audit file %s can't be written: %s; make room or set its permissions right",
            self.baseFilename,
            sys.exception(),
        )


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def audit_file(path: Path, node_id: str) -> Iterator[None]:
    """Until the block ends, add the audit to that file too, whatever the level of the log is.

    The file is made if need be, for its owner only. Raises OperatingError if it can't be written.
    """
    try:
        handler = _AuditFile(path)
    except OSError as error:
        raise OperatingError(
            f"the audit file {path} can't be written: {error.strerror};"
            " check that its folder exists, and that the user that the node runs as may write it"
        ) from None
    handler.setFormatter(_LineFormatter(node_id))
    audit = logging.getLogger("receptor.audit")
    audit.addHandler(handler)
    audit.setLevel(logging.INFO)
    try:
        yield
    finally:
        audit.setLevel(logging.NOTSET)
        audit.removeHandler(handler)
        with suppress(OSError):  # What could not be written was told when it came.
            handler.close()
