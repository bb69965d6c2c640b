"""A whole node: what is started in which order, and stopped in the opposite one.

It takes nothing of its process: signals, the log and the like are those of who runs it (``cli/running.py`` for a
process of its own, ``testing`` for nodes within a test).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from receptor.config.actions import ControlService as ControlServiceAction
from receptor.config.configuration import Configuration
from receptor.control.access import AccessPolicy
from receptor.control.dispatch import Dispatcher
from receptor.control.listeners import TcpControlListener, UnixListener
from receptor.control.mesh_commands import MeshCommands
from receptor.control.service import ControlService
from receptor.control.work_commands import WorkCommands
from receptor.errors import OperatingError
from receptor.linking import Linking
from receptor.logs import audit_file
from receptor.netceptor.firewall import Firewall
from receptor.netceptor.mesh import SHORTEST_IDLE_TIMEOUT
from receptor.netceptor.messages import STREAM_SERVICE, TLS_STREAM_SERVICE, WorkCommand
from receptor.node.mesh_node import MeshNode
from receptor.reloading import Reloading
from receptor.tls.profiles import TlsProfiles
from receptor.workceptor.files import Durability
from receptor.workceptor.node_session import MULTIPLEX_TAG
from receptor.workceptor.signing import load_signing_key, load_verification_key
from receptor.workceptor.tokens import Signer, Verifier
from receptor.workceptor.used_tokens import UsedTokens
from receptor.workceptor.workceptor import Workceptor

logger = logging.getLogger("receptor.node")


class _Part(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Daemon:
    """One node, from its configuration to its end.

    ``mesh``, ``linking`` and ``reloading`` are there once it was started.
    """

    def __init__(
        self, configuration: Configuration, reread: Callable[[], Configuration], *, adopts_orphans: bool
    ) -> None:
        """``reread`` reads the configuration anew, for a reload.

        ``adopts_orphans``: this process is the node's alone, and becomes a subreaper, so that the node learns how
        commands end whose runner was killed. Elsewhere the children of others could be taken for orphans.
        """
        self._configuration = configuration
        self._reread = reread
        self._adopts_orphans = adopts_orphans
        self._parts = AsyncExitStack()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Start everything; clients are greeted when this returns.

        Raises OperatingError or ConfigurationError if the node can't start; nothing is left of it then.
        """
        async with AsyncExitStack() as parts:
            await self._start(parts)
            self._parts = parts.pop_all()

    async def stop(self) -> None:
        """Leave the mesh and free all that was taken, in order. Commands of units go on; a later start finds them."""
        await self._parts.aclose()

    def end(self, reason: str) -> None:
        """Have ``ended`` return."""
        logger.info("%s", reason)
        if not self._ended.done():
            self._ended.set_result(None)

    async def ended(self) -> None:
        """Wait for ``end``. Raises OperatingError once the node has to give up its id."""
        await self._ended

    def summary(self) -> str:
        """What the node has, for people: ``3 links, 5 nodes in reach, 12 units``."""
        numbers = {
            "link": len(self.mesh.core.mesh.neighbours),
            "node": len(self.mesh.core.mesh.topology.routes),
            "unit": len(self._workceptor.units),
        }
        links, nodes, units = (f"{number} {what}{'' if number == 1 else 's'}" for what, number in numbers.items())
        return f"{links}, {nodes} in reach, {units}"

    async def _start(self, parts: AsyncExitStack) -> None:
        """Start everything. Clients come last, so that the control service greets only when all is ready."""
        node = self._configuration.node
        if self._configuration.audit is not None:
            parts.enter_context(audit_file(self._configuration.audit.file, node.id))
        tls = TlsProfiles(self._configuration.tls_servers, self._configuration.tls_clients, node.id)
        mesh = self.mesh = self._mesh(tls)
        parts.push_async_callback(mesh.stop)
        linking = self.linking = Linking(mesh, tls)
        reloading = self.reloading = Reloading(self._configuration, self._reread, linking, tls)
        data_folder = node.data_dir / node.id
        workceptor = self._workceptor = Workceptor(
            mesh,
            data_folder,
            self._configuration.work_commands,
            _signer(self._configuration),
            self._configuration.limits.work,
            Durability(node.durability),
            mesh.events,
            adopts_orphans=self._adopts_orphans,
        )
        parts.push_async_callback(workceptor.close)
        await workceptor.start()
        access = AccessPolicy(node.id, self._configuration.access_rules, workceptor.units)
        commands = WorkCommands(node.id, workceptor, await _verifier(self._configuration, data_folder))
        dispatcher = Dispatcher(access, MeshCommands(mesh, tls, data_folder), commands, reloading.reload)
        control = ControlService(node.id, dispatcher, self._configuration.limits)
        parts.push_async_callback(control.stop)
        for service in self._configuration.control_services:
            self._serve_mesh(service, mesh, control)
        parts.push_async_callback(linking.stop)
        await linking.change([*self._configuration.listeners, *self._configuration.peers])
        parts.push_async_callback(reloading.stop)
        if self._configuration.services:
            from receptor.services.parts import service_part  # only who has one pays for its import

            for action in self._configuration.services:
                await _start_part(service_part(action, mesh, tls), parts)
        for service in self._configuration.control_services:
            for listener in _client_listeners(service, control, tls):
                await _start_part(listener, parts)
        parts.callback(mesh.events.close)  # First of all, so that those who follow are told that the node ends.

    def _mesh(self, tls: TlsProfiles) -> MeshNode:
        node = self._configuration.node
        return MeshNode(
            node.id,
            node.max_idle_connection_timeout or SHORTEST_IDLE_TIMEOUT,
            self._duplicate,
            self._configuration.limits.mesh,
            tls,
            Firewall(node.firewall_rules),
            self._configuration.trace,
        )

    def _serve_mesh(self, service: ControlServiceAction, mesh: MeshNode, control: ControlService) -> None:
        if service.service:
            work_types = [
                WorkCommand(command.work_type, command.verify_signature)
                for command in self._configuration.work_commands
            ]
            mesh.listen(service.service, control.serve, service.tls)
            kind = TLS_STREAM_SERVICE if service.tls else STREAM_SERVICE
            mesh.advertise(
                service.service, {"type": "Control Service", MULTIPLEX_TAG: "true"}, work_types or None, kind
            )

    def _duplicate(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_exception(OperatingError(reason))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """For the event loop of a node: uvloop where it exists, else the standard loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _start_part(part: _Part, parts: AsyncExitStack) -> None:
    parts.push_async_callback(part.stop)
    await part.start()


def _client_listeners(service: ControlServiceAction, control: ControlService, tls: TlsProfiles) -> list[_Part]:
    listeners: list[_Part] = []
    if service.filename is not None:
        path = service.filename if service.filename.is_absolute() else os.getcwd() / service.filename
        listeners.append(UnixListener(path, service.permissions, control.serve))
    if service.tcp_listen is not None:
        profile = tls.server(service.tcp_tls) if service.tcp_tls else None
        listeners.append(TcpControlListener(service.tcp_listen.host, service.tcp_listen.port, control.serve, profile))
    return listeners


def _signer(configuration: Configuration) -> Signer | None:
    signing = configuration.work_signing
    return Signer(load_signing_key(signing.private_key), signing.token_expiration) if signing else None


async def _verifier(configuration: Configuration, data_folder: Path) -> Verifier | None:
    verification = configuration.work_verification
    if verification is None:
        return None
    used = UsedTokens(data_folder / ".used-tokens", durability=Durability(configuration.node.durability))
    await asyncio.to_thread(used.load, time.time())
    key = load_verification_key(verification.public_key)
    return Verifier(key, configuration.node.id, used, accept_unbound=verification.accept_unbound)
