"""The states of units in their colours, the same wherever they are shown."""

from __future__ import annotations

from collections.abc import Mapping

from receptor.client.unit_replies import CANCELED, FAILED, PENDING, RUNNING, SUCCEEDED, UnitState
from receptor.ctl.tables import Cell

_COLOURS: Mapping[UnitState, str] = {
    PENDING: "yellow",
    RUNNING: "cyan",
    SUCCEEDED: "green",
    FAILED: "red",
    CANCELED: "magenta",
}


def state_cell(state: UnitState) -> Cell:
    """The name of the state in its colour."""
    return Cell(state.title, _COLOURS[state])
