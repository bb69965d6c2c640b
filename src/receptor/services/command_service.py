"""A command on a terminal for each stream to a service."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Coroutine, Sequence

from receptor.config.service_actions import CommandService
from receptor.errors import ConfigurationError
from receptor.node.byte_stream import ByteStream, while_there
from receptor.node.mesh_node import MeshNode
from receptor.node.seldom import Seldom
from receptor.services.mesh_service import MeshService
from receptor.services.terminal import Started, Terminal, start

MOST_COMMANDS = 100
"""Commands of one service that may run; those count that are being ended."""

logger = logging.getLogger("receptor.services")


class CommandServicePart:
    """A ``command-service``. A command ends with its stream, and a stream with its command."""

    def __init__(self, action: CommandService, mesh: MeshNode) -> None:
        """Raises ConfigurationError if the command can't be split into words."""
        self._name = f"command-service {action.service}"
        self._argv = _words(action)
        self._service = MeshService(mesh, action.service, {"type": "Command Service"}, self._serve, action.tls)
        self._running = 0
        self._ending: set[asyncio.Task[None]] = set()
        self._failed = Seldom(logger, level=logging.WARNING)

    async def start(self) -> None:
        """Listen and advertise. Raises OperatingError if the service is taken."""
        await self._service.start()
        logger.info("%s offers %s to the mesh", self._name, self._argv[0])

    async def stop(self) -> None:
        """Accept no more, and end the commands; returns when they are gone."""
        await self._service.stop()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _serve(self, stream: ByteStream) -> None:
        if self._running >= MOST_COMMANDS:
            self._failed.say(f"{self._name}: refused {stream.origin}: {self._running} commands run already")
            raise ConnectionRefusedError("too many commands")
        self._running += 1
        # As a task of its own, since a command that has been started must be ended, whatever comes in between.
        starting = asyncio.create_task(asyncio.to_thread(start, self._argv), name=f"start {self._argv[0]}")
        try:
            terminal = Terminal(await asyncio.shield(starting))
        except OSError as error:
            self._failed.say(f"{self._name}: {self._argv[0]} can't be started: {error.strerror}; check the command")
            self._end(_abandoned(starting), stream)
            raise ConnectionAbortedError("the command can't be started") from None
        except asyncio.CancelledError:
            self._end(_abandoned(starting), stream)
            raise
        logger.info("%s: started for %s", self._name, stream.origin)
        try:
            await _converse(stream, terminal)
        finally:
            self._end(terminal.stop(), stream)

    def _end(self, ending: Coroutine[None, None, None], stream: ByteStream) -> None:
        task = asyncio.create_task(ending, name=f"end the command for {stream.origin}")
        self._ending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        self._running -= 1


def _words(action: CommandService) -> Sequence[str]:
    try:
        words = shlex.split(action.command)
    except ValueError as error:
        raise ConfigurationError(f"command-service {action.service}: the command can't be read: {error}") from None
    if not words or "\0" in action.command:
        raise ConfigurationError(f"command-service {action.service}: the command is empty, or holds a NUL character")
    return words


async def _converse(stream: ByteStream, terminal: Terminal) -> None:
    """Pass on both ways until the command ends. Raises ConnectionError if the client leaves before."""
    typing = asyncio.create_task(_type(stream, terminal), name=f"type for {stream.origin}")
    try:
        async with while_there(stream):
            while output := await terminal.read():
                await stream.write(output)
        await stream.finish()
    finally:
        typing.cancel()
        await asyncio.wait([typing])


async def _type(stream: ByteStream, terminal: Terminal) -> None:
    """Type what the client sends. After its end the command may go on, and what it writes still counts."""
    try:
        while data := await stream.read():
            await terminal.write(data)
        await terminal.end_input()
    except OSError as error:
        # If the client has left, that is noticed where its output is written.
        logger.debug("nothing more is typed for %s: %s", stream.origin, error)


async def _abandoned(starting: asyncio.Task[Started]) -> None:
    """End a command that nobody talks to, once it is started."""
    await asyncio.wait([starting])
    if starting.exception() is None:
        await starting.result().stop()
