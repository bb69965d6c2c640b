"""A unit that runs on another node: holds the conversations that its logic (remote.py) wants."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from concurrent.futures import Executor
from contextlib import suppress

import msgspec

from receptor.errors import CommandError, OperatingError, PeerError, TlsError, UnreachableError
from receptor.workceptor.conversations import Refused
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.node_session import NodeSessions
from receptor.workceptor.records import ExitRecord, Submission
from receptor.workceptor.remote import RemoteUnit, Talk
from receptor.workceptor.remote_talks import RemoteTalks
from receptor.workceptor.status import ProcessAnswer, State, Status, encode_status
from receptor.workceptor.tokens import Signer
from receptor.workceptor.unit import Keeper, Unit

ORDER_TIME = 8.0
"""Seconds after which a cancel or release tells its client that it is pending."""


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
        self._conversing = RemoteTalks(self, signer)
        self._talks: dict[Talk, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        """Every task of the unit, also those whose conversations aren't wanted any more."""
        self._wake_up: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._is_resumed = False
        self._is_closed = False
        self._fresh_payload: bytes | None = None
        """A short one that has just come, until it is sent for the first time."""
        self._unnoted_end: ExitRecord | None = None

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
        await self.sync()

    async def cancel(self) -> bool:
        self.logic.cancel()
        await self.sync()
        with suppress(TimeoutError):
            async with asyncio.timeout(ORDER_TIME):
                await self._attempts(Talk.SUBMIT, Talk.FIND, Talk.CHECK, Talk.DISCARD, Talk.CANCEL)
        return not self.logic.is_cancel_pending and self.save_problem is None

    async def release(self, force: bool) -> bool:
        self.logic.release(force)
        await self.sync()
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

    async def store_short_payload(self, payload: bytes) -> None:
        """It goes to the disk with the status that tells of it."""
        self._fresh_payload = payload

    def take_fresh_payload(self) -> bytes | None:
        """The payload, if it is short and has just come, for the first attempt to send it."""
        payload, self._fresh_payload = self._fresh_payload, None
        return payload

    def note_end(self, process: ProcessAnswer) -> None:
        """How the command ended goes to the disk with the status that tells of the end."""
        try:
            self.end = self._unnoted_end = ExitRecord.of(process)
        except ValueError as error:
            raise PeerError(f"it can't be understood how the command ended: {error}") from None

    async def _put_on_disk(self, status: Status) -> None:
        payload = self._fresh_payload if status.state is State.PENDING else None
        end = self._unnoted_end
        await self.on_disk(self.folder.write_status, encode_status(status), payload, end, self._ended_in(status))
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

    def holds(self, talk: Talk) -> bool:
        """Whether the conversation is being held."""
        return talk in self._talks

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

    async def sync(self) -> None:
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
            await self._conversing.hold(talk, self._sessions.to(node, self.logic.remote.tls_client))
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
        await self.sync()

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

    def _expire(self) -> None:
        self.logic.expire()
        self._spawn(self.sync(), f"expire unit {self.unit_id}")
