"""A mesh of real nodes in this process, for tests of what uses it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeAlias

from receptor.client import Client, SyncClient
from receptor.errors import UnreachableError
from receptor.testing.background import BackgroundLoop
from receptor.testing.embedded_node import Action, EmbeddedNode, work_command
from receptor.testing.leftovers import end_commands, runner_of
from receptor.testing.links import Links, astray, distances, listed, pairs
from receptor.testing.logs import named_nodes

NodeContents: TypeAlias = Mapping[str, str | Sequence[str]] | Sequence[Action]
"""What a node has: work types with their commands, or actions as in its configuration file."""


class MeshFactory(Protocol):
    """What the fixture ``receptor_mesh`` is, for annotations."""

    def __call__(self, nodes: Mapping[str, NodeContents], *, links: Links = "star") -> Mesh:
        """A mesh that has been started; see ``Mesh``."""


PATIENCE = 10.0
"""Seconds in which all nodes must know the way to all that they are linked with."""

_PAUSE = 0.002
"""Seconds between two looks at the routes; nothing tells when services become known."""


class Node:
    """One node of a mesh; ``socket`` is that of its control service."""

    def __init__(self, mesh: Mesh, node_id: str, socket: Path) -> None:
        self._mesh = mesh
        self.node_id = node_id
        self.socket = socket

    def __repr__(self) -> str:
        return f"<Node {self.node_id}>"

    def client(self) -> SyncClient:
        """A client of its control service, connected; it is closed with the mesh at the latest.

        Raises OperatingError while the node is stopped.
        """
        return self._mesh._keep(SyncClient(self.socket))

    def async_client(self) -> Client:
        """A client for coroutines, to be entered by ``async with``, in whatever loop that is."""
        return Client(self.socket)

    def stop(self) -> None:
        """Stop it as SIGTERM does, and return when the others know: its commands go on, its units stay on disk."""
        self._mesh._stop(self.node_id)

    def start(self) -> None:
        """Start it again after ``stop``, and return when all its links that aren't cut are back."""
        self._mesh._start(self.node_id)


class Mesh(Mapping[str, Node]):
    """Real nodes, by their ids, in a thread of this process, for the time of a ``with`` block.

    ``with Mesh({"foo": {}, "bar": {"upper": "tr a-z A-Z"}}) as mesh: ...``. At the end of the block everything ends:
    nodes, commands that still run, files. All methods block, and are for one thread at a time; coroutines have
    ``async with``, and ``asyncio.to_thread`` for the rest.
    """

    def __init__(self, nodes: Mapping[str, NodeContents], *, links: Links = "star") -> None:
        """``links`` are pairs of node ids, or a shape: star (all with the first), chain or full (each with each).

        Raises ValueError if there is no such shape, or a link is not between two of the nodes.
        """
        self._contents = {node_id: _actions(contents) for node_id, contents in nodes.items()}
        self._links = pairs(links, list(nodes))
        self._cut: set[frozenset[str]] = set()
        self._embedded: dict[str, EmbeddedNode] = {}
        self._nodes: dict[str, Node] = {}
        self._runners: set[int] = set()
        """The processes that started commands for the nodes: children of ours, which we have to wait for."""
        self._parts = ExitStack()
        self._loop: BackgroundLoop | None = None

    # The nodes

    def __repr__(self) -> str:
        return f"<Mesh {', '.join(self._contents)}>"

    def __getitem__(self, node_id: str) -> Node:
        try:
            return self._nodes[node_id]
        except KeyError:
            names = ", ".join(self._nodes) or "none before it was started"
            raise KeyError(f"there is no node {node_id!r} in this mesh; its nodes: {names}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    # Its life

    def __enter__(self) -> Mesh:
        """Start all nodes; returns when each knows the way to each that the links lead to, and its services.

        Raises ConfigurationError or OperatingError if a node can't be started, UnreachableError if that takes more
        than PATIENCE seconds, RuntimeError if they run already.
        """
        if self._loop is not None:
            raise RuntimeError(f"{self!r} runs already; make another one for another block")
        with ExitStack() as parts:
            parts.callback(self._has_ended)
            folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="r-")))
            self._embedded = {
                node_id: EmbeddedNode(folder, node_id, actions) for node_id, actions in self._contents.items()
            }
            self._nodes = {node_id: Node(self, node_id, one.socket) for node_id, one in self._embedded.items()}
            self._cut, self._runners = set(), set()
            parts.enter_context(named_nodes())
            parts.callback(self._end_commands)
            self._loop = BackgroundLoop("receptor mesh")
            parts.callback(self._loop.close)
            parts.callback(self._run, self._stop_all)
            self._run(self._start_all)
            self._parts = parts.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()

    async def __aenter__(self) -> Mesh:
        starting = asyncio.create_task(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])  # A thread can't be cancelled.
            if starting.exception() is None:
                await asyncio.to_thread(self._parts.close)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    # What may befall it

    def cut(self, one: str, other: str) -> None:
        """End the link between two nodes; returns when no route of any node leads over it."""
        self._cut.add(self._link(one, other))
        self._run(self._relink)

    def mend(self, one: str, other: str) -> None:
        """Have a link again that was cut; returns when all routes are back."""
        self._cut.discard(self._link(one, other))
        self._run(self._relink)

    def _link(self, one: str, other: str) -> frozenset[str]:
        link = frozenset((one, other))
        if link not in self._links:
            links = ", ".join("-".join(pair) for pair in self._links.values()) or "none"
            raise ValueError(f"there is no link between {one!r} and {other!r} in this mesh; its links: {links}")
        return link

    def _stop(self, node_id: str) -> None:
        self._run(lambda: self._stop_one(node_id))

    def _start(self, node_id: str) -> None:
        self._run(lambda: self._start_one(node_id))

    def _keep(self, client: SyncClient) -> SyncClient:
        self._running()
        return self._parts.enter_context(client)

    def _run(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        loop = self._running()
        loop.run(work())

    def _running(self) -> BackgroundLoop:
        if self._loop is None:
            raise RuntimeError(f"{self!r} does not run; use it within its 'with' block")
        return self._loop

    def _has_ended(self) -> None:
        self._loop = None

    def _end_commands(self) -> None:
        end_commands([one.data_folder for one in self._embedded.values()], self._runners)

    # In the loop

    async def _start_all(self) -> None:
        starts = (one.start() for one in self._embedded.values())
        for problem in await asyncio.gather(*starts, return_exceptions=True):
            if problem is not None:
                raise problem
        await self._relink()

    async def _stop_all(self) -> None:
        await asyncio.gather(*(self._stop_embedded(one) for one in self._embedded.values()))

    async def _start_one(self, node_id: str) -> None:
        if self._embedded[node_id].daemon is None:
            await self._embedded[node_id].start()
        await self._relink()

    async def _stop_one(self, node_id: str) -> None:
        await self._stop_embedded(self._embedded[node_id])
        await self._relink()

    async def _stop_embedded(self, one: EmbeddedNode) -> None:
        await one.stop()
        runner = runner_of(one.data_folder)
        if runner is not None:
            self._runners.add(runner)

    async def _relink(self) -> None:
        """Have just the links that there should be now, and wait until all nodes know."""
        linked = [
            (self._embedded[listener], self._embedded[dialer])
            for link, (listener, dialer) in self._links.items()
            if link not in self._cut
        ]
        linked = [(listener, dialer) for listener, dialer in linked if listener.daemon and dialer.daemon]
        await asyncio.gather(
            *(
                one.dial([listener.port for listener, dialer in linked if dialer is one])
                for one in self._embedded.values()
            )
        )
        await self._routes([(listener.node_id, dialer.node_id) for listener, dialer in linked])

    async def _routes(self, links: Iterable[tuple[str, str]]) -> None:
        """Wait until the routes of each running node lead to just those that the links do, the shortest way."""
        running = {node_id: one for node_id, one in self._embedded.items() if one.daemon}
        wanted = distances(running, links)
        deadline = time.monotonic() + PATIENCE
        while node_id := astray({node_id: one.routes for node_id, one in running.items()}, wanted):
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"after {PATIENCE:.0f} s node {node_id} has routes to {listed(running[node_id].routes)}, and should"
                    f" have to {listed(wanted[node_id])}; see the log of the nodes"
                )
            await asyncio.sleep(_PAUSE)


def _actions(contents: NodeContents) -> Sequence[Action]:
    if isinstance(contents, Mapping):
        return [work_command(work_type, command) for work_type, command in contents.items()]
    return list(contents)
