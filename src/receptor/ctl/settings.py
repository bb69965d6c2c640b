"""What the program's own options say about the node to talk to."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receptor.errors import ConfigurationError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient


@dataclass(frozen=True)
class Settings:
    """The options before the command; an empty text means that the option is not given."""

    socket: str = ""
    config: str = ""
    tls_client: str = ""
    rootcas: str = ""
    key: str = ""
    cert: str = ""
    insecureskipverify: bool = False

    def client(self) -> ControlClient:
        """A client that connects at its first command; raises ConfigurationError if the options don't say where."""
        from receptor.client.address import TcpAddress, parse_address
        from receptor.client.control_client import ControlClient
        from receptor.client.tls_settings import TlsSettings, read_tls_client

        if not self.socket:
            raise ConfigurationError(
                "no control socket is given; say which with 'receptorctl --socket PATH ...' or in the environment "
                "variable RECEPTORCTL_SOCKET"
            )
        if self.config and (self.rootcas or self.key or self.cert):
            raise ConfigurationError(
                "--config can't be combined with --rootcas, --key or --cert; give one or the other"
            )
        if self.config and not self.tls_client:
            raise ConfigurationError("--config needs --tls-client, the name of the tls-client to take from the file")
        address = parse_address(self.socket)
        if not isinstance(address, TcpAddress) or not address.tls:
            return ControlClient(address)
        if self.config:
            return ControlClient(address, read_tls_client(self.config, self.tls_client))
        tls = TlsSettings(self.rootcas, self.cert, self.key, self.insecureskipverify)
        return ControlClient(address, tls)

    def command_line(self, *words: str) -> str:
        """A command that does those words with the same node, for people to copy."""
        options = {
            "--socket": self.socket,
            "--config": self.config,
            "--tls-client": self.tls_client,
            "--rootcas": self.rootcas,
            "--key": self.key,
            "--cert": self.cert,
            "--insecureskipverify": "true" if self.insecureskipverify else "",
        }
        given = [word for option, value in options.items() if value for word in (option, value)]
        return shlex.join(["receptorctl", *given, *words])
