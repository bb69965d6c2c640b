"""``python3 -m receptor.client.call``: the far end of ``MeshExecutor``, and the form in which calls and replies travel.

The work type that an operator configures for it runs a call that was pickled by the submitter: whoever may submit such
work runs code of their own as the user of the node.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import secrets
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType


@dataclass(frozen=True)
class Call:
    """A function with its arguments, pickled. ``mark`` tells its reply from what the function may print."""

    mark: str
    payload: bytes

    @classmethod
    def of(cls, function: Callable[..., object], arguments: tuple[object, ...], named: Mapping[str, object]) -> Call:
        """Raises what pickle raises if one of them can't be pickled, ValueError if the far end can't import it."""
        mark = secrets.token_hex(8)
        payload = io.BytesIO()
        payload.write(f"{mark}\n".encode())
        _Pickler(payload).dump((function, arguments, dict(named)))
        return cls(mark, payload.getvalue())


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: object) -> str:
        """Refuse what the far end would look for in vain, wherever it stands in the arguments."""
        if isinstance(value, (type, FunctionType)) and value.__module__ == "__main__":
            raise ValueError(
                f"{value!r} is part of the script that is run, which nodes can't import; put it into a module that "
                "they have"
            )
        as_usual: str = NotImplemented
        return as_usual


@dataclass(frozen=True)
class Reply:
    """What came of a call: a value, or an error with the text of its traceback."""

    value: object = None
    error: BaseException | None = None
    traceback: str = ""

    def write(self, mark: str) -> bytes:
        """The reply as it stands in the output; what can't be pickled is replaced by an error that says so."""
        pickled = _pickled((self.value, self.error, self.traceback))
        return f"\nreply {mark} {len(pickled)}\n".encode() + pickled

    @classmethod
    def find(cls, output: bytes, mark: str) -> Reply | None:
        """The reply in the output of a unit; None if there is none, or not the whole. Unpickles it."""
        header = re.search(rb"\nreply %b ([0-9]{1,18})\n" % mark.encode(), output)
        if header is None or len(output) - header.end() < int(header[1]):
            return None
        try:
            value, error, text = pickle.loads(memoryview(output)[header.end() : header.end() + int(header[1])])
        except Exception as problem:
            problem.add_note(
                "what came of the call can't be unpickled here; does this program have the node's modules?"
            )
            raise
        return cls(value, error, text)


class FarTraceback(Exception):
    """The traceback of an error on the node where it was raised, as a text; the cause of the error here."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def run(payload: bytes) -> tuple[bytes, bool]:
    """Carry out a call; the reply to it, and whether the function has returned."""
    mark, _, pickled = payload.partition(b"\n")
    try:
        function, arguments, named = pickle.loads(pickled)
        reply = Reply(value=function(*arguments, **named))
    except BaseException as error:  # noqa: BLE001 (it is the caller's, who gets it)
        reply = Reply(error=error, traceback=traceback.format_exc())
    return reply.write(mark.decode()), reply.error is None


def main() -> int:
    """Read a call from standard input and write its reply to standard output; the exit code is 1 if it has failed."""
    reply, has_returned = run(sys.stdin.buffer.read())
    sys.stdout.flush()
    sys.stderr.flush()
    while reply:
        reply = reply[os.write(1, reply) :]
    return 0 if has_returned else 1


def _pickled(reply: tuple[object, BaseException | None, str]) -> bytes:
    value, error, text = reply
    try:
        pickled = pickle.dumps(reply)
        if error is not None:
            pickle.loads(pickled)  # many kinds of errors can be pickled, but not be made again
    except Exception as problem:  # noqa: BLE001 (whatever the value's own code raises)
        what = f"the result, of type {type(value).__name__}," if error is None else f"{type(error).__name__}: {error}"
        return pickle.dumps((None, pickle.PicklingError(f"{what} can't be sent back: {problem!r}"), text))
    return pickled


if __name__ == "__main__":
    sys.exit(main())
