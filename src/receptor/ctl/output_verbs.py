"""``receptorctl work results`` and ``logs``: what a unit has written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import UNIT_ID, WHOLE_NUMBER
from receptor.ctl.time_limit import TimeIsUp, time_limit
from receptor.errors import UnreachableError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.ctl.settings import Settings

_QUIET = 5.0
"""Seconds without output after which what there is has been printed."""


@click.command(short_help="Print the results of a unit.")
@click.argument("unit_id", type=UNIT_ID)
@click.pass_obj
def results(settings: Settings, unit_id: str) -> int:
    """Print what a unit has written so far, and go on until it has ended.

    Ctrl-C leaves the unit running. The exit code is 1 if the unit failed.

    \b
    Examples:
      receptorctl work results t1BlAB18
      receptorctl work results t1BlAB18 > output
    """
    from receptor.ctl.following import Follower, follow
    from receptor.ctl.unit_ids import whole_id

    with settings.client() as client:
        client.connect()
        return follow(settings, Follower(client, whole_id(client, unit_id)))


@click.command(short_help="Print what a unit has written so far, or its last lines.")
@click.argument("unit_id", type=UNIT_ID)
@click.option("--follow", "-f", "following", is_flag=True, help="Go on until the unit has ended.")
@click.option("--tail", "lines", type=WHOLE_NUMBER, metavar="LINES", help="Begin with the last LINES lines.")
@click.option("--since-offset", "offset", type=WHOLE_NUMBER, metavar="BYTES", help="Begin after so many bytes.")
@click.pass_obj
def logs(settings: Settings, unit_id: str, following: bool, lines: int | None, offset: int | None) -> int:
    """Print what a unit has written so far.

    With --follow it goes on until the unit has ended, and the exit code is 1 if the unit failed. When the connection
    breaks or the node is started again, the output goes on at the byte where it broke off.

    \b
    Examples:
      receptorctl work logs t1BlAB18
      receptorctl work logs -f --tail 20 t1BlAB18
      receptorctl work logs --since-offset 4096 t1BlAB18
    """
    if lines is not None and offset is not None:
        terminal.fail("--tail and --since-offset both say where to begin; use one of them")
        return terminal.EXIT_FAILED
    from receptor.client.unit_replies import UnitStatus
    from receptor.ctl.following import Follower, follow, progress_is_seen, write
    from receptor.ctl.outage import Outage
    from receptor.ctl.tail import tail_start
    from receptor.ctl.unit_ids import whole_id

    with settings.client() as client:
        client.connect()
        unit_id = whole_id(client, unit_id)
        size = UnitStatus.parse(client.unit_status(unit_id)).stdout_size
        start = offset or 0
        if lines is not None:
            start = tail_start(size, lines, lambda first, end: b"".join(_part(client, unit_id, first, end)))
        if following:
            return follow(settings, Follower(client, unit_id, start, Outage()))
        write(_part(client, unit_id, start, size), max(0, size - start) if progress_is_seen() else None)
    return 0


def _part(client: ControlClient, unit_id: str, start: int, end: int) -> Iterator[bytes]:
    """The bytes of the output from one position to another, as far as they are there; raises as ``results`` does."""
    left = end - start
    chunks = client.results(unit_id, start) if left > 0 else iter(())
    while left > 0:
        try:
            with time_limit(_QUIET):
                chunk = next(chunks, b"")
        except TimeIsUp:
            terminal.warn(f"{left} more bytes of unit {unit_id} are known of, but have not come from its node yet")
            return
        if not chunk:
            raise UnreachableError(f"the node ended the stream {left} bytes before the end of what it has; try again")
        yield chunk[:left]
        left -= len(chunk)
