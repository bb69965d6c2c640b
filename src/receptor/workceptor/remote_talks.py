"""The conversations of a remote unit with the other node: what they need of the unit, and tell its logic."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import msgspec

from receptor.errors import OperatingError, UnreachableError
from receptor.workceptor import conversations
from receptor.workceptor.environment import SECRET_ENV
from receptor.workceptor.files import operating_errors, write_through
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.node_session import NodeSession, OpenSession
from receptor.workceptor.numbered import MOST_ATTACHED
from receptor.workceptor.remote import Talk
from receptor.workceptor.status import Report, State
from receptor.workceptor.tokens import Deed, Signer, file_digest, submit_deed

if TYPE_CHECKING:
    from receptor.workceptor.remote_unit import RemoteWorkUnit

ANSWER_TIME = 30.0
NEWS_TIME = 330.0
"""Seconds in which a node of ours tells of a unit, if only that there is nothing new."""

LONG_READ = 1024 * 1024
"""Bytes of a payload that are read at once: a turn of the disk's thread costs as much as copying 200 KiB."""

FIRST_STATUS_INTERVAL = 0.05
STATUS_INTERVAL = 1.0
"""Seconds between two requests for the status to a node that answers at once, when nothing suggests to ask sooner."""

logger = logging.getLogger("receptor.workceptor")


class RemoteTalks:
    """Holds the conversations of one unit. All raise as their functions in ``conversations`` do."""

    def __init__(self, unit: RemoteWorkUnit, signer: Signer | None) -> None:
        self._unit = unit
        self._logic = unit.logic
        self._signer = signer
        self._output_ended = asyncio.Event()
        self._holders: dict[Talk, Callable[[NodeSession], Awaitable[None]]] = {
            Talk.SUBMIT: self._submit,
            Talk.FIND: self._find,
            Talk.CHECK: self._check,
            Talk.DISCARD: self._discard,
            Talk.FOLLOW: self._follow,
            Talk.FETCH: self._fetch,
            Talk.CANCEL: self._cancel,
            Talk.RELEASE: self._release,
        }

    async def hold(self, talk: Talk, node: NodeSession) -> None:
        """Talk with the node. Cancelling gives it up, wherever it is."""
        await self._holders[talk](node)

    async def _submit(self, node: NodeSession) -> None:
        session = await node.open()
        if self._unit.environment and not self._takes_environment(node):
            self._logic.refused(
                f"{self._logic.remote.remote_node} does not know {SECRET_ENV} and would run the command without it;"
                " only nodes of this program take it"
            )
            return
        request = await self._request()
        payload = self._unit.take_fresh_payload()
        if payload is None and session.is_multiplexed:
            payload = await self._unit.on_disk(_read_short, self._unit.folder)
        if payload is not None and session.is_multiplexed:
            await self._note_sending()
            made = await conversations.submit_at_once(session, request, payload)
            self._logic.remote_unit_made(made)
            self._logic.submitted()
            # It is found by its key again.
            self._unit.save_soon(self._logic.status)
        else:
            with closing(await node.dial()) as stream:
                async with aclosing(self._payload()) as parts:
                    await conversations.submit(stream, request, parts, self._unit_made)
            self._logic.submitted()

    def _takes_environment(self, node: NodeSession) -> bool:
        """Existing nodes pass over what they don't know. Raises UnreachableError as long as none has told."""
        if node.is_of_ours is None:
            raise UnreachableError(f"the mesh has not told yet whether it takes {SECRET_ENV}")
        return node.is_of_ours

    async def _request(self) -> conversations.Request:
        request = conversations.Request(
            remote=self._logic.remote,
            idempotency_key=self._unit.unit_id,
            name=self._unit.submission.name,
            environment=self._unit.environment,
        )
        return msgspec.structs.replace(request, signature=await self._submit_signature(request))

    async def _note_sending(self) -> None:
        """Without it on disk, what became of a lost answer would not be asked after a restart."""
        self._logic.sending()
        if self._logic.status != self._unit.status:
            await self._unit.save(self._logic.status)
        if self._unit.save_problem is not None:
            raise self._unit.save_problem

    async def _find(self, node: NodeSession) -> None:
        session = await node.open()
        async with asyncio.timeout(ANSWER_TIME):
            found = await conversations.find(session, self._unit.unit_id) if session.is_multiplexed else None
        if found is None:
            self._logic.not_found()
        else:
            self._logic.found(found)

    async def _unit_made(self, remote_unit_id: str) -> None:
        self._logic.remote_unit_made(remote_unit_id)
        await self._unit.save(self._logic.status)
        if self._unit.save_problem is not None:
            # Its id must be on disk before it can begin to run: an existing node would run the work twice.
            raise self._unit.save_problem

    async def _payload(self) -> AsyncGenerator[bytes, None]:
        async with self._unit.opened(self._unit.folder.open_stdin_for_reading) as stdin:
            while data := await self._unit.on_disk(_read, stdin):
                yield data

    async def _check(self, node: NodeSession) -> None:
        async with asyncio.timeout(ANSWER_TIME):
            report, _ = await conversations.ask_status(await node.open(), self._logic.remote.remote_unit_id)
        if not self._logic.checked(report.status, report.idempotency_key == self._unit.unit_id):
            raise UnreachableError("the rest of the payload may still be on its way")

    async def _discard(self, node: NodeSession) -> None:
        async with self._order(node) as session:
            await conversations.release(session, self._logic.remote.remote_unit_id, self._signature("release"))
        self._logic.discarded()

    async def _follow(self, node: NodeSession) -> None:
        interval = FIRST_STATUS_INTERVAL
        while not self._unit.status.state.is_final:
            session = await node.open()
            self._output_ended.clear()
            asked_at, known, size = (
                asyncio.get_running_loop().time(),
                self._logic.status.state,
                self._logic.stdout_size,
            )
            report = await self._next_report(session, known)
            if report.process is not None and self._unit.end is None:
                self._unit.note_end(report.process)
            self._logic.status_received(report.status)
            self._logic.succeeded(Talk.FOLLOW)
            await self._unit.sync()
            if report.status.state is known and self._logic.stdout_size == size:
                # An existing node answers at once, and is asked again after a while.
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(asked_at + interval):
                        await self._output_ended.wait()
            interval = min(interval * 2, STATUS_INTERVAL)

    async def _next_report(self, session: OpenSession, known: State) -> Report:
        """The status when it has changed, or at once if the other node can't wait. New output with it is on disk.

        Output is news too, and comes with the status unless it takes a signature. While it is fetched it is none: the
        fetching then goes on, and is begun again when it breaks, until this question has its answer.
        """
        remote = self._logic.remote
        is_fetched = self._unit.holds(Talk.FETCH) or Talk.FETCH in self._logic.wanted()
        size = self._logic.stdout_size if session.is_multiplexed and not is_fetched else None
        start, known_size = (None, size) if remote.sign_work else (size, None)
        self._logic.is_output_told = not (session.is_multiplexed and is_fetched)
        try:
            async with asyncio.timeout(NEWS_TIME if session.is_multiplexed else ANSWER_TIME):
                report, output = await conversations.ask_status(
                    session, remote.remote_unit_id, known, start=start, known_size=known_size
                )
        except TimeoutError:
            session.close()  # The other node does not answer any more, whatever is asked.
            raise
        self._logic.is_output_told = True
        if start is not None and output:
            await self._append(start, output)
        return report

    async def _append(self, start: int, output: bytes) -> None:
        try:
            size = await self._unit.on_disk(_append_to, self._unit.folder, start, output)
        except OperatingError as error:
            # The status goes on; it tells that output is missing, which is then fetched until the disk takes it.
            logger.error("%s", error, extra={"unit": self._unit.unit_id})
            self._logic.stdout_size = await self._unit.stdout_size()
            return
        self._logic.output_received(size)
        self._unit.notify()

    async def _fetch(self, node: NodeSession) -> None:
        # As it is on disk: what failed before may have written a part.
        start = position = self._logic.stdout_size = await self._unit.stdout_size()
        remote_id = self._logic.remote.remote_unit_id
        with closing(await node.dial()) as stream:
            async with (
                self._unit.opened(self._unit.folder.open_stdout_append) as stdout,
                aclosing(conversations.results(stream, remote_id, start, self._signature("results"))) as output,
            ):
                async for data in output:
                    self._logic.output_received(await self._unit.on_disk(_append, stdout, position, data))
                    self._logic.succeeded(Talk.FETCH)
                    position += len(data)
                    self._unit.notify()
                    if self._logic.is_complete:
                        return
        await self._await_final_status()
        size = self._logic.status.stdout_size
        if not self._logic.output_ended(start):
            raise ConnectionResetError("the output ended before it was complete")
        if self._logic.status.stdout_size < size:
            lost = size - self._logic.status.stdout_size
            logger.error("the other node has lost %d bytes of the output", lost, extra={"unit": self._unit.unit_id})

    async def _await_final_status(self) -> None:
        """All output that there is has come: let the status be asked for at once, and wait for it."""
        self._output_ended.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(STATUS_INTERVAL):
                await self._unit.final()

    async def _cancel(self, node: NodeSession) -> None:
        async with self._order(node) as session:
            await conversations.cancel(session, self._logic.remote.remote_unit_id, self._signature("cancel"))
        self._logic.cancel_heard()
        self._output_ended.set()

    async def _release(self, node: NodeSession) -> None:
        async with self._order(node) as session:
            await conversations.release(session, self._logic.remote.remote_unit_id, self._signature("release"))
        self._logic.release_heard()

    @asynccontextmanager
    async def _order(self, node: NodeSession) -> AsyncIterator[OpenSession]:
        """A session for a command that may take a while, for which an existing node makes all others wait."""
        async with asyncio.timeout(ANSWER_TIME):
            session = await node.open()
            if session.is_multiplexed:
                yield session
                return
            with closing(OpenSession(await node.dial(), is_multiplexed=False)) as own:
                yield own

    def _signature(self, command: Literal["results", "cancel", "release"]) -> str:
        return self._sign(Deed(command, self._logic.remote.remote_unit_id))

    async def _submit_signature(self, request: conversations.Request) -> str:
        remote = request.remote
        if not remote.sign_work:
            return ""
        deed = submit_deed(remote.remote_work_type, request.parameters, request.idempotency_key, request.name)
        return self._sign(deed, await asyncio.to_thread(file_digest, self._unit.folder.stdin_file))

    def _sign(self, deed: Deed, payload_digest: str | None = None) -> str:
        if not self._logic.remote.sign_work:
            return ""
        if self._signer is None:
            raise OperatingError("this node has no work-signing key any more; configure work-signing")
        return self._signer.token(self._logic.remote.remote_node, time.time(), deed, payload_digest)


def _read_short(folder: UnitFolder) -> bytes | None:
    """The payload, if it can go with the command."""
    with folder.open_stdin_for_reading() as stdin, operating_errors(folder.stdin_file):
        payload = stdin.read(MOST_ATTACHED + 1)
    return payload if len(payload) <= MOST_ATTACHED else None


def _append_to(folder: UnitFolder, start: int, output: bytes) -> int:
    with operating_errors(folder.stdout_file), folder.open_stdout_append() as stdout:
        return _append(stdout, start, output)


def _append(stdout: BinaryIO, start: int, output: bytes) -> int:
    """Write output that begins at that byte, but for what is there already; the size of the file then.

    Two conversations may bring the same, and one that was given up may have written more than we know of. Raises
    OperatingError if something before that byte is missing.
    """
    with operating_errors(Path(stdout.name)):
        size = stdout.seek(0, os.SEEK_END)
    if size < start:
        raise OperatingError(f"{stdout.name} has {size} bytes and not {start}, as it had")
    write_through(stdout, output[size - start :])
    return max(size, start + len(output))


def _read(file: BinaryIO) -> bytes:
    with operating_errors(Path(file.name)):
        return file.read(LONG_READ)
