"""Logging: one line a record on standard error, with the node, unit and peer that it concerns."""

from __future__ import annotations

import logging
import sys

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


def set_up_logging(level: str, node_id: str) -> None:
    """Log what is at least as severe as the level (a key of LEVELS)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter(node_id))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("receptor").setLevel(LEVELS[level])
    # A peer that closes in order is news to qh3; we log the ends of streams ourselves.
    logging.getLogger("quic").setLevel(logging.CRITICAL)
