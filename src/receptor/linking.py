"""The backends of a node, kept as its configuration wants them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

import msgspec

from receptor.backends.session import Backend
from receptor.backends.tcp import TcpDialer, TcpListener
from receptor.backends.udp import UdpDialer, UdpListener
from receptor.config import backend_actions as actions
from receptor.config.configuration import DEFAULT_TLS_CLIENT
from receptor.errors import OperatingError
from receptor.netceptor.links import LinkTerms
from receptor.node.backend_sessions import BackendSessions
from receptor.node.mesh_node import MeshNode
from receptor.tls.profiles import TlsProfiles

logger = logging.getLogger("receptor.node")


class _Running(msgspec.Struct, frozen=True, eq=False):
    """A backend at work."""

    action: actions.Listener | actions.Peer
    backend: Backend
    sessions: BackendSessions


class Linking:
    """Starts, changes and stops the backends of a node."""

    def __init__(self, mesh: MeshNode, tls: TlsProfiles) -> None:
        self._mesh = mesh
        self._tls = tls
        self._running: list[_Running] = []

    @property
    def tcp_ports(self) -> list[int]:
        """Where it listens for neighbours over TCP, in the order of the configuration, with what the system chose."""
        return [one.backend.port for one in self._running if isinstance(one.backend, TcpListener)]

    async def change(self, wanted: Sequence[actions.Listener | actions.Peer]) -> None:
        """Have just these backends. One that is wanted as it is goes on with all its links; the links of others end.

        Raises OperatingError if a listener can't be had; then everything is as it was, but for a listener whose port
        somebody else has taken in that moment. To be called by one at a time, and not to be cancelled.
        """
        kept, added = _compared(self._running, wanted)
        removed = [one for one in self._running if one not in kept]
        started = [self._made(action) for action in added]
        listeners = [one for one in started if isinstance(one.action, actions.Listener)]
        async with AsyncExitStack() as undo:
            # First the listeners: only they can fail. One that is changed may need the port of what it was before.
            for one in removed:
                if isinstance(one.action, actions.Listener):
                    undo.push_async_callback(self._restart, one)
                    await one.backend.stop()
            for one in listeners:
                undo.push_async_callback(one.backend.stop)
                await one.backend.start()
            undo.pop_all()
        self._running = [*kept, *started]
        for one in removed:
            if isinstance(one.action, actions.Peer):
                await one.backend.stop()
            one.sessions.end_all(f"link closed: its {one.action.about.name} is not in the configuration any more")
        for one in started:
            if one not in listeners:
                await one.backend.start()

    async def _restart(self, one: _Running) -> None:
        try:
            await one.backend.start()
        except OperatingError as error:
            self._running.remove(one)
            logger.error("a listener of before is lost: %s", error)

    async def stop(self) -> None:
        """Make no more links. Those that are there go on."""
        await asyncio.gather(*(one.backend.stop() for one in self._running))

    def _made(self, action: actions.Listener | actions.Peer) -> _Running:
        if isinstance(action, actions.Listener):
            sessions = self._mesh.backend(LinkTerms(action.cost, action.node_cost, action.allowed_peers), dialled=False)
            return _Running(action, self._listener(action, sessions), sessions)
        sessions = self._mesh.backend(LinkTerms(action.cost, {}, action.allowed_peers), dialled=True)
        return _Running(action, self._dialer(action, sessions), sessions)

    def _listener(self, action: actions.Listener, sessions: BackendSessions) -> Backend:
        match action:
            case actions.TcpListener():
                tls = self._tls.server(action.tls) if action.tls else None
                return TcpListener(sessions, action.bind_address, action.port, tls)
            case actions.UdpListener():
                return UdpListener(sessions, action.bind_address, action.port)
            case actions.WsListener():
                from receptor.backends.websocket import WebSocketListener  # only who has one pays for its import

                tls = self._tls.server(action.tls) if action.tls else None
                return WebSocketListener(sessions, action.bind_address, action.port, action.path, tls)
        raise AssertionError(f"no backend: {action}")

    def _dialer(self, action: actions.Peer, sessions: BackendSessions) -> Backend:
        match action:
            case actions.TcpPeer():
                tls = self._tls.client(action.tls) if action.tls else None
                return TcpDialer(sessions, action.address.host, action.address.port, action.redial, tls)
            case actions.UdpPeer():
                return UdpDialer(sessions, action.address.host, action.address.port, action.redial)
            case actions.WsPeer():
                from receptor.backends.websocket import WebSocketDialer

                named = action.tls or (DEFAULT_TLS_CLIENT if action.address.startswith("wss:") else "")
                tls = self._tls.client(named) if named else None
                return WebSocketDialer(sessions, action.address, action.redial, action.extra_header, tls)
        raise AssertionError(f"no backend: {action}")


def _compared(
    running: Iterable[_Running], wanted: Iterable[actions.Listener | actions.Peer]
) -> tuple[list[_Running], list[actions.Listener | actions.Peer]]:
    """Which of the running backends are wanted as they are, and which actions have none."""
    left, kept, added = list(running), [], []
    for action in wanted:
        match = next((one for one in left if one.action == action), None)
        if match is None:
            added.append(action)
        else:
            left.remove(match)
            kept.append(match)
    return kept, added
