"""The payload on its way to a pod, and the output on its way to the disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from receptor.errors import UnreachableError
from receptor.node.byte_stream import CHUNK
from receptor.workceptor.files import operating_errors, write_through
from receptor.workceptor.pods.listener import PodListener
from receptor.workceptor.pods.log import LogReader
from receptor.workceptor.pods.logic import Deed, PodUnit
from receptor.workceptor.pods.problems import Broken
from receptor.workceptor.unit import Unit

if TYPE_CHECKING:
    from receptor.workceptor.pods.api import Api

POSITION_INTERVAL = 1.0
"""Seconds after which it is noted anew how far the log was read."""
DRAIN_TIME = 10.0
"""Seconds that the stream of a log has to end after the worker has; else what is missing is asked for anew."""

logger = logging.getLogger("receptor.workceptor")


class PodStreams:
    """The streams of one unit. ``sync`` does what follows from what its logic was told."""

    def __init__(self, unit: Unit, logic: PodUnit, sync: Callable[[], Awaitable[None]]) -> None:
        self._unit = unit
        self._logic = logic
        self._sync = sync
        self._log_timeout: asyncio.Timeout | None = None
        self.environment: Mapping[str, str] = {}
        """What the pod must know for its connection."""

    async def send(self, api: Api) -> None:
        """Send the payload to the worker's stdin."""
        namespace, name = self._logic.pod
        async with aclosing(self._payload()) as payload:
            await api.send_stdin(namespace, name, payload, self._begin)
        self._logic.sent()

    async def _begin(self) -> None:
        self._logic.sending()
        await self._unit.save(self._logic.status)

    async def _payload(self) -> AsyncGenerator[bytes, None]:
        async with self._unit.opened(self._unit.folder.open_stdin_for_reading) as stdin:
            while data := await self._unit.on_disk(_read, stdin):
                yield data

    # By the log

    async def fetch(self, api: Api) -> None:
        """Follow the log from where the output on disk ends; to its end if the worker has ended before."""
        unit, has_ended = self._unit, self._logic.end is not None
        # As it is on disk: what failed before may have written a part.
        self._logic.stdout_size = await unit.stdout_size()
        reader = LogReader(await unit.on_disk(unit.folder.read_log_position), self._logic.stdout_size)
        log = api.log(*self._logic.pod, reader.since, follow=not has_ended)
        try:
            async with (
                asyncio.timeout(None) as self._log_timeout,
                unit.opened(unit.folder.open_stdout_append) as stdout,
                aclosing(log),
            ):
                await self._copy(log, reader, stdout)
        except TimeoutError:
            logger.info("the log did not end with the worker; asked for it again", extra={"unit": unit.unit_id})
        finally:
            self._log_timeout = None
        if reader.has_gap:
            logger.error("the cluster has dropped a part of the output", extra={"unit": unit.unit_id})
        self._logic.output_ended(_now(), is_all=has_ended)

    def worker_ended(self) -> None:
        """The log must end soon."""
        if self._log_timeout is not None and self._log_timeout.when() is None:
            self._log_timeout.reschedule(_now() + DRAIN_TIME)

    async def _copy(self, log: AsyncGenerator[bytes, None], reader: LogReader, stdout: BinaryIO) -> None:
        write_position = self._unit.folder.write_log_position
        position, noted_at = reader.position, _now()
        try:
            async for data in log:
                try:
                    output = reader.feed(data)
                except ValueError as error:
                    raise UnreachableError(f"the log can't be read: {error}") from None
                if output:
                    await self._write(stdout, output)
                    self._logic.succeeded(Deed.FETCH)
                position = reader.position
                if _now() - noted_at >= POSITION_INTERVAL:
                    noted_at = _now()
                    await self._unit.on_disk(write_position, position)
        finally:
            await self._unit.on_disk(write_position, position)

    async def _write(self, stdout: BinaryIO, output: bytes) -> None:
        await self._unit.on_disk(write_through, stdout, output)
        self._logic.output_received(len(output))
        self._unit.notify()

    # Over a connection of the pod's

    async def talk(self, api: Api) -> None:
        """Wait for the pod's connection, and pass payload and output over it."""
        async with PodListener(api.server) as listener:
            self.environment = listener.environment
            self._logic.is_listening = True
            await self._sync()
            reader, writer = await listener.connection()
        await self._begin()
        sender = asyncio.create_task(self._pass_payload(writer), name=f"payload of unit {self._unit.unit_id}")
        try:
            async with self._unit.opened(self._unit.folder.open_stdout_append) as stdout:
                while data := await reader.read(CHUNK):
                    await self._write(stdout, data)
            self._logic.output_ended(_now(), is_all=True)
        except OSError as error:
            raise Broken(f"the pod's connection broke: {error}") from None
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            writer.close()

    async def _pass_payload(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # The other direction tells it too.
            async with aclosing(self._payload()) as payload:
                async for data in payload:
                    writer.write(data)
                    await writer.drain()
            writer.write_eof()
            self._logic.sent()
            await self._sync()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _read(file: BinaryIO) -> bytes:
    with operating_errors(Path(file.name)):
        return file.read(CHUNK)
