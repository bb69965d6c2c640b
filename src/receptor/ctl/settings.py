"""What the program's own options say about the node to talk to, and which node that is."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

from receptor.errors import ConfigurationError, OperatingError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient


@dataclass(frozen=True)
class Settings:
    """The options before the command, or their environment; an empty text means that nothing is said.

    ``context`` names a context that stands for all the others. ``origin`` tells where the address comes from, for
    messages; it is empty if the command line has it.
    """

    socket: str = ""
    config: str = ""
    tls_client: str = ""
    rootcas: str = ""
    key: str = ""
    cert: str = ""
    insecureskipverify: bool = False
    context: str = ""
    origin: str = ""

    @cached_property
    def resolved(self) -> Settings:
        """The settings with an address: the given one, or else that of a context, or of a node on this machine.

        Raises ConfigurationError if none of them has one, OperatingError if the named context can't be read.
        """
        if self.socket:
            return self
        # Only who gives no address pays for the imports.
        from receptor.ctl.contexts import Contexts, read_contexts
        from receptor.ctl.finding import find_socket, socket_of

        try:
            contexts = read_contexts()
        except OperatingError:
            if self.context:
                raise
            contexts = Contexts()  # somebody else's, as under sudo, which may leave HOME as it is
        if name := self.context or contexts.default:
            chosen = self.over(contexts.find(name, self.origin if self.context else "the default"))
            return replace(chosen, socket=chosen.socket or socket_of(chosen.config), origin=f"from the context {name}")
        if self.config:
            return replace(self, socket=socket_of(self.config), origin=f"from {self.config}")
        found = find_socket()
        return replace(self, socket=found.socket, origin=f"found {found.where}")

    def over(self, other: Settings) -> Settings:
        """The other settings, with what these say in place of what those do."""
        said = {field.name: value for field in fields(self) if (value := getattr(self, field.name))}
        return replace(other, **said)

    def client(self) -> ControlClient:
        """A client that connects at its first command; raises ConfigurationError if the options don't say where."""
        return self.resolved._client()

    def _client(self) -> ControlClient:
        from receptor.client.address import TcpAddress, parse_address
        from receptor.client.control_client import ControlClient
        from receptor.client.tls_settings import TlsSettings, read_tls_client

        if self.config and (self.rootcas or self.key or self.cert):
            raise ConfigurationError(
                "--config can't be combined with --rootcas, --key or --cert; give one or the other"
            )
        address = parse_address(self.socket)
        if not isinstance(address, TcpAddress) or not address.tls:
            return ControlClient(address)
        if self.config and not self.tls_client:
            raise ConfigurationError("--config needs --tls-client, the name of the tls-client to take from the file")
        if self.config:
            return ControlClient(address, read_tls_client(self.config, self.tls_client))
        tls = TlsSettings(self.rootcas, self.cert, self.key, self.insecureskipverify)
        return ControlClient(address, tls)

    def command_line(self, *words: str) -> str:
        """A command that does those words with the same node, for people to copy.

        It repeats what was said, and not what was found: that is found again.
        """
        said = {"context": self.context, **self.said()}
        given = [word for key, value in said.items() if value for word in (f"--{key}", _as_typed(value))]
        return shlex.join(["receptorctl", *given, *words])

    def said(self) -> dict[str, str | bool]:
        """What leads to the node, by the names of the options, without what is not said."""
        values: dict[str, str | bool] = {
            "socket": self.socket,
            "config": self.config,
            "tls-client": self.tls_client,
            "rootcas": self.rootcas,
            "key": self.key,
            "cert": self.cert,
            "insecureskipverify": self.insecureskipverify,
        }
        return {key: value for key, value in values.items() if value}


def _as_typed(value: str | bool) -> str:
    return value if isinstance(value, str) else "true"
