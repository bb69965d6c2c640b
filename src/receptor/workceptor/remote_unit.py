"""A unit that runs on another node: holds the conversations that its logic (remote.py) wants."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from receptor.errors import CommandError, OperatingError, PeerError, TlsError, UnreachableError
from receptor.node.byte_stream import ByteStream
from receptor.workceptor import conversations
from receptor.workceptor.conversations import Refused
from receptor.workceptor.folder import UnitFolder, operating_errors, write_through
from receptor.workceptor.node_session import NodeSession, NodeSessions, OpenSession
from receptor.workceptor.numbered import MOST_ATTACHED
from receptor.workceptor.records import ExitRecord, Submission
from receptor.workceptor.remote import RemoteUnit, Talk
from receptor.workceptor.status import ProcessAnswer, Report, State, Status, encode_status
from receptor.workceptor.tokens import Deed, Signer, file_digest, submit_deed
from receptor.workceptor.unit import Keeper, Unit

ANSWER_TIME = 30.0
NEWS_TIME = 330.0
"""Seconds in which a node of ours tells of a unit, if only that there is nothing new."""

LONG_READ = 1024 * 1024
"""Bytes of a payload that are read at once: a turn of the disk's thread costs as much as copying 200 KiB."""

ORDER_TIME = 8.0
"""Seconds after which a cancel or release tells its client that it is pending."""

FIRST_STATUS_INTERVAL = 0.05
STATUS_INTERVAL = 1.0
"""Seconds between two requests for the status to a node that answers at once, when nothing suggests to ask sooner."""

logger = logging.getLogger("receptor.workceptor")


class RemoteWorkUnit(Unit):
    """The unit on this node that stands for one on another."""

    def __init__(
        self,
        folder: UnitFolder,
        status: Status,
        disk: Executor,
        keeper: Keeper,
        submission: Submission,
        sessions: NodeSessions,
        signer: Signer | None,
        stdout_size: int = 0,
    ) -> None:
        super().__init__(folder, status, disk, keeper, submission)
        self.logic = RemoteUnit(status, stdout_size)
        self._sessions = sessions
        self._signer = signer
        self._talks: dict[Talk, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        """Every task of the unit, also those whose conversations aren't wanted any more."""
        self._wake_up: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._is_resumed = False
        self._is_closed = False
        self._output_ended = asyncio.Event()
        self._fresh_payload: bytes | None = None
        """A short one that has just come, until it is sent for the first time."""
        self._unnoted_end: ExitRecord | None = None
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

    # As a unit

    async def current_status(self) -> Status:
        if self.shown.state is not State.RUNNING:
            return self.shown
        return msgspec.structs.replace(self.shown, stdout_size=self.logic.stdout_size)

    @property
    def has_payload(self) -> bool:
        # Once it has started, the detail is the other node's, which tells of a payload of its own.
        return self.logic.remote.remote_started or super().has_payload

    @property
    def lacks_payload(self) -> bool:
        return not self.logic.remote.remote_started and super().lacks_payload

    async def start(self) -> str:
        await self.resume()
        await self._attempts(Talk.SUBMIT)
        if self.logic.remote.remote_started:
            return self.start_result
        if self.logic.remote.local_cancelled:
            raise CommandError(f"unit {self.unit_id} was cancelled before it was started")
        if self.status.state.is_final:
            raise CommandError(self.status.detail)
        return self.start_result

    @property
    def start_result(self) -> str:
        return "Job Started" if self.logic.remote.remote_started else "Job Submitted"

    async def resume(self) -> None:
        """Take up the work, at first or after a restart of this node. Nothing is said to the other node before."""
        self._is_resumed = True
        expires_at = self.logic.expires_at
        if expires_at is not None:
            wait = expires_at / 1e9 - time.time()
            if wait > 0:
                self._expiry = asyncio.get_running_loop().call_later(wait, self._expire)
            else:
                self.logic.expire()
        await self._sync()

    async def cancel(self) -> bool:
        self.logic.cancel()
        await self._sync()
        with suppress(TimeoutError):
            async with asyncio.timeout(ORDER_TIME):
                await self._attempts(Talk.SUBMIT, Talk.FIND, Talk.CHECK, Talk.DISCARD, Talk.CANCEL)
        return not self.logic.is_cancel_pending and self.save_problem is None

    async def release(self, force: bool) -> bool:
        self.logic.release(force)
        await self._sync()
        with suppress(TimeoutError):
            async with asyncio.timeout(ORDER_TIME):
                await self._attempts(Talk.SUBMIT, Talk.FIND, Talk.RELEASE)
        if force and not self.logic.is_released:
            self.logic.release_heard()
            self._drop_unwanted()
        if self.logic.is_released:
            await self.remove()
        return self.logic.is_released

    async def save(self, status: Status) -> None:
        if not self.is_removed:
            self.logic.status = status
        await super().save(status)

    async def _store_short_payload(self, payload: bytes) -> None:
        """It goes to the disk with the status that tells of it."""
        self._fresh_payload = payload

    async def _put_on_disk(self, status: Status) -> None:
        payload = self._fresh_payload if status.state is State.PENDING else None
        end = self._unnoted_end
        await self.on_disk(self.folder.write_status, encode_status(status), payload, end)
        if self._unnoted_end is end:
            self._unnoted_end = None

    def route_found(self) -> None:
        """The other node has come into reach."""
        self.logic.route_found()
        self._hold_wanted()

    async def close(self) -> None:
        """Hold no more conversations; everything can be resumed from the disk."""
        self._is_closed = True
        self._stop_timers()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().close()

    async def remove(self) -> None:
        self._stop_timers()
        await super().remove()

    # The conversations

    def _hold_wanted(self) -> None:
        """Hold what is wanted, now or after its pause."""
        loop = asyncio.get_running_loop()
        if self._wake_up is not None:
            self._wake_up.cancel()
        if self._is_closed or not self._is_resumed:
            return
        waits = []
        wanted = self.logic.wanted()
        for talk in [talk for talk in Talk if talk in wanted and talk not in self._talks]:
            wait = self.logic.not_before(talk) - loop.time()
            if wait <= 0:
                self._talks[talk] = self._spawn(self._hold(talk), f"{talk.value} unit {self.unit_id}")
            else:
                waits.append(wait)
        if waits:
            self._wake_up = loop.call_later(min(waits), self._hold_wanted)

    def _drop_unwanted(self) -> None:
        for talk in self._talks.keys() - self.logic.wanted():
            if self._talks[talk] is not asyncio.current_task():
                self._talks.pop(talk).cancel()

    def _stop_timers(self) -> None:
        for timer in (self._wake_up, self._expiry):
            if timer is not None:
                timer.cancel()

    async def _attempts(self, *talks: Talk) -> None:
        """Wait until none of the conversations is being held: it has failed once, or isn't wanted."""
        while True:
            if tasks := [self._talks[talk] for talk in talks if talk in self._talks]:
                await asyncio.wait(tasks)
            elif Talk.FIND in self.logic.wanted().intersection(talks) and (pause := self._pause_before_find) > 0:
                await asyncio.sleep(pause)
                self._hold_wanted()
            else:
                return

    @property
    def _pause_before_find(self) -> float:
        """Seconds for which what was sent, and not answered, may still arrive at the other node."""
        return self.logic.find_from - asyncio.get_running_loop().time()

    async def _sync(self) -> None:
        """Save what the logic has changed, and do what follows from it."""
        # First of all, so that nothing goes on while the disk is busy that the logic has given up.
        self._drop_unwanted()
        if self.logic.is_released:
            try:
                await self.remove()
            except OperatingError as error:
                logger.error("%s", error, extra={"unit": self.unit_id})
            return
        if self.logic.status != self.status:
            await self.save(self.logic.status)
        self._hold_wanted()

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _hold(self, talk: Talk) -> None:
        """Talk; report to the logic how it went."""
        node = self.logic.remote.remote_node
        try:
            await self._holders[talk](self._sessions.to(node, self.logic.remote.tls_client))
            self.logic.succeeded(talk)
        except Refused as error:
            self._refused(talk, error)
        except TlsError as error:
            if talk is Talk.SUBMIT:
                self.logic.refused(f"no secure way to {node}: {error}")
            else:
                self._failed(talk, str(error))
        except (OperatingError, CommandError) as error:
            if talk is Talk.SUBMIT:
                self.logic.postponed(f"the work can't be sent: {error}")
            self._failed(talk, str(error))
        except (UnreachableError, ConnectionError, TimeoutError, PeerError) as error:
            problem = str(error) or "no answer in time"
            if talk is Talk.SUBMIT:
                self.logic.postponed(f"the work waits for a way to {node}: {problem}")
            self._failed(talk, problem)
        except Exception as error:  # The boundary of a conversation: a defect of ours must not leave a unit for ever.
            logger.exception("a defect of this program, please report it", extra={"unit": self.unit_id})
            self._failed(talk, f"{type(error).__name__}: {error}")
        finally:
            if self._talks.get(talk) is asyncio.current_task():
                del self._talks[talk]
        await self._sync()

    def _refused(self, talk: Talk, error: Refused) -> None:
        if talk is Talk.SUBMIT and error.may_pass:
            self.logic.put_off(f"{self.logic.remote.remote_node} does not take the work yet: {error}")
            self._failed(talk, str(error))
        elif talk is Talk.SUBMIT:
            self.logic.refused(f"{self.logic.remote.remote_node} refused the work: {error}")
        elif talk is Talk.CHECK and error.unit_is_gone:
            self.logic.discarded()
        elif talk in (Talk.FOLLOW, Talk.FETCH) and error.unit_is_gone:
            self.logic.remote_is_gone()
        else:
            self._failed(talk, str(error))

    def _failed(self, talk: Talk, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if talk is Talk.SUBMIT:
            self.logic.submission_broke_off(now)
        self.logic.failed(talk, now)
        logger.info(
            "can't %s now: %s", talk.value, reason, extra={"unit": self.unit_id, "peer": self.logic.remote.remote_node}
        )

    async def _submit(self, node: NodeSession) -> None:
        session = await node.open()
        signature = await self._submit_signature()
        remote = self.logic.remote
        payload, self._fresh_payload = self._fresh_payload, None
        if payload is None and session.is_multiplexed:
            payload = await self.on_disk(_read_short, self.folder)
        if payload is not None and session.is_multiplexed:
            await self._note_sending()
            made = await conversations.submit_at_once(session, remote, self.unit_id, signature, payload)
            self.logic.remote_unit_made(made)
        else:
            async with closed_at_the_end(await node.dial()) as stream, aclosing(self._payload()) as parts:
                await conversations.submit(stream, remote, self.unit_id, signature, parts, self._unit_made)
        self.logic.submitted()

    async def _note_sending(self) -> None:
        """Without it on disk, what became of a lost answer would not be asked after a restart."""
        self.logic.sending()
        if self.logic.status != self.status:
            await self.save(self.logic.status)
        if self.save_problem is not None:
            raise self.save_problem

    async def _find(self, node: NodeSession) -> None:
        session = await node.open()
        async with asyncio.timeout(ANSWER_TIME):
            found = await conversations.find(session, self.unit_id) if session.is_multiplexed else None
        if found is None:
            self.logic.not_found()
        else:
            self.logic.found(found)

    async def _unit_made(self, remote_unit_id: str) -> None:
        self.logic.remote_unit_made(remote_unit_id)
        await self.save(self.logic.status)
        if self.save_problem is not None:
            # Its id must be on disk before it can begin to run: an existing node would run the work twice.
            raise self.save_problem

    async def _payload(self) -> AsyncGenerator[bytes, None]:
        async with self.opened(self.folder.open_stdin_for_reading) as stdin:
            while data := await self.on_disk(_read, stdin):
                yield data

    async def _check(self, node: NodeSession) -> None:
        async with asyncio.timeout(ANSWER_TIME):
            report, _ = await conversations.ask_status(await node.open(), self.logic.remote.remote_unit_id)
        if not self.logic.checked(report.status, report.idempotency_key == self.unit_id):
            raise UnreachableError("the rest of the payload may still be on its way")

    async def _discard(self, node: NodeSession) -> None:
        async with self._order(node) as session:
            await conversations.release(session, self.logic.remote.remote_unit_id, self._signature("release"))
        self.logic.discarded()

    async def _follow(self, node: NodeSession) -> None:
        session = await node.open()
        interval = FIRST_STATUS_INTERVAL
        while not self.status.state.is_final:
            self._output_ended.clear()
            asked_at, known, size = asyncio.get_running_loop().time(), self.logic.status.state, self.logic.stdout_size
            report = await self._next_report(session, known)
            if report.process is not None and self.end is None:
                self._note_end(report.process)
            self.logic.status_received(report.status)
            self.logic.succeeded(Talk.FOLLOW)
            await self._sync()
            if report.status.state is known and self.logic.stdout_size == size:
                # An existing node answers at once, and is asked again after a while.
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(asked_at + interval):
                        await self._output_ended.wait()
            interval = min(interval * 2, STATUS_INTERVAL)

    async def _next_report(self, session: OpenSession, known: State) -> Report:
        """The status when it has changed, or at once if the other node can't wait. New output with it is on disk."""
        remote = self.logic.remote
        has_output_brought = session.is_multiplexed and not (remote.sign_work or Talk.FETCH in self.logic.wanted())
        start = self.logic.stdout_size if has_output_brought else None
        try:
            async with asyncio.timeout(NEWS_TIME if session.is_multiplexed else ANSWER_TIME):
                report, output = await conversations.ask_status(session, remote.remote_unit_id, known, start)
        except TimeoutError:
            session.close()  # The other node does not answer any more, whatever is asked.
            raise
        if start is not None and output:
            await self._append(start, output)
        return report

    async def _append(self, start: int, output: bytes) -> None:
        try:
            await self.on_disk(_append, self.folder, start, output)
        except OperatingError as error:
            # The status goes on; it tells that output is missing, which is then fetched until the disk takes it.
            logger.error("%s", error, extra={"unit": self.unit_id})
            self.logic.stdout_size = await self.stdout_size()
            return
        self.logic.output_received(len(output))
        self.notify()

    def _note_end(self, process: ProcessAnswer) -> None:
        """How the command ended goes to the disk with the status that tells of the end."""
        try:
            self.end = self._unnoted_end = ExitRecord.of(process)
        except ValueError as error:
            raise PeerError(f"it can't be understood how the command ended: {error}") from None

    async def _fetch(self, node: NodeSession) -> None:
        # As it is on disk: what failed before may have written a part.
        start = self.logic.stdout_size = await self.stdout_size()
        remote_id = self.logic.remote.remote_unit_id
        async with (
            closed_at_the_end(await node.dial()) as stream,
            self.opened(self.folder.open_stdout_append) as stdout,
            aclosing(conversations.results(stream, remote_id, start, self._signature("results"))) as output,
        ):
            async for data in output:
                await self.on_disk(write_through, stdout, data)
                self.logic.output_received(len(data))
                self.notify()
                if self.logic.is_complete:
                    return
        await self._await_final_status()
        size = self.logic.status.stdout_size
        if not self.logic.output_ended(start):
            raise ConnectionResetError("the output ended before it was complete")
        if self.logic.status.stdout_size < size:
            lost = size - self.logic.status.stdout_size
            logger.error("the other node has lost %d bytes of the output", lost, extra={"unit": self.unit_id})

    async def _await_final_status(self) -> None:
        """All output that there is has come: let the status be asked for at once, and wait for it."""
        self._output_ended.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(STATUS_INTERVAL):
                await self.final()

    async def _cancel(self, node: NodeSession) -> None:
        async with self._order(node) as session:
            await conversations.cancel(session, self.logic.remote.remote_unit_id, self._signature("cancel"))
        self.logic.cancel_heard()
        self._output_ended.set()

    async def _release(self, node: NodeSession) -> None:
        async with self._order(node) as session:
            await conversations.release(session, self.logic.remote.remote_unit_id, self._signature("release"))
        self.logic.release_heard()

    @asynccontextmanager
    async def _order(self, node: NodeSession) -> AsyncIterator[OpenSession]:
        """A session for a command that may take a while, for which an existing node makes all others wait."""
        async with asyncio.timeout(ANSWER_TIME):
            session = await node.open()
            if session.is_multiplexed:
                yield session
                return
            own = OpenSession(await node.dial(), is_multiplexed=False)
            try:
                yield own
            finally:
                own.close()

    def _signature(self, command: Literal["results", "cancel", "release"]) -> str:
        return self._sign(Deed(command, self.logic.remote.remote_unit_id))

    async def _submit_signature(self) -> str:
        remote = self.logic.remote
        if not remote.sign_work:
            return ""
        deed = submit_deed(remote.remote_work_type, remote.remote_params, self.unit_id)
        return self._sign(deed, await asyncio.to_thread(file_digest, self.folder.stdin_file))

    def _sign(self, deed: Deed, payload_digest: str | None = None) -> str:
        if not self.logic.remote.sign_work:
            return ""
        if self._signer is None:
            raise OperatingError("this node has no work-signing key any more; configure work-signing")
        return self._signer.token(self.logic.remote.remote_node, time.time(), deed, payload_digest)

    def _expire(self) -> None:
        self.logic.expire()
        self._spawn(self._sync(), f"expire unit {self.unit_id}")


@asynccontextmanager
async def closed_at_the_end(stream: ByteStream) -> AsyncIterator[ByteStream]:
    try:
        yield stream
    finally:
        stream.close()


def _read_short(folder: UnitFolder) -> bytes | None:
    """The payload, if it can go with the command."""
    with folder.open_stdin_for_reading() as stdin, operating_errors(folder.stdin_file):
        payload = stdin.read(MOST_ATTACHED + 1)
    return payload if len(payload) <= MOST_ATTACHED else None


def _append(folder: UnitFolder, start: int, output: bytes) -> None:
    """Write output behind what is there. Raises OperatingError if that isn't as much as we know of."""
    with operating_errors(folder.stdout_file), folder.open_stdout_append() as stdout:
        if stdout.tell() != start:
            raise OperatingError(f"{folder.stdout_file} has {stdout.tell()} bytes and not {start}, as it had")
        write_through(stdout, output)


def _read(file: BinaryIO) -> bytes:
    with operating_errors(Path(file.name)):
        return file.read(LONG_READ)
