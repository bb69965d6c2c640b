"""A whole node: what is started in which order, and stopped in the opposite one."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import receptor
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
from receptor.workceptor.folder import Durability
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
    """One node, from its configuration to its end."""

    def __init__(self, configuration: Configuration, reread: Callable[[], Configuration]) -> None:
        """``reread`` reads the configuration anew, for a reload."""
        self._configuration = configuration
        self._reread = reread
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until the node has to give up its id.

        Raises OperatingError or ConfigurationError if the node can't start or must end.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, f"ending on {number.name}")
        loop.add_signal_handler(signal.SIGHUP, logger.info, "the node is starting: SIGHUP reloads nothing yet")
        async with AsyncExitStack() as parts:
            reloading = await self._start(parts)
            loop.add_signal_handler(signal.SIGHUP, reloading.begin)
            logger.info("node %s is ready (version %s)", self._configuration.node.id, receptor.__version__)
            await self._ended
            # Nothing is reloaded any more. A closed loop would leave the signal to kill.
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def _start(self, parts: AsyncExitStack) -> Reloading:
        """Start everything. Clients come last, so that the control service greets only when all is ready."""
        node = self._configuration.node
        if self._configuration.audit is not None:
            parts.enter_context(audit_file(self._configuration.audit.file, node.id))
        tls = TlsProfiles(self._configuration.tls_servers, self._configuration.tls_clients, node.id)
        mesh = self._mesh(tls)
        parts.push_async_callback(mesh.stop)
        linking = Linking(mesh, tls)
        reloading = Reloading(self._configuration, self._reread, linking, tls)
        data_folder = node.data_dir / node.id
        workceptor = Workceptor(
            mesh,
            data_folder,
            self._configuration.work_commands,
            _signer(self._configuration),
            self._configuration.limits.work,
            Durability(node.durability),
            mesh.events,
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
        return reloading

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

    def _end(self, reason: str) -> None:
        logger.info("%s", reason)
        if not self._ended.done():
            self._ended.set_result(None)


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
