"""How the daemon has commands run: by the runner, whatever becomes of either of the two.

What may die, and what is true then:

* the daemon: the runner and the commands go on; the next daemon's ``adopt`` learns what runs and how the rest ended.
* the runner: a request that it had not begun is made again to a new one. The daemon that started the runner becomes
  the commands' parent and learns their ends itself (``orphans``). A daemon that found the runner running can't:
  the kernel tells an end only to a parent. Nor may one that shares its process with others, for whom it would reap.
  Then nobody will ever know how these commands end, so they are killed, and the units are told as vanished at once.
* the runner between starting a command and noting which process it is: the command is found by the unit's folder in
  its environment and taken over; if it is gone already, the unit vanished, for it may have run.
* both, or the whole machine: what has no record of its end vanished; what still runs of it is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path

import msgspec

from receptor.errors import CommandError, OperatingError
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.orphans import Orphans
from receptor.workceptor.processes import kill_remains, leave_out
from receptor.workceptor.records import ExitRecord, StartRecord
from receptor.workceptor.runner import become_subreaper
from receptor.workceptor.runner_link import (
    ATTEMPTS,
    LOG,
    Ended,
    News,
    NotStarted,
    Refused,
    RunnerLink,
    Started,
    open_link,
)
from receptor.workceptor.traces import Trace, find_traces, find_unrecorded_command

SETTLE_PAUSE = 1.0
"""Seconds until /proc is looked at again, if it could not be read."""

logger = logging.getLogger("receptor.workceptor")


class Vanished(msgspec.Struct, frozen=True):
    """Nobody will ever know how the command ended; nothing of it runs any more. ``reason`` is for people."""

    reason: str


class Running(msgspec.Struct, frozen=True):
    """The command runs, and its end will be told."""

    start: StartRecord


class NeverStarted(msgspec.Struct, frozen=True):
    """The command was certainly never started, and may be now."""


Outcome = Running | ExitRecord | Vanished | NeverStarted
OnEnd = Callable[[str, ExitRecord | Vanished], None]


class RunnerClient:
    """Starts commands and learns their ends, for one data folder.

    ``on_end`` is called in the event loop, once for each unit that ``start`` returned for or ``adopt`` told as
    running, and never before that call has returned to the task that awaits it.

    ``adopts_orphans``: make this process a subreaper, so that it becomes the parent of commands whose runner is killed,
    and of all that other processes below it leave behind. For a process that is the node's alone.
    """

    def __init__(self, data_folder: Path, on_end: OnEnd, *, adopts_orphans: bool = True) -> None:
        self._data_folder = data_folder
        self._on_end = on_end
        self._adopts_orphans = adopts_orphans
        self._link: RunnerLink | None = None
        self._opening = asyncio.Lock()
        self._running: dict[str, int | None] = {}
        """The process of each unit that runs, if it is known."""
        self._claimed: set[str] = set()
        self._unclaimed: dict[str, ExitRecord | Vanished] = {}
        self._recoveries: set[asyncio.Task[None]] = set()
        self._orphans: Orphans | None = None

    async def start(
        self, unit_id: str, folder: UnitFolder, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> StartRecord:
        """Start a command with the unit's ``stdin`` and ``stdout``; starts the runner if none runs.

        Its environment is the node's, but for these variables. Returns when the command runs and that is on disk.
        Raises OperatingError or CommandError if it can't be started; it did not run then, unless the message says that
        nobody knows. If this is cancelled the command may run or not; ``on_end`` is called for it if it does.
        """
        if not argv or any("\0" in word for word in argv):
            raise CommandError("the command can't be started: its words are none or hold a NUL character")
        for _ in range(ATTEMPTS):
            link = await self._open_link(start_runner=True)
            try:
                start = await link.start(unit_id, folder, argv, environment or {}) if link else None
            except NotStarted:
                continue
            if start:
                self._claim(unit_id)
                return start
        raise OperatingError(
            f"{self._data_folder}: the runner of commands ended again and again before it started one; see {LOG} there"
        )

    async def adopt(self, unit_ids: Iterable[str]) -> Mapping[str, Outcome]:
        """What became of units that another daemon had in work, told once this one may start commands.

        For all units that are not in a final state. Raises OperatingError if a runner runs but can't be reached.
        """
        await self._open_link(start_runner=False)
        traces = await asyncio.to_thread(find_traces, [self._folder(unit_id) for unit_id in unit_ids])
        outcomes: dict[str, Outcome] = {}
        lost: dict[str, Trace] = {}
        for unit_id, trace in traces.items():
            if unit_id in self._running.keys() | self._unclaimed.keys() and trace.start:
                if unit_id in self._running:
                    self._note_running(unit_id, trace.start)
                outcomes[unit_id] = Running(trace.start)
            elif trace.end:
                outcomes[unit_id] = trace.end
            elif not trace.begun:
                outcomes[unit_id] = NeverStarted()
            else:
                lost[unit_id] = trace
        outcomes.update(await self._give_up(lost))
        for unit_id, outcome in outcomes.items():
            if isinstance(outcome, Running):
                self._claim(unit_id)
        return outcomes

    async def close(self) -> None:
        """End the connection. The runner and the commands live on, and no end is told any more."""
        self._claimed.clear()
        for unit_id in list(self._running):
            self._forget_running(unit_id)
        if self._link:
            await self._link.close()
            for answer in self._link.starting.values():
                answer.cancel()
        for recovery in self._recoveries:
            recovery.cancel()
        await asyncio.gather(*self._recoveries, return_exceptions=True)
        if self._orphans:
            self._orphans.close()

    def _folder(self, unit_id: str) -> UnitFolder:
        return UnitFolder(self._data_folder / unit_id)

    async def _open_link(self, *, start_runner: bool) -> RunnerLink | None:
        async with self._opening:
            if self._link is None or self._link.is_lost:
                if start_runner and self._adopts_orphans:
                    become_subreaper()
                self._link = await open_link(
                    self._data_folder, self._receive, self._lose_runner, start_runner=start_runner
                )
            return self._link

    def _receive(self, link: RunnerLink, news: News) -> None:
        match news:
            case Started(unit_id, start):
                link.units.add(unit_id)
                self._begin(unit_id, start, link.starting.pop(unit_id, None))
            case Refused(unit_id):
                answer = link.starting.pop(unit_id, None)
                if answer and not answer.done():
                    answer.set_exception(news.error())
            case Ended(unit_id, record):
                link.units.discard(unit_id)
                self._end(unit_id, record)
            case _:
                self._running.update(dict.fromkeys(link.units))

    def _begin(self, unit_id: str, start: StartRecord, answer: asyncio.Future[StartRecord] | None) -> None:
        self._note_running(unit_id, start)
        if answer and not answer.done():
            answer.set_result(start)
        else:
            self._claim(unit_id)

    def _end(self, unit_id: str, end: ExitRecord | Vanished) -> None:
        self._forget_running(unit_id)
        if unit_id in self._claimed:
            self._claimed.discard(unit_id)
            asyncio.get_running_loop().call_soon(self._on_end, unit_id, end)
        else:
            self._unclaimed[unit_id] = end

    def _note_running(self, unit_id: str, start: StartRecord) -> None:
        self._running[unit_id] = start.pid
        leave_out(start.pid, True)

    def _forget_running(self, unit_id: str) -> None:
        pid = self._running.pop(unit_id, None)
        if pid is not None:
            leave_out(pid, False)

    def _claim(self, unit_id: str) -> None:
        """From now on the end is to be told; if it came already, as soon as the present task awaits something."""
        if unit_id in self._unclaimed:
            asyncio.get_running_loop().call_soon(self._on_end, unit_id, self._unclaimed.pop(unit_id))
        else:
            self._claimed.add(unit_id)

    # When the runner was killed

    def _lose_runner(self, link: RunnerLink) -> None:
        recovery = asyncio.create_task(self._recover(link), name="recovery of commands whose runner was killed")
        self._recoveries.add(recovery)
        recovery.add_done_callback(self._recoveries.discard)

    async def _recover(self, link: RunnerLink) -> None:
        """Settle all that the runner had in work."""
        try:
            await asyncio.to_thread(_await_end_of_child, link.pid)
            await self._settle_sooner_or_later(link)
        finally:
            for answer in link.starting.values():
                answer.cancel()

    async def _settle_sooner_or_later(self, link: RunnerLink) -> None:
        while True:
            try:
                await self._settle(link)
                return
            except OSError as error:
                logger.error("what became of the commands of a killed runner can't be found out now: %s", error)
            await asyncio.sleep(SETTLE_PAUSE)

    async def _settle(self, link: RunnerLink) -> None:
        folders = [self._folder(unit_id) for unit_id in link.units | link.starting.keys()]
        traces = await asyncio.to_thread(find_traces, folders)
        for unit_id, answer in list(link.starting.items()):
            await self._settle_start(unit_id, traces, answer)
            del link.starting[unit_id]
        told = {unit_id: trace for unit_id, trace in traces.items() if unit_id in self._running}
        orphans = {unit_id: (trace.folder, trace.start) for unit_id, trace in told.items() if trace.start}
        watched = await self._adopt_orphans(orphans) if self._adopts_orphans else frozenset()
        ended = {unit_id: trace.end for unit_id, trace in told.items() if trace.end and unit_id not in watched}
        lost = {unit_id: trace for unit_id, trace in told.items() if unit_id not in watched | ended.keys()}
        logger.error(
            "the runner of commands (process %d) was killed; of its commands %d had ended, %d are watched by the node"
            " itself, %d are given up%s",
            link.pid,
            len(ended),
            len(watched),
            len(lost),
            await asyncio.to_thread(_last_words, self._data_folder / LOG),
        )
        for unit_id, end in ended.items():
            self._end(unit_id, end)
        for unit_id, vanished in (await self._give_up(lost)).items():
            self._end(unit_id, vanished)

    async def _adopt_orphans(self, orphans: Mapping[str, tuple[UnitFolder, StartRecord]]) -> Set[str]:
        """Watch what has become a child of ours; the units of which that is so."""
        if self._orphans is None:
            self._orphans = Orphans(self._end_orphan, self._all_orphans_known)
        return orphans.keys() - await asyncio.to_thread(self._orphans.watch, orphans)

    async def _settle_start(self, unit_id: str, traces: dict[str, Trace], answer: asyncio.Future[StartRecord]) -> None:
        """Answer a request to start that the runner left unanswered."""
        trace = traces[unit_id]
        if trace.begun and not trace.start:
            trace = traces[unit_id] = await asyncio.to_thread(find_unrecorded_command, trace)
        if trace.start:
            self._begin(unit_id, trace.start, answer)
        elif answer.done():
            return
        elif trace.begun:
            reason = (await self._give_up({unit_id: trace}))[unit_id].reason
            answer.set_exception(OperatingError(f"the command can't be started: {reason}"))
        else:
            answer.set_exception(NotStarted())

    def _all_orphans_known(self) -> bool:
        """Whether no runner has died whose commands are not settled yet; for any thread."""
        return not self._recoveries and not (self._link and _is_zombie(self._link.pid))

    def _end_orphan(self, unit_id: str, record: ExitRecord | None) -> None:
        self._end(unit_id, record or Vanished("somebody else took note of the end of its command"))

    async def _give_up(self, lost: Mapping[str, Trace]) -> dict[str, Vanished]:
        """Kill what is left of units whose commands nobody can learn the end of."""
        reasons = await asyncio.to_thread(lambda: {unit_id: Vanished(lost[unit_id].why_lost()) for unit_id in lost})
        folders = {str(trace.folder.path) for trace in lost.values() if trace.may_have_remains()}
        if folders:
            starts = [trace.start for trace in lost.values() if trace.start]
            await asyncio.to_thread(kill_remains, folders, starts)
        return reasons


def _is_zombie(pid: int) -> bool:
    """Whether it is a child of ours that has ended and wasn't waited for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _await_end_of_child(pid: int) -> None:
    """If the process is our child, wait until it is gone: only then its children are ours."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


def _last_words(log: Path) -> str:
    """The last line that the runner wrote on its standard error, which is where an unexpected error goes."""
    try:
        lines = log.read_text(errors="replace").split("\n")[:-1]
    except OSError:
        return ""
    return f"; its last words: {lines[-1][:500]}" if lines else ""
