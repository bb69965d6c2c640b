"""All units of a node: making them, finding them, taking them up again after a restart."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from receptor.config.actions import WorkCommand
from receptor.durations import parse_duration
from receptor.errors import CommandError, OperatingError, UnknownUnit, UnknownWorkType
from receptor.identifiers import random_name
from receptor.netceptor.messages import parse_time
from receptor.workceptor.command_unit import CommandUnit
from receptor.workceptor.folder import UnitFolder, remove_leftovers, unit_ids
from receptor.workceptor.growth import GrowthWatcher
from receptor.workceptor.records import ExitRecord
from receptor.workceptor.remote import expiration_text
from receptor.workceptor.remote_unit import Dialer, RemoteWorkUnit
from receptor.workceptor.runner_client import NeverStarted, RunnerClient, Running, Vanished
from receptor.workceptor.signing import Signer
from receptor.workceptor.status import (
    NO_EXPIRATION,
    REMOTE_WORK_TYPE,
    CommandExtra,
    RemoteExtra,
    State,
    Status,
    decode_status,
    is_secret,
)
from receptor.workceptor.unit import CREATED, Unit

logger = logging.getLogger("receptor.workceptor")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWork:
    """What a submitter asks another node to do."""

    node: str
    work_type: str
    tls_client: str = ""
    ttl: str = ""
    sign_work: bool = False
    parameters: Mapping[str, str]


class Mesh(Dialer, Protocol):
    """The part of the mesh that units need as a whole."""

    def watch_routes(self, watcher: Callable[[dict[str, str]], None]) -> None:
        """Call back with the table of next hops whenever it has changed."""


class Workceptor:
    """The units of this node."""

    def __init__(
        self, mesh: Mesh, data_folder: Path, work_commands: tuple[WorkCommand, ...], signer: Signer | None
    ) -> None:
        self.growth = GrowthWatcher()
        self.work_commands = {command.work_type: command for command in work_commands}
        self.units: dict[str, Unit] = {}
        self._mesh = mesh
        self._folder = data_folder
        self._signer = signer
        self._rng = random.SystemRandom()
        self._disk = ThreadPoolExecutor(1, "disk")
        self._runner = RunnerClient(data_folder, self._command_ended)
        self._reachable: frozenset[str] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()
        mesh.watch_routes(self._routes_changed)

    # Making and finding

    def get(self, unit_id: str) -> Unit:
        """A unit. Raises UnknownUnit."""
        try:
            return self.units[unit_id]
        except KeyError:
            raise UnknownUnit(unit_id) from None

    def work_command(self, work_type: str) -> WorkCommand:
        """A work type of this node. Raises UnknownWorkType."""
        try:
            return self.work_commands[work_type]
        except KeyError:
            raise UnknownWorkType(work_type) from None

    async def make_command_unit(self, work_type: str, parameters: Mapping[str, str]) -> Unit:
        """A new unit for a command of this node. Raises CommandError if the work type doesn't take the parameters."""
        command = self.work_command(work_type)
        params = parameters.get("params", "")
        if params and not command.allow_runtime_params:
            raise CommandError(f"extra params provided but not allowed: work type {work_type} takes none")
        extra = CommandExtra(params=f"{command.params} {params}".strip())
        status = Status(state=State.PENDING, detail=CREATED, stdout_size=0, work_type=work_type, extra=extra)
        unit_id, folder = await self._make_folder()
        return await self._add(self._command_unit(unit_id, folder, status))

    async def make_remote_unit(self, work: RemoteWork) -> Unit:
        """A new unit for work on another node. Raises CommandError if it can't be sent as asked."""
        if any(is_secret(name) for name in work.parameters) and not work.tls_client:
            raise CommandError("cannot send secrets over a non-TLS connection; name a tlsclient")
        if work.tls_client:
            raise CommandError(f"unknown TLS client {work.tls_client}")
        if work.sign_work and self._signer is None:
            raise CommandError("this node can't sign work: its configuration has no work-signing key")
        extra = RemoteExtra(
            remote_node=work.node,
            remote_work_type=work.work_type,
            remote_params=dict(work.parameters),
            sign_work=work.sign_work,
            tls_client=work.tls_client,
            expiration=_expiration(work.ttl),
        )
        status = Status(state=State.PENDING, detail=CREATED, stdout_size=0, work_type=REMOTE_WORK_TYPE, extra=extra)
        unit_id, folder = await self._make_folder()
        return await self._add(self._remote_unit(unit_id, folder, status))

    async def _make_folder(self) -> tuple[str, UnitFolder]:
        while True:
            unit_id = random_name(self._rng)
            folder = UnitFolder(self._folder / unit_id)
            try:
                await asyncio.get_running_loop().run_in_executor(self._disk, folder.create, b"")
            except FileExistsError:
                continue
            return unit_id, folder

    async def _add(self, unit: Unit) -> Unit:
        self.units[unit.unit_id] = unit
        await unit.save(unit.status)
        return unit

    def _command_unit(self, unit_id: str, folder: UnitFolder, status: Status) -> CommandUnit:
        command = self.work_commands.get(status.work_type)
        path = command.command if command else ""
        return CommandUnit(unit_id, folder, status, self._disk, self._forget, self._runner, path)

    def _remote_unit(self, unit_id: str, folder: UnitFolder, status: Status, stdout_size: int = 0) -> RemoteWorkUnit:
        return RemoteWorkUnit(unit_id, folder, status, self._disk, self._forget, self._mesh, self._signer, stdout_size)

    def _forget(self, unit_id: str) -> None:
        self.units.pop(unit_id, None)

    # A restart

    async def start(self) -> None:
        """Take up the units that the disk holds. Raises OperatingError if the data folder can't be used."""
        loop = asyncio.get_running_loop()
        stored = await loop.run_in_executor(self._disk, _load, self._folder)
        for unit_id, folder, status, stdout_size in stored:
            if isinstance(status.extra, RemoteExtra):
                self.units[unit_id] = self._remote_unit(unit_id, folder, status, stdout_size)
            else:
                self.units[unit_id] = self._command_unit(unit_id, folder, status)
        await self._adopt_commands()
        for unit in list(self.units.values()):
            if isinstance(unit, RemoteWorkUnit):
                await _resume(unit)

    async def _adopt_commands(self) -> None:
        """Find out what became of the commands that ran, or were to run, when the daemon ended."""
        # A damaged status, which lacks the work type, does not say that the command has ended.
        open_units = {
            unit_id: unit
            for unit_id, unit in self.units.items()
            if isinstance(unit, CommandUnit) and not (unit.status.state.is_final and unit.status.work_type)
        }
        for unit_id, outcome in (await self._runner.adopt(open_units)).items() if open_units else ():
            unit = open_units[unit_id]
            match outcome:
                case Running(start):
                    await unit.running(start)
                case ExitRecord():
                    await unit.command_ended(outcome)
                case Vanished(reason):
                    await unit.vanished(reason)
                case NeverStarted():
                    self._spawn(_start_late(unit), f"start unit {unit_id}")

    async def close(self) -> None:
        """Stop looking after the units. Commands go on; everything can be taken up again."""
        for unit in list(self.units.values()):
            await unit.close()
        await self._runner.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.growth.close()
        self._disk.shutdown(wait=True)

    # Events

    def _command_ended(self, unit_id: str, end: ExitRecord | Vanished) -> None:
        unit = self.units.get(unit_id)
        if isinstance(unit, CommandUnit):
            told = unit.vanished(end.reason) if isinstance(end, Vanished) else unit.command_ended(end)
            self._spawn(told, f"end unit {unit_id}")

    def _routes_changed(self, routes: dict[str, str]) -> None:
        reachable = frozenset(routes)
        found, self._reachable = reachable - self._reachable, reachable
        for unit in list(self.units.values()):
            if isinstance(unit, RemoteWorkUnit) and unit.logic.remote.remote_node in found:
                unit.route_found()

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _start_late(unit: CommandUnit) -> None:
    """Start a command that was never begun, if its payload is whole."""
    if not unit.has_payload:
        await unit.payload_is_cut_off()
        return
    with suppress(CommandError):  # The unit's status tells it.
        await unit.start()


async def _resume(unit: RemoteWorkUnit) -> None:
    if unit.has_payload:
        await unit.resume()
    else:
        await unit.payload_is_cut_off()


def _load(data_folder: Path) -> list[tuple[str, UnitFolder, Status, int]]:
    """Every unit on disk with its status; one whose status is damaged counts as failed, with the reason."""
    try:
        data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_leftovers(data_folder)
        names = unit_ids(data_folder)
    except OSError as error:
        raise OperatingError(
            f"the data folder {data_folder} can't be used: {error.strerror}; check its permissions or set datadir"
        ) from None
    return [(name, folder, *_load_status(folder)) for name in names for folder in [UnitFolder(data_folder / name)]]


def _load_status(folder: UnitFolder) -> tuple[Status, int]:
    size = 0
    try:
        size = folder.stdout_size()
        status = decode_status(folder.read_status())
        if isinstance(status.extra, RemoteExtra):
            parse_time(status.extra.expiration)
        return status, size
    except (ValueError, OperatingError) as error:
        reason = f"the status on disk can't be read: {error}"
        logger.error("%s", reason, extra={"unit": folder.path.name})
        return Status(state=State.FAILED, detail=reason, stdout_size=size, work_type=""), size


def _expiration(ttl: str) -> str:
    if not ttl:
        return NO_EXPIRATION
    try:
        return expiration_text(time.time() + parse_duration(ttl))
    except (ValueError, OverflowError) as error:
        raise CommandError(f"ttl: {error}") from None
