"""The asyncio owner of the mesh core: sessions in and out, one timer, and the streams' users.

The core's clock is time.monotonic, since a loop's own time stands still during each of its rounds.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Mapping

import msgspec

from receptor.backends.session import Session
from receptor.events import Events
from receptor.logs import TRACE
from receptor.netceptor.effects import (
    DatagramArrived,
    Disconnect,
    Duplicate,
    Effect,
    LinkDown,
    LinkUp,
    Notice,
    PingEnded,
    RoutesChanged,
    Send,
    ServiceChanged,
    Severity,
    StreamClosed,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamWritable,
)
from receptor.netceptor.firewall import OPEN, Firewall
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.mesh import Identity
from receptor.netceptor.messages import STREAM_SERVICE, WorkCommand
from receptor.netceptor.netceptor import Netceptor
from receptor.netceptor.packets import MOST_HOPS
from receptor.node.backend_sessions import BackendSessions
from receptor.node.byte_stream import ByteStream
from receptor.node.datagrams import DatagramService, DatagramUser
from receptor.node.mesh_events import MeshEvents
from receptor.node.mesh_streams import MeshStreams, StreamUser
from receptor.node.stream_loading import StreamLoading
from receptor.node.stream_tls import NoTls, StreamTls

MOST_ROUTES_IN_LOG = 50

DEFECT_PAUSE = 0.1
"""Seconds until the mesh core is asked again after it has failed."""

_DEFECT = "a defect of this program, please report it; the mesh goes on"

logger = logging.getLogger("receptor.netceptor")
tracer = logging.getLogger("receptor.trace")

_LEVELS = {
    Severity.TRACE: TRACE,
    Severity.DEBUG: logging.DEBUG,
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
}


class _OpenSession(msgspec.Struct):
    session: Session
    backend: BackendSessions
    became_link: bool = False
    ended: asyncio.Event = msgspec.field(default_factory=asyncio.Event)


class MeshNode:
    """This node in the mesh."""

    def __init__(
        self,
        node_id: str,
        idle_timeout: float,
        on_duplicate: Callable[[str], None],
        limits: MeshLimits = DEFAULT_LIMITS,
        tls: StreamTls | None = None,
        firewall: Firewall = OPEN,
        trace: bool = False,
    ) -> None:
        self.events = Events()
        """Where the node tells what happens, in the mesh and else."""
        self._telling = MeshEvents(self.events)
        self._loop = asyncio.get_running_loop()
        rng = self._rng = random.SystemRandom()
        now, unix_time = time.monotonic(), time.time()
        # Seconds in the upper bits, as existing nodes have it. The others are no chance either, so that a node that is
        # restarted within a second is newer than its former run.
        epoch = int(unix_time * (1 << 24))
        identity = Identity(node_id, epoch, unix_time - now, idle_timeout)
        self.node_id = node_id
        self._stream_loading = StreamLoading()
        self.core = Netceptor(identity, self._stream_loading.credentials, rng, now, limits, firewall, trace)
        self._tls = tls or NoTls()
        self._link_backlog = limits.link_backlog
        self._on_duplicate = on_duplicate
        self._sessions: dict[int, _OpenSession] = {}
        self._session_count = 0
        self._streams = MeshStreams(self.core.streams, self._tls, self._stream_loading, self.pump, self._pump_soon)
        self._pinging: dict[int, asyncio.Future[PingEnded]] = {}
        self._datagram_users: dict[str, DatagramUser] = {}
        self._route_watchers: list[Callable[[dict[str, str]], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None

    # Backends

    def backend(self, terms: LinkTerms, dialled: bool) -> BackendSessions:
        """What a backend hands its sessions to; they become links on these terms."""
        return BackendSessions(self, terms, dialled)

    def session_opened(self, session: Session, backend: BackendSessions, peer: str) -> int:
        """A backend has a new session; its number. One too many is closed at once, unless we have dialled it."""
        self._session_count += 1
        number = self._session_count
        self._sessions[number] = _OpenSession(session, backend)
        logger.debug("session %d with %s opened", number, peer)
        self.core.session_opened(number, backend.terms, time.monotonic(), backend.dialled)
        self.pump()
        self._stream_loading.begin()
        return number

    def packets_received(self, number: int, packets: list[bytes]) -> None:
        """Packets have arrived on a session."""
        self.core.packets_received(number, packets, time.monotonic())
        self.pump()

    def session_closed(self, number: int) -> None:
        """A session has ended by itself."""
        self._forget_session(number)
        self.core.session_closed(number, time.monotonic())
        self.pump()

    def end_sessions(self, backend: BackendSessions, reason: str) -> None:
        """End the sessions of a backend."""
        for number in [number for number, entry in self._sessions.items() if entry.backend is backend]:
            self.core.mesh.end_session(number, reason, time.monotonic())
        self.pump()

    async def link_ended(self, number: int) -> bool:
        """Wait until a session is over; True if it had become a link."""
        entry = self._sessions.get(number)
        if entry is None:
            return False
        await entry.ended.wait()
        return entry.became_link

    # Services

    def advertise(
        self,
        service: str,
        tags: dict[str, str],
        work_commands: list[WorkCommand] | None = None,
        connection_type: int = STREAM_SERVICE,
    ) -> None:
        """Tell the mesh of a service of ours, now and every minute."""
        self.core.mesh.advertise(service, connection_type, tags, work_commands, time.monotonic())
        self._pump_soon()

    def withdraw(self, service: str) -> None:
        """Tell the mesh that a service of ours has ended."""
        self.core.mesh.withdraw(service, time.monotonic())
        self._pump_soon()

    def listen(self, service: str, user: StreamUser, tls_server: str = "") -> None:
        """Let the user serve each stream that is opened to a service of ours, secured by a tls-server if one is named.

        Raises ValueError if the service is taken.
        """
        self._streams.listen(service, user, tls_server)

    def unlisten(self, service: str) -> None:
        """Accept no more streams for a service; those that are open go on."""
        self._streams.unlisten(service)

    def open_datagrams(self, user: DatagramUser, service: str = "") -> DatagramService:
        """Let the user take the datagrams for a service of ours; without a name, for one that was not there before.

        Raises ValueError if the service is taken.
        """
        service = service or self.core.switch.unused_service(self._rng)
        self.core.open_datagrams(service)
        self._datagram_users[service] = user
        return DatagramService(self.core, service, self._pump_soon, self._forget_datagrams)

    def _forget_datagrams(self, service: str) -> None:
        self._datagram_users.pop(service, None)

    async def dial(self, node: str, service: str, tls_client: str = "") -> ByteStream:
        """Open a stream to a service of a node, secured by the tls-client if one is named.

        Raises UnreachableError if the node or the service can't be reached, within 15 s (TlsError if the two ends don't
        accept each other), and CommandError if there is no such tls-client. Cancelling gives up.
        """
        return await self._streams.dial(node, service, tls_client)

    def tags_of(self, node: str, service: str) -> Mapping[str, str]:
        """The tags with which a service of another node is advertised; none if it isn't, or not yet."""
        known = (each for each in self.core.mesh.advertisements.of(node) if each.service == service and not each.cancel)
        return next((each.tags for each in known if each.tags), {})

    def check_tls_client(self, name: str) -> None:
        """Raise CommandError if there is no tls-client of that name."""
        self._tls.client(name)

    async def ping(self, target: str, hops: int = MOST_HOPS) -> PingEnded:
        """Ping a node; the end comes within 10 s."""
        number = self.core.pings.start(target, time.monotonic(), hops)
        ended: asyncio.Future[PingEnded] = self._loop.create_future()
        self._pinging[number] = ended
        self.pump()
        try:
            return await ended
        finally:
            del self._pinging[number]

    def watch_routes(self, watcher: Callable[[dict[str, str]], None]) -> None:
        """Call back with the table of next hops whenever it has changed."""
        self._route_watchers.append(watcher)

    async def stop(self) -> None:
        """Leave the mesh: withdraw our services, drop streams and sessions. Sends what is queued."""
        now = time.monotonic()
        for advertisement in self.core.mesh.advertisements.own:
            self.core.mesh.withdraw(advertisement.service, now)
        await self._streams.stop()
        self.pump()
        for entry in self._sessions.values():
            entry.session.close()
        self._unplan()

    # The core's effects

    def pump(self) -> None:
        """Carry out what the core wants done now, and plan its next call."""
        self._unplan()
        try:
            self._carry_out_all()
            self._plan()
        except Exception:  # The boundary to the mesh core: a defect of ours must not leave the node deaf.
            logger.exception(_DEFECT)
            self._timer = self._loop.call_later(DEFECT_PAUSE, self.pump)

    def _carry_out_all(self) -> None:
        outgoing: dict[int, list[bytes]] = {}
        for effect in self.core.poll(time.monotonic()):
            try:
                if isinstance(effect, Send):
                    self._queue(effect, outgoing)
                else:
                    self._flush(outgoing)
                    self._carry_out(effect)
            except Exception:  # The core tells each thing once: who waits for the next must not wait for ever.
                logger.exception(_DEFECT)
        self._flush(outgoing)

    def _pump_soon(self) -> None:
        if self._soon is None:
            self._soon = self._loop.call_soon(self.pump)

    def _unplan(self) -> None:
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        self._timer = self._soon = None

    def _plan(self) -> None:
        deadline = self.core.deadline()
        if deadline is None:
            return
        wait = deadline - time.monotonic()
        if wait <= 0:
            self._pump_soon()
        else:
            # uvloop rounds to milliseconds: what rounds to none would make us spin until it is due.
            self._timer = self._loop.call_later(math.ceil(wait * 1000) / 1000, self.pump)

    def _queue(self, effect: Send, outgoing: dict[int, list[bytes]]) -> None:
        """Send a packet, if the neighbour keeps up. QUIC sends data that is dropped again, at the link's pace."""
        entry = self._sessions.get(effect.session)
        if entry is None:
            return
        queued = entry.session.queued
        if queued > self._link_backlog:
            reason = f"link closed: the neighbour reads too slowly, {queued} bytes wait for it"
            self.core.mesh.end_session(effect.session, reason, time.monotonic())
            self._pump_soon()
        elif not (effect.may_drop and queued > self._link_backlog // 2):
            outgoing.setdefault(effect.session, []).append(effect.packet)

    def _flush(self, outgoing: dict[int, list[bytes]]) -> None:
        for number, packets in outgoing.items():
            try:
                self._sessions[number].session.send(packets)
            except Exception:  # Nor must one session's defect cost another's packets.
                logger.exception(_DEFECT)
        outgoing.clear()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case StreamData() | StreamWritable() | StreamEnded() | StreamOpened() | StreamClosed():
                self._streams.carry_out(effect)
            case Notice(severity, text, peer):
                about = tracer if severity is Severity.TRACE else logger
                about.log(_LEVELS[severity], text, extra={"peer": peer})
            case PingEnded(number):
                self._ping_ended(number, effect)
            case LinkUp(number):
                self._sessions[number].became_link = True
                self._telling.link_changed(effect)
            case LinkDown():
                self._telling.link_changed(effect)
            case ServiceChanged():
                self._telling.service_changed(effect)
            case Disconnect(number):
                entry = self._forget_session(number)
                if entry is not None:
                    entry.session.close()
            case RoutesChanged(routes):
                self._routes_changed(routes)
                self._telling.routes_changed(effect)
            case Duplicate(reason):
                self._on_duplicate(reason)
            case DatagramArrived(datagram):
                user = self._datagram_users.get(datagram.destination.service)
                if user is not None:  # Else the service was closed in the same round.
                    user(datagram.source, datagram.payload)

    def _forget_session(self, number: int) -> _OpenSession | None:
        entry = self._sessions.pop(number, None)
        if entry is not None:
            entry.ended.set()
        return entry

    def _ping_ended(self, number: int, effect: PingEnded) -> None:
        waiting = self._pinging.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(effect)

    def _routes_changed(self, routes: dict[str, str]) -> None:
        if len(routes) > MOST_ROUTES_IN_LOG:
            logger.info("routes: to %d nodes", len(routes))
        else:
            table = ", ".join(f"{node} via {hop}" for node, hop in sorted(routes.items()))
            logger.info("routes: %s", table or "none")
        for watcher in self._route_watchers:
            watcher(routes)
