"""The sessions of one backend: the mesh node, as that backend sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from receptor.backends.session import Session
from receptor.netceptor.links import LinkTerms

if TYPE_CHECKING:
    from receptor.node.mesh_node import MeshNode


class BackendSessions(msgspec.Struct, frozen=True, eq=False):
    """Hands the sessions of a backend to the mesh node, on the terms of that backend.

    ``dialled`` says that they lead to a peer of the operator's choice. Others may be closed at once.
    """

    mesh: MeshNode
    terms: LinkTerms
    dialled: bool

    def session_opened(self, session: Session, peer: str) -> int:
        """A new session, with a text for logs that says where it leads; its number."""
        return self.mesh.session_opened(session, self, peer)

    def packets_received(self, number: int, packets: list[bytes]) -> None:
        """Packets have arrived on a session."""
        self.mesh.packets_received(number, packets)

    def session_closed(self, number: int) -> None:
        """A session has ended by itself."""
        self.mesh.session_closed(number)

    async def link_ended(self, number: int) -> bool:
        """Wait until a session is over; True if it had become a link."""
        return await self.mesh.link_ended(number)

    def end_all(self, reason: str) -> None:
        """End the sessions that are open."""
        self.mesh.end_sessions(self, reason)
