"""The results of a unit on their way to standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receptor.ctl import terminal
from receptor.errors import OperatingError, UnreachableError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.ctl.settings import Settings


def follow(client: ControlClient, settings: Settings, unit_id: str) -> int:
    """Pass the unit's output on as it comes until the unit ends; the exit code.

    Ctrl-C, or a node that goes away, ends the following and not the unit; both say how to come back.
    """
    from receptor.client.control_client import results_error
    from receptor.client.replies import CANCELED, FAILED, UnitStatus

    received = 0
    try:
        for chunk in client.results(unit_id):
            terminal.write_bytes(chunk)
            received += len(chunk)
        status = UnitStatus.parse(client.unit_status(unit_id))
        cut_off = results_error(status, received)
        if cut_off:
            raise UnreachableError(cut_off)
    except KeyboardInterrupt:
        terminal.tell_after_interrupt(
            f"No longer following unit {unit_id}, which goes on. {come_back(settings, unit_id)}"
        )
        return terminal.EXIT_INTERRUPTED
    except (UnreachableError, OperatingError) as error:
        raise type(error)(f"{error}. {come_back(settings, unit_id)}") from error
    if status.state == FAILED:
        terminal.fail(f"unit {unit_id} failed: {status.detail}")
        return terminal.EXIT_FAILED
    if status.state == CANCELED:
        terminal.warn(f"unit {unit_id} was canceled; its results may not be complete")
    return 0


def come_back(settings: Settings, unit_id: str) -> str:
    """How to see the results later."""
    return f"For its results: {settings.command_line('work', 'results', unit_id)}"
