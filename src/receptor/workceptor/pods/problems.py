"""What may go wrong between this node and a cluster, besides that it can't be reached."""

from __future__ import annotations

from receptor.errors import CommandError, UnreachableError


class Refused(CommandError):
    """The API server said no; 0 is the code if this node did not let itself in with it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Broken(UnreachableError):
    """A connection broke that can't be made anew, as a part of the payload may have reached the worker."""
