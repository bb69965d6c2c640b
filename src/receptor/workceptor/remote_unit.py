"""A unit that runs on another node: holds the conversations that its logic (remote.py) wants."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress

from receptor.errors import CommandError, OperatingError, PeerError, UnreachableError
from receptor.node.byte_stream import CHUNK, ByteStream
from receptor.node.mesh_node import MeshNode
from receptor.workceptor import conversations
from receptor.workceptor.conversations import Refused
from receptor.workceptor.folder import UnitFolder, write_through
from receptor.workceptor.remote import RemoteUnit, Talk
from receptor.workceptor.signing import Signer
from receptor.workceptor.status import Status
from receptor.workceptor.unit import Unit

CONTROL_SERVICE = "control"
GREETING_TIME = 10.0
ANSWER_TIME = 30.0
ORDER_TIME = 8.0
"""Seconds after which a cancel or release tells its client that it is pending."""

FIRST_STATUS_INTERVAL = 0.05
STATUS_INTERVAL = 1.0
"""Seconds between two requests for the status, when nothing suggests to ask sooner."""

logger = logging.getLogger("receptor.workceptor")


class RemoteWorkUnit(Unit):
    """The unit on this node that stands for one on another."""

    def __init__(
        self,
        unit_id: str,
        folder: UnitFolder,
        status: Status,
        disk: Executor,
        forget: Callable[[str], None],
        mesh: MeshNode,
        signer: Signer | None,
        stdout_size: int = 0,
    ) -> None:
        super().__init__(unit_id, folder, status, disk, forget)
        self.logic = RemoteUnit(status, stdout_size)
        self._mesh = mesh
        self._signer = signer
        self._talks: dict[Talk, asyncio.Task[None]] = {}
        self._timers: list[asyncio.TimerHandle] = []
        self._output_ended = asyncio.Event()
        self._holders: dict[Talk, Callable[[ByteStream], Awaitable[None]]] = {
            Talk.SUBMIT: self._submit,
            Talk.CHECK: self._check,
            Talk.DISCARD: self._discard,
            Talk.FOLLOW: self._follow,
            Talk.FETCH: self._fetch,
            Talk.CANCEL: self._cancel,
            Talk.RELEASE: self._release,
        }

    # As a unit

    async def current_status(self) -> Status:
        return self.status

    async def start(self) -> str:
        self.resume()
        await self._attempt(Talk.SUBMIT, seconds=None)
        if self.logic.remote.remote_started:
            return "Job Started"
        if self.status.state.is_final:
            raise CommandError(self.status.detail)
        return "Job Submitted"

    def resume(self) -> None:
        """Take up the work, at first or after a restart of this node."""
        expires_at = self.logic.expires_at
        if expires_at is not None:
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(expires_at / 1e9 - time.time(), self._expire))
        self._reconcile()

    async def cancel(self) -> bool:
        self.logic.cancel()
        await self._sync()
        await self._attempt(Talk.CANCEL, ORDER_TIME)
        return Talk.CANCEL not in self.logic.wanted()

    async def release(self, force: bool) -> bool:
        self.logic.release(force)
        await self._sync()
        await self._attempt(Talk.RELEASE, ORDER_TIME)
        if force and not self.logic.is_released:
            self.logic.release_heard()
            await self._sync()
        return self.logic.is_released

    async def save(self, status: Status) -> None:
        self.logic.status = status
        await super().save(status)

    def route_found(self) -> None:
        """The other node has come into reach."""
        self.logic.route_found()
        self._reconcile()

    async def close(self) -> None:
        """Hold no more conversations; everything can be resumed from the disk."""
        for timer in self._timers:
            timer.cancel()
        talks = list(self._talks.values())
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    # The conversations

    def _reconcile(self) -> None:
        """Hold what is wanted and no more."""
        wanted = self.logic.wanted()
        loop = asyncio.get_running_loop()
        for talk in [talk for talk in self._talks if talk not in wanted]:
            if self._talks[talk] is not asyncio.current_task():
                self._talks.pop(talk).cancel()
        for talk in wanted - self._talks.keys():
            wait = self.logic.not_before(talk) - loop.time()
            if wait <= 0:
                self._talks[talk] = loop.create_task(self._hold(talk), name=f"{talk.value} unit {self.unit_id}")
            else:
                self._wake_later(wait)

    def _wake_later(self, wait: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers = [timer for timer in self._timers if not timer.cancelled() and timer.when() > loop.time()]
        self._timers.append(loop.call_later(wait, self._reconcile))

    async def _attempt(self, talk: Talk, seconds: float | None) -> None:
        """Wait until a conversation has been tried once, or isn't wanted."""
        task = self._talks.get(talk)
        if task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asyncio.wait([task])

    async def _sync(self) -> None:
        """Save what the logic has changed, and do what follows from it."""
        if self.logic.is_released:
            await self.remove()
            return
        if self.logic.status != self.status:
            await self.save(self.logic.status)
        self._reconcile()

    async def remove(self) -> None:
        for talk, task in list(self._talks.items()):
            if task is not asyncio.current_task():
                self._talks.pop(talk).cancel()
        await super().remove()

    async def _hold(self, talk: Talk) -> None:
        """Dial, greet, talk; report to the logic how it went."""
        node = self.logic.remote.remote_node
        try:
            stream = await self._mesh.dial(node, CONTROL_SERVICE)
            try:
                async with asyncio.timeout(GREETING_TIME):
                    await conversations.greet(stream, node)
                await self._holders[talk](stream)
            finally:
                stream.close()
            self.logic.succeeded(talk)
        except Refused as error:
            self._refused(talk, error)
        except (UnreachableError, ConnectionError, TimeoutError, PeerError, OperatingError) as error:
            self._failed(talk, str(error) or "no answer in time")
        finally:
            if self._talks.get(talk) is asyncio.current_task():
                del self._talks[talk]
        await self._sync()

    def _refused(self, talk: Talk, error: Refused) -> None:
        if talk is Talk.SUBMIT:
            self.logic.refused(f"{self.logic.remote.remote_node} refused the work: {error}")
        elif talk is Talk.CHECK and error.unit_is_gone:
            self.logic.checked(None)
        elif talk in (Talk.FOLLOW, Talk.FETCH) and error.unit_is_gone:
            self.logic.remote_is_gone()
        else:
            self._failed(talk, str(error))

    def _failed(self, talk: Talk, reason: str) -> None:
        if talk is Talk.SUBMIT:
            self.logic.submission_broke_off()
        self.logic.failed(talk, asyncio.get_running_loop().time())
        logger.info(
            "can't %s now: %s", talk.value, reason, extra={"unit": self.unit_id, "peer": self.logic.remote.remote_node}
        )

    async def _submit(self, stream: ByteStream) -> None:
        await conversations.submit(stream, self.logic.remote, self._signature(), self._payload(), self._unit_made)
        self.logic.submitted()

    async def _unit_made(self, remote_unit_id: str) -> None:
        self.logic.remote_unit_made(remote_unit_id)
        await self.save(self.logic.status)

    async def _payload(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        with await loop.run_in_executor(None, self.folder.open_stdin_for_reading) as stdin:
            while data := await loop.run_in_executor(None, stdin.read, CHUNK):
                yield data

    async def _check(self, stream: ByteStream) -> None:
        async with asyncio.timeout(ANSWER_TIME):
            self.logic.checked(await conversations.ask_status(stream, self.logic.remote.remote_unit_id))

    async def _discard(self, stream: ByteStream) -> None:
        async with asyncio.timeout(ANSWER_TIME):
            await conversations.release(stream, self.logic.remote.remote_unit_id, self._signature())
        self.logic.discarded()

    async def _follow(self, stream: ByteStream) -> None:
        interval = FIRST_STATUS_INTERVAL
        while True:
            self._output_ended.clear()
            async with asyncio.timeout(ANSWER_TIME):
                status = await conversations.ask_status(stream, self.logic.remote.remote_unit_id)
            self.logic.status_received(status)
            self.logic.succeeded(Talk.FOLLOW)
            await self._sync()
            if self.status.state.is_final:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._output_ended.wait()
            interval = min(interval * 2, STATUS_INTERVAL)

    async def _fetch(self, stream: ByteStream) -> None:
        received = 0
        remote_id, start = self.logic.remote.remote_unit_id, self.logic.stdout_size
        with await self.on_disk(self.folder.open_stdout_append) as stdout:
            async for data in conversations.results(stream, remote_id, start, self._signature()):
                await self.on_disk(write_through, stdout, data)
                received += len(data)
                self.logic.output_received(len(data))
                self.notify()
                if self.logic.is_complete:
                    return
        await self._await_final_status()
        if received == 0 and not self.logic.is_complete:
            raise ConnectionResetError("the output ended before it was complete")

    async def _await_final_status(self) -> None:
        """All output that there is has come: let the status be asked for at once, and wait for it."""
        self._output_ended.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(STATUS_INTERVAL):
                await self.final()

    async def _cancel(self, stream: ByteStream) -> None:
        async with asyncio.timeout(ANSWER_TIME):
            await conversations.cancel(stream, self.logic.remote.remote_unit_id, self._signature())
        self.logic.cancel_heard()
        self._output_ended.set()

    async def _release(self, stream: ByteStream) -> None:
        async with asyncio.timeout(ANSWER_TIME):
            await conversations.release(stream, self.logic.remote.remote_unit_id, self._signature())
        self.logic.release_heard()

    def _signature(self) -> str:
        if not self.logic.remote.sign_work:
            return ""
        if self._signer is None:
            raise Refused("this node has no work-signing key any more; configure work-signing")
        return self._signer.token(self.logic.remote.remote_node, time.time())

    def _expire(self) -> None:
        self.logic.expire()
        self._expiring = asyncio.create_task(self._sync(), name=f"expire unit {self.unit_id}")
