"""The commands about units of work."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from receptor.control.answers import SubmitAnswer
from receptor.control.commands import WorkCancel, WorkList, WorkRelease, WorkResults, WorkStatus, WorkSubmit
from receptor.errors import CommandError
from receptor.identifiers import is_localhost
from receptor.node.byte_stream import ByteStream, Origin
from receptor.workceptor.results import follow
from receptor.workceptor.signing import Verifier
from receptor.workceptor.status import REMOTE_WORK_TYPE, RemoteExtra, StatusAnswer, answer
from receptor.workceptor.unit import Unit
from receptor.workceptor.workceptor import RemoteWork, Workceptor


class WorkCommands:
    """Handlers of the control service."""

    def __init__(self, node_id: str, workceptor: Workceptor, verifier: Verifier | None) -> None:
        self._node_id = node_id
        self._workceptor = workceptor
        self._verifier = verifier

    async def submit(self, command: WorkSubmit, stream: ByteStream) -> SubmitAnswer:
        """Make a unit, take its payload, and begin the work."""
        unit = await self._make(command, stream.origin)
        await unit.receive_payload(_payload(stream, unit.unit_id))
        return SubmitAnswer(await unit.start(), unit.unit_id)

    async def list(self, command: WorkList) -> dict[str, StatusAnswer]:
        """The status of all units or of one."""
        units = list(self._workceptor.units.values())
        if command.unit_id is not None:
            units = [self._workceptor.get(command.unit_id)]
        return {unit.unit_id: answer(await unit.current_status()) for unit in units}

    async def status(self, command: WorkStatus) -> StatusAnswer:
        """The status of a unit."""
        return answer(await self._workceptor.get(command.unit_id).current_status())

    async def results(self, command: WorkResults, stream: ByteStream) -> None:
        """Stream the output of a unit until it has ended."""
        unit = self._allowed(command, stream.origin)
        await stream.write(f"Streaming results for work unit {unit.unit_id}\n".encode())
        async with aclosing(follow(unit, command.start, self._workceptor.growth)) as output:
            async for data in output:
                await stream.write(data)
        await stream.finish()

    async def cancel(self, command: WorkCancel, stream: ByteStream) -> dict[str, str]:
        """Stop a unit."""
        unit = self._allowed(command, stream.origin)
        return {"cancelled" if await unit.cancel() else "cancel pending": unit.unit_id}

    async def release(self, command: WorkRelease, stream: ByteStream) -> dict[str, str]:
        """Stop a unit and delete it."""
        unit = self._allowed(command, stream.origin)
        return {"released" if await unit.release(command.force) else "release pending": unit.unit_id}

    async def _make(self, command: WorkSubmit, origin: Origin) -> Unit:
        is_ours = is_localhost(command.node) or command.node == self._node_id
        if is_ours and command.work_type == REMOTE_WORK_TYPE:
            raise CommandError("unknown work type remote: name the node to run on, and a work type of that node")
        self._check_signature(is_ours and self._asks_signature(command.work_type), command.signature, origin)
        if is_ours:
            if command.ttl:
                raise CommandError("ttl option is intended for remote work only")
            return await self._workceptor.make_command_unit(command.work_type, command.parameters)
        if command.sign_work and not origin.is_local:
            raise CommandError("this node signs work for clients of its Unix socket only")
        return await self._workceptor.make_remote_unit(
            RemoteWork(
                node=command.node,
                work_type=command.work_type,
                tls_client=command.tls_client,
                ttl=command.ttl,
                sign_work=command.sign_work,
                parameters=command.parameters,
            )
        )

    def _allowed(self, command: WorkResults | WorkCancel | WorkRelease, origin: Origin) -> Unit:
        """The unit of a command that reads or ends it. Raises CommandError if the signature is not as it must be."""
        unit = self._workceptor.get(command.unit_id)
        extra = unit.status.extra
        is_signed = extra.sign_work if isinstance(extra, RemoteExtra) else self._asks_signature(unit.status.work_type)
        self._check_signature(is_signed, command.signature, origin)
        return unit

    def _asks_signature(self, work_type: str) -> bool:
        """Whether units of the type need one; of a type that is no longer configured, where signatures are in use."""
        command = self._workceptor.work_commands.get(work_type)
        return self._verifier is not None if command is None else command.verify_signature

    def _check_signature(self, is_asked: bool, signature: str, origin: Origin) -> None:
        if not is_asked and signature:
            raise CommandError("work type did not expect a signature")
        if is_asked and not origin.is_local:
            if self._verifier is None:
                raise CommandError("could not verify signature: this node has no work-verification key")
            self._verifier.verify(signature, time.time())


async def _payload(stream: ByteStream, unit_id: str) -> AsyncIterator[bytes]:
    await stream.write(f"Work unit created with ID {unit_id}. Send stdin data and EOF.\n".encode())
    while data := await stream.read():
        yield data
