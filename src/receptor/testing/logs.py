"""The log of nodes that share a process: each line says whose it is, in whatever way the tests show it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

current_node = ContextVar("current_node", default="")
"""The node that runs in this context. Tasks and connections that it makes have it too."""


class _Names(logging.Handler):
    """Shows nothing itself. Those of the loggers above get each record after this."""

    def emit(self, record: logging.LogRecord) -> None:
        node = current_node.get()
        if node and not hasattr(record, "node"):  # Else another mesh has named it.
            record.node = node
            record.msg = f"node={node.replace('%', '%%') if record.args else node} {record.msg}"


def _is_news(record: logging.LogRecord) -> bool:
    """Not that a stream was closed in order, of which qh3 warns."""
    return not record.getMessage().startswith("Native peer close")


@contextmanager
def named_nodes() -> Iterator[None]:
    """Have nodes named in the log until the block ends. Levels and handlers stay those of the tests."""
    nodes, streams, names = logging.getLogger("receptor"), logging.getLogger("quic"), _Names()
    nodes.addHandler(names)
    streams.addFilter(_is_news)
    try:
        yield
    finally:
        nodes.removeHandler(names)
        streams.removeFilter(_is_news)
