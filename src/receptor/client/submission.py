"""What is asked for when work is submitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from receptor.client.fields import JsonObject
from receptor.errors import ConfigurationError


@dataclass(frozen=True)
class Submission:
    """What to run and where; an empty text means that it is not given.

    ``ttl`` is a duration such as ``1h30m`` within which remote work must start. With the same ``idempotency_key``
    the same submission may be made again: it means the same unit. ``name`` is a label for people, ``env`` are
    environment variables for the command, which its work type must allow; both are known to nodes of ours only.
    ``params`` and ``env`` may hold secrets, so they are not shown by repr.
    """

    work_type: str
    node: str = "localhost"
    tls_client: str = ""
    ttl: str = ""
    sign: bool = False
    idempotency_key: str = ""
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    name: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    def command(self) -> JsonObject:
        """The JSON command; raises ConfigurationError if a parameter has the name of one of its own keys."""
        command: JsonObject = {"command": "work", "subcommand": "submit", "node": self.node, "worktype": self.work_type}
        optional = {
            "tlsclient": self.tls_client,
            "ttl": self.ttl,
            "signwork": "true" if self.sign else "",
            "idempotencykey": self.idempotency_key,
            "unitname": self.name,
            "secret_env": json.dumps(dict(self.env)) if self.env else "",
        }
        command.update({key: value for key, value in optional.items() if value})
        for name, value in self.params.items():
            if name in command:
                raise ConfigurationError(f"{name!r} can't be a parameter of work: it is set already; leave it out")
            command[name] = value
        return command
