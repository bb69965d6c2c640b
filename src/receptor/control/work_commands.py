"""The commands about units of work."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from receptor.control.answers import SubmitAnswer
from receptor.control.commands import WorkCancel, WorkList, WorkRelease, WorkResults, WorkStatus, WorkSubmit
from receptor.control.multiplexed import NumberedCommand
from receptor.errors import CommandError, NotAllowed, UnknownUnit
from receptor.identifiers import means_node
from receptor.node.byte_stream import ByteStream, Origin, while_there
from receptor.workceptor.news import await_news, look
from receptor.workceptor.results import follow
from receptor.workceptor.status import REMOTE_WORK_TYPE, RemoteExtra, State, Status, StatusAnswer, answer
from receptor.workceptor.tokens import Deed, Verifier, submit_deed
from receptor.workceptor.unit import Unit
from receptor.workceptor.work import CommandWork, RemoteWork, Work
from receptor.workceptor.workceptor import Workceptor

LONGEST_WAIT = 300.0
"""Seconds after which a client that waits for another state is answered in any case: so it knows that we live."""

MOST_WAITING = 100
"""Clients that may wait for news of one unit; others are answered at once, lest each change wakes up thousands."""

UNITS_AT_A_TIME = 200
"""Units of a list after which others have their turn: a node may have 100,000 of them."""


class WorkCommands:
    """Handlers of the control service."""

    def __init__(self, node_id: str, workceptor: Workceptor, verifier: Verifier | None) -> None:
        self._node_id = node_id
        self._workceptor = workceptor
        self._verifier = verifier
        self._waiting: Counter[str] = Counter()
        """How many wait for news of each unit."""

    async def submit(self, command: WorkSubmit, stream: ByteStream, on_unit: Callable[[str], None]) -> SubmitAnswer:
        """Make a unit, take its payload, and begin the work. ``on_unit`` hears the unit's id before the client does."""
        unit, payload_digest = await self._make(command, stream.origin)
        on_unit(unit.unit_id)
        largest = self._workceptor.limits.payload
        async with aclosing(_payload(stream, unit.unit_id, largest, payload_digest)) as payload:
            if unit.has_payload:
                # It was submitted before with the same key; the client can't know how far that came.
                async for _ in payload:
                    pass
                return SubmitAnswer(unit.start_result, unit.unit_id)
            await unit.receive_payload(payload)
        return SubmitAnswer(await unit.start(), unit.unit_id)

    async def list(self, command: WorkList, origin: Origin, may_see: Callable[[str], bool]) -> dict[str, StatusAnswer]:
        """The status of one unit, of the one that was made under a key, or of all whose ids ``may_see`` accepts."""
        units = list(self._workceptor.units.values())
        if command.unit_id is not None:
            units = [self._workceptor.get(command.unit_id)]
        elif command.idempotency_key:
            units = await self._workceptor.units_of_key(origin.who, command.idempotency_key)
        answers = {}
        for first in range(0, len(units), UNITS_AT_A_TIME):
            part = units[first : first + UNITS_AT_A_TIME]
            shown = [unit for unit in part if not unit.is_removed and may_see(unit.unit_id)]
            for unit, status in zip(shown, await _statuses(shown), strict=True):
                answers[unit.unit_id] = _answer(unit, status)
            await asyncio.sleep(0)
        return answers

    async def status(self, command: WorkStatus, stream: ByteStream) -> StatusAnswer:
        """The status of a unit; while there is nothing that the client doesn't know, only after LONGEST_WAIT.

        Output that it asks for is attached to the answer.
        """
        unit = self._workceptor.get(command.unit_id)
        if command.start is not None:
            if not isinstance(stream, NumberedCommand):
                raise CommandError("startpos of work status is for numbered commands; use work results")
            await self._allowed(command, Deed("results", command.unit_id), stream.origin)
        if command.known_state is not None and self._waiting[unit.unit_id] < MOST_WAITING:
            known_size = command.known_size if command.start is None else command.start
            await self._wait_for_news(unit, command.known_state, known_size, stream)
        if isinstance(stream, NumberedCommand):
            await stream.turn()
        news = await look(unit, command.start)
        if unit.is_removed:
            raise UnknownUnit(command.unit_id)
        if isinstance(stream, NumberedCommand):
            stream.attach(news.output)
        return _answer(unit, news.status)

    async def _wait_for_news(self, unit: Unit, known: State, known_size: int | None, stream: ByteStream) -> None:
        self._waiting[unit.unit_id] += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_WAIT), while_there(stream):
                    await await_news(unit, known, known_size, self._workceptor.growth)
        finally:
            self._waiting[unit.unit_id] -= 1
            if not self._waiting[unit.unit_id]:
                del self._waiting[unit.unit_id]

    async def results(self, command: WorkResults, stream: ByteStream) -> None:
        """Stream the output of a unit until it has ended."""
        unit = await self._allowed(command, Deed("results", command.unit_id), stream.origin)
        await stream.write(f"Streaming results for work unit {unit.unit_id}\n".encode())
        async with while_there(stream), aclosing(follow(unit, command.start, self._workceptor.growth)) as output:
            async for data in output:
                await stream.write(data)
        await stream.finish()

    async def cancel(self, command: WorkCancel, stream: ByteStream) -> dict[str, str]:
        """Stop a unit."""
        unit = await self._allowed(command, Deed("cancel", command.unit_id), stream.origin)
        return {"cancelled" if await unit.cancel() else "cancel pending": unit.unit_id}

    async def release(self, command: WorkRelease, stream: ByteStream) -> dict[str, str]:
        """Stop a unit and delete it."""
        deed = Deed("force-release" if command.force else "release", command.unit_id)
        unit = await self._allowed(command, deed, stream.origin)
        return {"released" if await unit.release(command.force) else "release pending": unit.unit_id}

    async def _make(self, command: WorkSubmit, origin: Origin) -> tuple[Unit, str | None]:
        """The unit, and the digest that its payload must have."""
        is_ours = means_node(command.node, self._node_id)
        if is_ours and command.work_type == REMOTE_WORK_TYPE:
            raise CommandError("unknown work type remote: name the node to run on, and a work type of that node")
        is_asked = is_ours and self._asks_signature(command.work_type)
        deed = submit_deed(command.work_type, command.parameters, command.idempotency_key, command.name)
        payload_digest = await self._check_signature(is_asked, command.signature, deed, origin)
        if is_ours:
            if command.ttl:
                raise CommandError("ttl option is intended for remote work only")
            work: Work = CommandWork(work_type=command.work_type, parameters=command.parameters)
            unit = await self._workceptor.make_unit(work, origin.who, command.idempotency_key, command.name)
            return unit, payload_digest
        if command.sign_work and not origin.is_local:
            raise NotAllowed("this node signs work for clients of its Unix socket only")
        work = RemoteWork(
            node=command.node,
            work_type=command.work_type,
            tls_client=command.tls_client,
            ttl=command.ttl,
            sign_work=command.sign_work,
            parameters=command.parameters,
        )
        return await self._workceptor.make_unit(work, origin.who, command.idempotency_key, command.name), None

    async def _allowed(
        self, command: WorkStatus | WorkResults | WorkCancel | WorkRelease, deed: Deed, origin: Origin
    ) -> Unit:
        """The unit of a command that reads or ends it. Raises CommandError if the signature is not as it must be."""
        unit = self._workceptor.get(command.unit_id)
        extra = unit.status.extra
        is_signed = extra.sign_work if isinstance(extra, RemoteExtra) else self._asks_signature(unit.status.work_type)
        signature = "" if isinstance(command, WorkStatus) else command.signature
        await self._check_signature(is_signed, signature, deed, origin)
        return unit

    def _asks_signature(self, work_type: str) -> bool:
        """Whether units of the type need one; of a type that is no longer configured, where signatures are in use."""
        command = self._workceptor.work_commands.get(work_type)
        return self._verifier is not None if command is None else command.verify_signature

    async def _check_signature(self, is_asked: bool, signature: str, deed: Deed, origin: Origin) -> str | None:
        """The digest that the payload must have according to the signature."""
        if not is_asked and signature:
            raise CommandError("work type did not expect a signature")
        if not is_asked or origin.is_local:
            return None
        if self._verifier is None:
            raise NotAllowed("could not verify signature: this node has no work-verification key")
        payload_digest = self._verifier.verify(signature, time.time(), deed)
        await asyncio.to_thread(self._verifier.used.save)
        return payload_digest


async def _statuses(units: list[Unit]) -> list[Status]:
    """The statuses of units; where it takes a look at the disk, all take it together."""
    going_on = [unit for unit in units if not unit.shown.state.is_final]
    looked_up = dict(zip(going_on, await asyncio.gather(*(unit.current_status() for unit in going_on)), strict=True))
    return [looked_up.get(unit, unit.shown) for unit in units]


def _answer(unit: Unit, status: Status) -> StatusAnswer:
    return answer(
        status,
        unit.told_end if status.state.is_final else None,
        unit.submission.idempotency_key,
        name=unit.submission.name,
        created=unit.created_at,
        ended=unit.ended_at,
    )


async def _payload(stream: ByteStream, unit_id: str, largest: int, digest: str | None) -> AsyncGenerator[bytes, None]:
    """The payload as it comes. Raises CommandError at its end if it has too many bytes, or isn't what was signed."""
    await stream.write(f"Work unit created with ID {unit_id}. Send stdin data and EOF.\n".encode())
    size = 0
    hashed = hashlib.sha256() if digest else None
    while data := await stream.read_much():
        size += len(data)
        if size <= largest:
            if hashed:
                hashed.update(data)
            yield data
    if stream.has_left:
        raise ConnectionResetError("the client left without waiting for the answer, so this may be a part only")
    if size > largest:
        raise CommandError(f"the payload has {size} bytes, more than the {largest} that the limits of this node allow")
    if hashed and hashed.hexdigest() != digest:
        raise NotAllowed("the signature is for another payload; submit the work again")
