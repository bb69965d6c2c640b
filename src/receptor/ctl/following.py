"""The output of a unit on its way to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from receptor.ctl import terminal
from receptor.ctl.time_limit import TimeIsUp, time_limit
from receptor.errors import OperatingError, PeerError, UnreachableError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.client.unit_replies import UnitStatus
    from receptor.ctl.outage import Outage
    from receptor.ctl.settings import Settings


class Follower:
    """Follows the output of a unit to its end.

    ``position`` is the byte after the last that was passed on, ``end`` the unit as it was in the end. With an
    ``outage`` a connection that breaks is made again, and the output goes on at that byte; without, it is an error.
    """

    def __init__(self, client: ControlClient, unit_id: str, start: int = 0, outage: Outage | None = None) -> None:
        self._client = client
        self._outage = outage
        self.unit_id = unit_id
        self.position = start
        self.end: UnitStatus | None = None

    def come_back(self, settings: Settings) -> str:
        """How to see the rest later."""
        if self._outage is None:
            return come_back(settings, self.unit_id)
        words = ("work", "logs", "-f", "--since-offset", str(self.position), self.unit_id)
        return f"To go on: {settings.command_line(*words)}"

    def seen_size(self) -> int | None:
        """The bytes that will come, if they are known by now and somebody would see how far they are; else None."""
        if not progress_is_seen():
            return None
        from receptor.client.unit_replies import UnitStatus

        status = UnitStatus.parse(self._client.unit_status(self.unit_id))
        return max(0, status.stdout_size - self.position) if status.ended else None

    def chunks(self) -> Iterator[bytes]:
        """The output as it comes, until the unit has ended.

        Raises UnreachableError if it is cut off, OperatingError if there is no node; with an outage, if they last.
        """
        from receptor.client.outage import AWAY

        while self.end is None:
            try:
                self._client.connect()
                if self._outage is not None:
                    self._outage.is_over()
                yield from self._until_it_breaks()
            except AWAY as error:
                self._client.close()
                if self._outage is None:
                    raise
                self._outage.wait(error)

    def _until_it_breaks(self) -> Iterator[bytes]:
        from receptor.client.operations import results_error
        from receptor.client.unit_replies import UnitStatus

        before = self.position
        for chunk in self._client.results(self.unit_id, self.position):
            yield chunk
            self.position += len(chunk)
        status = UnitStatus.parse(self._client.unit_status(self.unit_id), self.unit_id)
        cut_off = results_error(status, self.position)
        if cut_off and status.ended and self.position == before and self._outage is not None:
            raise PeerError(f"{cut_off}, and has no more of it")
        if cut_off:
            raise UnreachableError(cut_off)
        self.end = status


def follow(settings: Settings, follower: Follower, *, timeout: float | None = None, own_code: bool = False) -> int:
    """Pass the unit's output on as it comes until the unit ends; the exit code, the command's own if wanted.

    Ctrl-C, a time limit that passes, and a node that goes away end the following and not the unit; all say how to come
    back.
    """
    try:
        with time_limit(timeout):
            write(follower.chunks(), follower.seen_size())
    except KeyboardInterrupt:
        terminal.tell_after_interrupt(
            f"No longer following unit {follower.unit_id}, which goes on. {follower.come_back(settings)}"
        )
        return terminal.EXIT_INTERRUPTED
    except TimeIsUp:
        terminal.fail(f"the time is up, and unit {follower.unit_id} goes on. {follower.come_back(settings)}")
        return terminal.EXIT_TIMED_OUT
    except (UnreachableError, OperatingError) as error:
        raise type(error)(f"{error}. {follower.come_back(settings)}") from error
    assert follower.end is not None
    return told_end(follower.end, own_code=own_code)


def write(chunks: Iterable[bytes], size: int | None) -> None:
    """Pass chunks on to standard output; with their ``size`` in all, those before a terminal see how far it is."""
    if size is None:
        for chunk in chunks:
            terminal.write_bytes(chunk)
        return
    from receptor.ctl.live_line import LiveLine, Transfer

    transfer = Transfer("Receiving", size)
    with LiveLine(transfer.line):
        for chunk in chunks:
            terminal.write_bytes(chunk)
            transfer.done += len(chunk)


def progress_is_seen() -> bool:
    """Whether somebody before a terminal sees how far the output is, which goes elsewhere."""
    return terminal.is_terminal(sys.stderr) and not terminal.is_terminal(sys.stdout)


def told_end(unit: UnitStatus, *, own_code: bool) -> int:
    """Say on standard error if the unit did not succeed; the exit code."""
    from receptor.client.unit_replies import CANCELED, FAILED

    code = 0
    if unit.state == FAILED:
        terminal.fail(f"unit {unit.unit_id} failed: {unit.detail}")
        code = terminal.EXIT_FAILED
    elif unit.state == CANCELED:
        terminal.warn(f"unit {unit.unit_id} was canceled; its results may not be complete")
    if not own_code or unit.succeeded:
        return code
    return unit.shell_exit_code or terminal.EXIT_FAILED


def come_back(settings: Settings, unit_id: str) -> str:
    """How to see the results later."""
    return f"For its results: {settings.command_line('work', 'results', unit_id)}"
