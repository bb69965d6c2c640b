"""The commands about the node and the mesh: status, ping, traceroute, connect, events."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import receptor
from receptor.control.answers import Certificate, Connection, DataFolder, Hop, NodeStatus, PingAnswer, PingFailure
from receptor.control.commands import Connect, Ping, ShowStatus, Traceroute
from receptor.durations import format_duration
from receptor.errors import CommandError
from receptor.events import Event
from receptor.identifiers import is_service_name
from receptor.netceptor.effects import PingEnded
from receptor.netceptor.messages import MESSAGE_EXPIRED, go_number
from receptor.netceptor.packets import MOST_HOPS
from receptor.node.byte_stream import ByteStream, bridge, while_there
from receptor.node.mesh_node import MeshNode
from receptor.tls.profiles import TlsProfiles
from receptor.workceptor.files import operating_errors


class MeshCommands:
    """Handlers of the control service."""

    def __init__(self, mesh: MeshNode, tls: TlsProfiles | None = None, data_folder: Path | None = None) -> None:
        self._mesh = mesh
        self._tls = tls or TlsProfiles()
        self._data_folder = data_folder
        self._start_time = datetime.now(UTC)

    async def status(self, command: ShowStatus, is_local: bool) -> NodeStatus:
        """What the node knows of itself and of the mesh; of its files only to a client of this machine.

        Raises OperatingError if there is no telling how full the disk is, for one who asks for that.
        """
        names = command.fields
        if names is None:
            return self._usual_status()
        return msgspec.structs.replace(
            self._usual_status().only(names),
            time=datetime.now(UTC) if "Time" in names else None,
            start_time=self._start_time if "StartTime" in names else None,
            certificates=self._certificates(is_local) if "Certificates" in names else None,
            data_folder=await self._room() if "DataFolder" in names and is_local else None,
        )

    def _certificates(self, is_local: bool) -> tuple[Certificate, ...]:
        return tuple(
            Certificate(
                name=name,
                subject=shown.subject,
                node_ids=shown.node_ids,
                not_before=shown.not_before,
                not_after=shown.not_after,
                file=str(shown.file.absolute()) if is_local else msgspec.UNSET,
            )
            for name, shown in self._tls.shown_certificates().items()
        )

    async def _room(self) -> DataFolder | None:
        folder = self._data_folder
        if folder is None:
            return None
        with operating_errors(folder):
            room = await asyncio.to_thread(os.statvfs, folder)
        return DataFolder(str(folder.absolute()), room.f_bavail * room.f_frsize >> 20)

    def _usual_status(self) -> NodeStatus:
        mesh = self._mesh.core.mesh
        links = sorted((node, link.cost) for node, link in mesh.neighbours.items())
        return NodeStatus(
            advertisements=mesh.advertisements.everything(),
            connections=tuple(Connection(node, go_number(cost)) for node, cost in links),
            known_connection_costs={
                node: {neighbour: go_number(cost) for neighbour, cost in edges.items()}
                for node, edges in mesh.topology.costs.items()
            },
            node_id=self._mesh.node_id,
            routing_table=mesh.topology.routes,
            system_cpu_count=os.cpu_count() or 1,
            system_memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
            version=receptor.__version__,
        )

    async def ping(self, command: Ping) -> PingAnswer | PingFailure:
        """Measure the way to a node."""
        ended = await self._mesh.ping(command.target)
        if ended.problem is not None:
            return PingFailure(ended.problem)
        return PingAnswer(ended.node, _nanoseconds(ended), format_duration(ended.seconds))

    async def traceroute(self, command: Traceroute) -> dict[str, Hop]:
        """Ping with one hop more each time, until the node itself answers or something fails."""
        hops: dict[str, Hop] = {}
        for count in range(MOST_HOPS + 1):
            ended = await self._mesh.ping(command.target, count)
            is_waypoint = ended.problem == MESSAGE_EXPIRED
            error = "" if is_waypoint else ended.problem or ""
            hops[str(count)] = Hop(ended.node, _nanoseconds(ended), format_duration(ended.seconds), error)
            if not is_waypoint:
                break
        return hops

    async def connect(self, command: Connect, stream: ByteStream, on_bridge: Callable[[], None]) -> None:
        """Bridge the client to a service; ``on_bridge`` is called when that begins."""
        if not is_service_name(command.service):
            raise CommandError(f"{command.service!r} can't be a service: its name must have 1 to 8 bytes")
        far = await self._mesh.dial(command.node, command.service, command.tls_client)
        on_bridge()
        try:
            await stream.write(b"Connecting\n")
        except (ConnectionError, asyncio.CancelledError):
            far.close()
            raise
        await bridge(stream, far)

    async def follow_events(self, stream: ByteStream, is_told: Callable[[Event], bool]) -> None:
        """Tell the client what happens, of what ``is_told`` accepts, until it leaves or the node ends."""
        with self._mesh.events.followed(is_told) as follower:
            await stream.write(f"Streaming events of node {self._mesh.node_id}\n".encode())
            async with while_there(stream):
                while events := await follower.take():
                    await stream.write(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
        await stream.finish()


def _nanoseconds(ended: PingEnded) -> int:
    return int(ended.seconds * 1e9)
