"""The colours of the states of units, the same wherever they are shown."""

from __future__ import annotations

from collections.abc import Mapping

from receptor.client.replies import CANCELED, FAILED, PENDING, RUNNING, SUCCEEDED

STATE_COLOURS: Mapping[int, str] = {
    PENDING: "yellow",
    RUNNING: "cyan",
    SUCCEEDED: "green",
    FAILED: "red",
    CANCELED: "magenta",
}
