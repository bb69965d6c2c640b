"""The table of control commands: which command is carried out by whom, after it was checked, and on record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from receptor.control.access import AccessPolicy
from receptor.control.answers import ReloadAnswer
from receptor.control.audit import Entry, audited
from receptor.control.commands import (
    Command,
    Connect,
    FollowEvents,
    Ping,
    Reload,
    ShowStatus,
    Traceroute,
    WorkCancel,
    WorkList,
    WorkRelease,
    WorkResults,
    WorkStatus,
    WorkSubmit,
)
from receptor.control.mesh_commands import MeshCommands
from receptor.control.service import Answer
from receptor.control.work_commands import WorkCommands
from receptor.node.byte_stream import ByteStream


class Dispatcher:
    """Carries out commands for the sessions of a control service."""

    def __init__(
        self,
        access: AccessPolicy,
        mesh: MeshCommands,
        work: WorkCommands,
        reload: Callable[[], Awaitable[ReloadAnswer]],
    ) -> None:
        self._access = access
        self._reload = reload
        self._mesh = mesh
        self._work = work

    async def __call__(self, command: Command, stream: ByteStream) -> Answer | None:
        """The answer to a command; None if the stream was used otherwise. Raises ReceptorError if it is refused."""
        with audited(command, stream.origin) as entry:
            self._access.check(command, stream.origin)
            answer = await self._carry_out(command, stream, entry)
            entry.answered(answer)
            return answer

    async def _carry_out(self, command: Command, stream: ByteStream, entry: Entry) -> Answer | None:
        match command:
            case ShowStatus():
                return await self._mesh.status(command, stream.origin.is_local)
            case Ping():
                return await self._mesh.ping(command)
            case Traceroute():
                return await self._mesh.traceroute(command)
            case Connect():
                await self._mesh.connect(command, stream, entry.allowed)
                return None
            case Reload():
                return await self._reload()
            case FollowEvents():
                await self._mesh.follow_events(stream, self._access.told_to(stream.origin))
                return None
            case WorkSubmit():
                return await self._work.submit(command, stream, entry.unit_made)
            case WorkList():
                origin = stream.origin
                return await self._work.list(command, origin, self._access.seen_by(origin))
            case WorkStatus():
                return await self._work.status(command, stream)
            case WorkResults():
                await self._work.results(command, stream)
                return None
            case WorkCancel():
                return await self._work.cancel(command, stream)
            case WorkRelease():
                return await self._work.release(command, stream)
