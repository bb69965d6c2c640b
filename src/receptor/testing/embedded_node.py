"""One node of a mesh for tests: its configuration file, and a daemon in the loop that this is used in."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar

import yaml

from receptor.config.configuration import Configuration
from receptor.config.files import load_file
from receptor.daemon import Daemon
from receptor.errors import OperatingError
from receptor.testing.logs import current_node

T = TypeVar("T")

Action = Mapping[str, object]
"""An action as in a configuration file: its name, and the values of its keys."""


def work_command(work_type: str, command: str | Sequence[str]) -> Action:
    """The action for a work type. Of a text a shell's words are made; a sequence is the words."""
    words = shlex.split(command) if isinstance(command, str) else list(command)
    program, *arguments = words or [""]
    return {"work-command": {"worktype": work_type, "command": program, "params": shlex.join(arguments)}}


class EmbeddedNode:
    """A node that can be started and stopped again and again; what it keeps on disk stays."""

    def __init__(self, folder: Path, node_id: str, actions: Iterable[Action]) -> None:
        self.node_id = node_id
        self.socket = folder / f"{node_id}.sock"
        self.data_folder = folder / "data" / node_id
        self.peers: list[int] = []
        """The TCP ports of this machine that it dials."""
        self.daemon: Daemon | None = None
        self._file = folder / f"{node_id}.yml"
        self._actions = list(actions)
        self._context = copy_context()
        self._context.run(current_node.set, node_id)

    @property
    def port(self) -> int:
        """Where others link. Only while it runs."""
        assert self.daemon is not None
        return self.daemon.linking.tcp_ports[0]

    @property
    def routes(self) -> Mapping[str, str]:
        """The next hop to each node in reach, or none to one whose services it does not know yet. While it runs."""
        assert self.daemon is not None
        mesh = self.daemon.mesh
        routes = mesh.core.mesh.topology.routes
        return {node: hop if mesh.tags_of(node, "control") else "" for node, hop in routes.items()}

    async def start(self) -> None:
        """Start it, without peers. Raises OperatingError or ConfigurationError if it can't be started."""
        self.peers = []
        daemon = Daemon(self._configuration(), self._configuration, adopts_orphans=False)
        await self._as_itself(daemon.start())
        self.daemon = daemon

    async def stop(self) -> None:
        """Stop it as SIGTERM does; its commands go on."""
        if self.daemon is not None:
            daemon, self.daemon = self.daemon, None
            await self._as_itself(daemon.stop())

    async def dial(self, ports: Sequence[int]) -> None:
        """Have links with just the nodes that listen there, besides those that dial this one."""
        if self.daemon is None or ports == self.peers:
            return
        self.peers = list(ports)
        answer = await self._as_itself(self.daemon.reloading.reload())
        if not answer.success:
            raise OperatingError(f"node {self.node_id}: {answer.error}")

    async def _as_itself(self, work: Coroutine[object, object, T]) -> T:
        """Do it so that the log tells whose it is, and all that comes of it."""
        return await asyncio.create_task(work, context=self._context)

    def _configuration(self) -> Configuration:
        """By way of a file, as every node's: so there is one way in, and the file can be looked at."""
        everything: list[Action] = [
            {"node": {"id": self.node_id, "datadir": str(self.data_folder.parent)}},
            {"control-service": {"service": "control", "filename": str(self.socket)}},
            {"tcp-listener": {"port": 0, "bindaddr": "127.0.0.1"}},
            *({"tcp-peer": {"address": f"127.0.0.1:{port}"}} for port in self.peers),
            *self._actions,
        ]
        self._file.write_text(yaml.safe_dump(everything))
        return load_file(self._file)
