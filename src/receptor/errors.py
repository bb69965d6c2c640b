"""Every error that the program raises on purpose.

    ReceptorError
    ├── ConfigurationError     the operator: a configuration file or the command line is wrong
    ├── OperatingError         the operator: a file, socket, port or permission of this machine is in the way
    ├── CommandError           the client: a control command is malformed, refused or can't be carried out
    │   ├── NotAllowed         ... by an access rule, or for lack of the right signature
    │   ├── LimitReached           ... the node has no room for it now; trying again later may help
    │   ├── UnknownUnit        ... it names a unit of work that isn't here
    │   └── UnknownWorkType    ... it names a work type that isn't configured here
    ├── PeerError              the other node: it broke the protocol; its link or stream ends, nothing else
    ├── UnreachableError       nobody at fault: a node or service can't be reached now; trying again may help
    │   └── TlsError           ... as the two ends don't trust each other; that stays so until somebody changes it
    ├── TimeExpired            nobody at fault: the time that the caller gave was over first (a TimeoutError too)
    └── UnitFailed             whoever wrote the work: its unit has failed, or was canceled

The message says what happened, where, and what to do; it is shown to people as it is. It never holds a
payload, a token, a key or a ``secret_`` parameter.
"""

from __future__ import annotations


class ReceptorError(Exception):
    """The base of the tree; never raised itself."""

    def __reduce__(self) -> tuple[object, ...]:
        """Copied and pickled as it is: its arguments are its text, and not always what it was made of."""
        return _made_again, (type(self), self.args), vars(self)


def _made_again(kind: type[ReceptorError], arguments: tuple[object, ...]) -> ReceptorError:
    return kind.__new__(kind, *arguments)


class ConfigurationError(ReceptorError):
    """The configuration or the command line must be corrected. The message begins with ``file:line:`` if known."""


class OperatingError(ReceptorError):
    """Something of this machine (a file, a socket, a port, a permission) must be put right by the operator."""


class CommandError(ReceptorError):
    """A control command can't be carried out; the client gets the message as ``ERROR: <message>``."""


class NotAllowed(CommandError):
    """Who gave the command has no right to it, or has not proved it; the audit calls it refused."""


NOT_NOW = "not now: "
"""How the text of a refusal begins that may pass; other nodes look for it and try again."""


class LimitReached(CommandError):
    """The node has as much of something as its limits allow; trying again later may help."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{NOT_NOW}{text}")


class UnknownUnit(CommandError):
    """There is no such unit of work on this node."""

    def __init__(self, unit_id: str) -> None:
        super().__init__(f"unknown work unit {unit_id}")
        self.unit_id = unit_id


class UnknownWorkType(CommandError):
    """No work-command of this node has that work type."""

    def __init__(self, work_type: str) -> None:
        super().__init__(f"unknown work type {work_type}")
        self.work_type = work_type


class PeerError(ReceptorError):
    """The other end of a link or stream sent something that the protocol does not allow."""


class UnreachableError(ReceptorError):
    """A node or service can't be reached at the moment."""


class TlsError(UnreachableError):
    """A service can't be reached securely: an end refuses what the other one shows, or wants TLS and the other none."""


class TimeExpired(ReceptorError, TimeoutError):
    """What was asked for did not come within the time that the caller gave; units of work go on."""


class UnitFailed(ReceptorError):
    """A unit of work did not succeed. ``exit_code`` is that of its command, None if it has none."""

    def __init__(self, text: str, unit_id: str = "", exit_code: int | None = None) -> None:
        super().__init__(text)
        self.unit_id = unit_id
        self.exit_code = exit_code
