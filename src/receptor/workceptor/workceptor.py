"""All units of a node: making them, finding them, taking them up again after a restart."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from receptor.config.actions import WorkCommand
from receptor.config.kubernetes_action import WorkKubernetes
from receptor.errors import CommandError, LimitReached, UnknownUnit, UnknownWorkType
from receptor.events import LONGEST_TEXT, Events, UnitEvent, now_text
from receptor.identifiers import random_name
from receptor.workceptor.command_unit import CommandUnit
from receptor.workceptor.data_folder import claim_data_folder
from receptor.workceptor.files import Durability
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.growth import GrowthWatcher
from receptor.workceptor.limits import DEFAULT_LIMITS, WorkLimits
from receptor.workceptor.monitors import was_begun_elsewhere
from receptor.workceptor.node_session import Dialer, NodeSessions
from receptor.workceptor.pods.definition import first_pod_status
from receptor.workceptor.pods.unit import PodWorkUnit
from receptor.workceptor.processes import GRACE
from receptor.workceptor.records import LOCAL, ExitRecord, Submission
from receptor.workceptor.remote_unit import RemoteWorkUnit
from receptor.workceptor.runner_client import NeverStarted, RunnerClient, Running, Vanished
from receptor.workceptor.status import PodExtra, RemoteExtra, Status, encode_status
from receptor.workceptor.stored import StoredUnit, load_units
from receptor.workceptor.tokens import Signer
from receptor.workceptor.unit import Unit, now
from receptor.workceptor.work import (
    CommandWork,
    Work,
    digest_of,
    environment_of,
    first_command_status,
    first_remote_status,
)

_NODE_ENDED = "the node ended before it was complete"

logger = logging.getLogger("receptor.workceptor")


class Mesh(Dialer, Protocol):
    """The part of the mesh that units need as a whole."""

    def check_tls_client(self, name: str) -> None:
        """Raise CommandError if there is no tls-client of that name."""

    def watch_routes(self, watcher: Callable[[dict[str, str]], None]) -> None:
        """Call back with the table of next hops whenever it has changed."""


class Workceptor:
    """The units of this node."""

    def __init__(
        self,
        mesh: Mesh,
        data_folder: Path,
        work_commands: tuple[WorkCommand | WorkKubernetes, ...],
        signer: Signer | None,
        limits: WorkLimits = DEFAULT_LIMITS,
        durability: Durability = Durability.PROCESS,
        events: Events | None = None,
        *,
        adopts_orphans: bool = True,
    ) -> None:
        """``events`` is where to tell what becomes of units. ``adopts_orphans``: see RunnerClient."""
        self.growth = GrowthWatcher()
        self.work_commands = {command.work_type: command for command in work_commands}
        self.units: dict[str, Unit] = {}
        self.limits = limits
        self._mesh = mesh
        self._sessions = NodeSessions(mesh)
        self._folder = data_folder
        self._durability = durability
        self._signer = signer
        self._events = events or Events()
        self._rng = random.SystemRandom()
        self._disk = ThreadPoolExecutor(1, "disk")
        self._claim: int | None = None
        """The descriptor that holds the data folder for this daemon."""
        self._runner = RunnerClient(data_folder, self._command_ended, adopts_orphans=adopts_orphans)
        self._reachable: frozenset[str] = frozenset()
        self._running: dict[str, set[str]] = {}
        """The units of each submitter that have not ended."""
        self._keyed: dict[tuple[str, str], Unit] = {}
        """By submitter and idempotency key."""
        self._making = asyncio.Lock()
        """One unit at a time, so that no key makes two and no limit is passed. The disk's one thread is in turn too."""
        self._tasks: set[asyncio.Task[None]] = set()
        mesh.watch_routes(self._routes_changed)

    # Making and finding

    def get(self, unit_id: str) -> Unit:
        """A unit. Raises UnknownUnit."""
        try:
            return self.units[unit_id]
        except KeyError:
            raise UnknownUnit(unit_id) from None

    async def units_of_key(self, submitter: str, idempotency_key: str) -> list[Unit]:
        """The unit that the submitter has made under this key, or is just making, if there is one."""
        async with self._making:
            unit = self._keyed.get((submitter, idempotency_key))
        return [] if unit is None else [unit]

    async def make_unit(self, work: Work, submitter: str = LOCAL, idempotency_key: str = "", name: str = "") -> Unit:
        """A new unit, or the one that the submitter has made under this key before; that one may lack its payload.

        ``name`` is for people. A key stands for it too, so that nobody is told one and finds another.

        Raises CommandError if the work can't be done as asked, the key stands for other work or a limit is reached,
        and OperatingError if the disk does not take the unit.
        """
        digest = digest_of(work) if idempotency_key else ""
        submission = Submission(
            submitter=submitter,
            idempotency_key=idempotency_key,
            request_digest=digest,
            name=name,
            has_environment=bool(environment_of(work)),
        )
        async with self._making:
            return await self._known(submission) or await self._make(work, submission)

    async def _known(self, submission: Submission) -> Unit | None:
        """The unit of that submission, ready to take its payload anew if it lacks it."""
        unit = self._keyed.get((submission.submitter, submission.idempotency_key))
        if unit is None:
            return None
        if unit.submission != submission:
            what = "other work" if unit.submission.request_digest != submission.request_digest else "another name"
            raise CommandError(
                f"the idempotency key was used for {what}, in unit {unit.unit_id}; give each submission a new key"
            )
        await unit.stop_receiving()
        if unit.lacks_payload:
            await unit.release(force=True)
        return None if unit.is_removed else unit

    async def _make(self, work: Work, submission: Submission) -> Unit:
        self._check_limits(submission.submitter)
        if isinstance(work, CommandWork):
            status = await _first_status(work, self._work_command(work.work_type))
        else:
            if work.tls_client:
                self._mesh.check_tls_client(work.tls_client)
            status = first_remote_status(work, can_sign=self._signer is not None)
        while True:
            environment = environment_of(work)
            folder, created = UnitFolder(self._folder / random_name(self._rng), self._durability), now()
            try:
                await self._on_disk(folder, status, submission, created, environment)
            except FileExistsError:
                continue
            unit = self._unit(StoredUnit(folder, status, 0, submission, None, None, created, None, environment))
            self._add(unit)
            self._tell(unit, "unit.created")
            return unit

    async def _on_disk(
        self, folder: UnitFolder, status: Status, submission: Submission, created: float, environment: str
    ) -> None:
        noted = None if submission == Submission() else submission
        try:
            raw = encode_status(status)
        except ValueError as error:
            raise CommandError(f"the parameters are too large ({error}); send large data as the payload") from None
        await asyncio.get_running_loop().run_in_executor(self._disk, folder.create, raw, noted, created, environment)

    def _check_limits(self, submitter: str) -> None:
        if len(self.units) >= self.limits.units:
            raise LimitReached(
                f"this node has {self.limits.units} units, as many as its limits allow; release what has ended"
            )
        if len(self._running.get(submitter, ())) >= self.limits.running:
            raise LimitReached(
                f"{self.limits.running} units of {submitter} have not ended on this node, as many as its limits allow;"
                " wait until some have"
            )

    def _work_command(self, work_type: str) -> WorkCommand | WorkKubernetes:
        try:
            return self.work_commands[work_type]
        except KeyError:
            raise UnknownWorkType(work_type) from None

    def _unit(self, stored: StoredUnit) -> CommandUnit | RemoteWorkUnit | PodWorkUnit:
        base = (stored.folder, stored.status, self._disk, self, stored.submission)
        unit: CommandUnit | RemoteWorkUnit | PodWorkUnit
        command = self.work_commands.get(stored.status.work_type)
        if isinstance(stored.status.extra, RemoteExtra):
            unit = RemoteWorkUnit(*base, self._sessions, self._signer, stored.stdout_size)
        elif isinstance(stored.status.extra, PodExtra):
            unit = PodWorkUnit(*base, command if isinstance(command, WorkKubernetes) else None, stored.stdout_size)
        else:
            command = command if isinstance(command, WorkCommand) else None
            program, grace = (command.command, command.grace) if command else ("", GRACE)
            unit = CommandUnit(*base, self._runner, program, grace)
        unit.end, unit.created_at, unit.ended_at = stored.end, stored.created, stored.ended
        unit.environment = stored.environment
        return unit

    def _add(self, unit: Unit) -> None:
        self.units[unit.unit_id] = unit
        if not unit.status.state.is_final:
            self._running.setdefault(unit.submitter, set()).add(unit.unit_id)
        if unit.submission.idempotency_key:
            self._keyed[unit.submitter, unit.submission.idempotency_key] = unit

    def unit_ended(self, unit: Unit) -> None:
        """A unit has come to a final state: it counts no more against its submitter's limit."""
        running = self._running.get(unit.submitter, set())
        running.discard(unit.unit_id)
        if not running:
            self._running.pop(unit.submitter, None)

    def unit_changed(self, unit: Unit) -> None:
        """Those who follow what happens hear of it."""
        self._tell(unit, "unit.released" if unit.is_removed else "unit.changed")

    def unit_removed(self, unit: Unit) -> None:
        """A unit is no more; its id and key are forgotten."""
        self.unit_ended(unit)
        self.units.pop(unit.unit_id, None)
        key = (unit.submitter, unit.submission.idempotency_key)
        if self._keyed.get(key) is unit:
            del self._keyed[key]

    # A restart

    async def start(self) -> None:
        """Take up the units that the disk holds.

        Raises OperatingError if the data folder can't be used, or another daemon uses it.
        """
        loop = asyncio.get_running_loop()
        self._claim = await loop.run_in_executor(self._disk, claim_data_folder, self._folder, self._durability)
        stored = await loop.run_in_executor(self._disk, load_units, self._folder, self._durability)
        commands: list[tuple[CommandUnit, StoredUnit]] = []
        remotes: list[RemoteWorkUnit] = []
        pods: list[tuple[PodWorkUnit, StoredUnit]] = []
        for one in stored:
            unit = self._unit(one)
            self._add(unit)
            if isinstance(unit, RemoteWorkUnit):
                remotes.append(unit)
            elif isinstance(unit, PodWorkUnit):
                pods.append((unit, one))
            else:
                commands.append((unit, one))
        await self._adopt_commands(commands)
        for remote in remotes:
            await _resume(remote)
        for pod, stored_pod in pods:
            if pod.has_payload or stored_pod.order is not None:
                await pod.resume(stored_pod.order)
            else:
                await pod.payload_is_cut_off(_NODE_ENDED)

    async def _adopt_commands(self, commands: list[tuple[CommandUnit, StoredUnit]]) -> None:
        """Find out what became of the commands that ran, or were to run, when the daemon ended."""
        for unit, stored in commands:
            if stored.order is not None:
                unit.recall_order()
        # A damaged status, which lacks the work type, does not say that the command has ended.
        open_units = {
            unit.unit_id: unit for unit, _ in commands if not (unit.status.state.is_final and unit.status.work_type)
        }
        ordered = {unit.unit_id for unit, stored in commands if stored.order is not None}
        for unit_id, outcome in (await self._runner.adopt(open_units)).items() if open_units else ():
            unit = open_units[unit_id]
            match outcome:
                case Running(start):
                    await unit.running(start)
                case ExitRecord():
                    await unit.command_ended(outcome)
                case Vanished(reason):
                    await unit.vanished(reason)
                case NeverStarted() if was_begun_elsewhere(unit.status):
                    await unit.begun_elsewhere()
                case NeverStarted() if unit_id not in ordered:
                    self._spawn(_start_late(unit), f"start unit {unit_id}")
        for unit, stored in commands:
            if stored.order is not None:
                await unit.obey(stored.order)

    async def close(self) -> None:
        """Stop looking after the units. Commands go on; everything can be taken up again."""
        for unit in list(self.units.values()):
            await unit.close()
        await self._sessions.close()
        await self._runner.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.growth.close()
        self._disk.shutdown(wait=True)
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    # Events

    def _command_ended(self, unit_id: str, end: ExitRecord | Vanished) -> None:
        unit = self.units.get(unit_id)
        if isinstance(unit, CommandUnit):
            told = unit.vanished(end.reason) if isinstance(end, Vanished) else unit.command_ended(end)
            self._spawn(told, f"end unit {unit_id}")

    def _tell(self, unit: Unit, event: Literal["unit.created", "unit.changed", "unit.released"]) -> None:
        if not self._events.are_followed:
            return
        shown = unit.shown
        remote_node = shown.extra.remote_node[:LONGEST_TEXT] if isinstance(shown.extra, RemoteExtra) else msgspec.UNSET
        self._events.publish(
            UnitEvent(
                time=now_text(),
                event=event,
                unit_id=unit.unit_id,
                state=shown.state,
                state_name=shown.state.title,
                work_type=shown.work_type,
                detail=shown.detail[:LONGEST_TEXT],
                name=unit.submission.name or msgspec.UNSET,
                remote_node=remote_node,
            )
        )

    def _routes_changed(self, routes: dict[str, str]) -> None:
        reachable = frozenset(routes)
        found, self._reachable = reachable - self._reachable, reachable
        if not found:
            return
        for unit in list(self.units.values()):
            if isinstance(unit, RemoteWorkUnit) and unit.logic.remote.remote_node in found:
                unit.route_found()

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _first_status(work: CommandWork, action: WorkCommand | WorkKubernetes) -> Status:
    if isinstance(action, WorkKubernetes):
        return await asyncio.to_thread(first_pod_status, work.work_type, work.parameters, action)
    return first_command_status(work, action)


async def _start_late(unit: CommandUnit) -> None:
    """Start a command that was never begun, if its payload is whole."""
    if not unit.has_payload:
        await unit.payload_is_cut_off(_NODE_ENDED)
        return
    with suppress(CommandError):  # The unit's status tells it.
        await unit.start()


async def _resume(unit: RemoteWorkUnit) -> None:
    if unit.has_payload or unit.logic.is_released:
        await unit.resume()
    else:
        await unit.payload_is_cut_off(_NODE_ENDED)
