"""The commands about the node and the mesh: status, ping, traceroute, connect, events."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import msgspec

import receptor
from receptor.control.answers import Connection, Hop, NodeStatus, PingAnswer, PingFailure
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


class MeshCommands:
    """Handlers of the control service."""

    def __init__(self, mesh: MeshNode) -> None:
        self._mesh = mesh

    def status(self, command: ShowStatus) -> NodeStatus:
        """What the node knows of itself and of the mesh."""
        mesh = self._mesh.core.mesh
        links = sorted((node, link.cost) for node, link in mesh.neighbours.items())
        whole = NodeStatus(
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
        return whole if command.fields is None else whole.only(command.fields)

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
