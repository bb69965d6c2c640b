"""What a node says to another node's control service for a unit (control protocol; work-units, "Remote units").

Each conversation is one function over a stream, or a session for short commands, that somebody else has opened. They
know no clock and no loop: the caller bounds their time and cancels them. All raise ConnectionError if the stream
breaks, Refused if the other node says no, and PeerError if it speaks another protocol.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

from receptor.errors import NOT_NOW, CommandError, PeerError, UnreachableError
from receptor.identifiers import is_unit_id
from receptor.workceptor.environment import SECRET_ENV
from receptor.workceptor.status import RemoteExtra, Report, State, Status, decode_report

LONGEST_ANSWER = 8 * 1024 * 1024
LONGEST_TEXT = 4096
"""Characters that are kept of a text which the other node made up, such as a reason or a detail."""

_CREATED_BEFORE = "Work unit created with ID "
_CREATED_AFTER = ". Send stdin data and EOF."
_UNKNOWN_UNIT = "unknown work unit"
_NO_INPUT = ("Unit Created", "Waiting for Input Data", "Error reading input data")


class ControlStream(Protocol):
    """The part of a byte stream that conversations need."""

    async def readline(self, limit: int) -> bytes:
        """The next line with its newline, or what is left at the end. Raises PeerError past the limit."""

    async def read(self) -> bytes:
        """The next bytes; none at the end."""

    async def write(self, data: bytes) -> None:
        """Write, with back-pressure."""

    async def end(self) -> None:
        """Close our direction."""


class Answer(msgspec.Struct, frozen=True):
    """What the other node answers to a command: a line, and what is attached to it."""

    text: str
    attached: bytes = b""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is submitted, but for the payload. All but the work itself is passed over by existing nodes.

    A node that knows idempotency keys takes a second submission with the same key for the first one. ``name`` is the
    one of the unit, ``environment`` the variables for its command as they were given; each is empty if there are none.
    """

    remote: RemoteExtra
    idempotency_key: str
    name: str = ""
    environment: str = ""
    signature: str = ""

    @property
    def parameters(self) -> Mapping[str, str]:
        """Those of the work, the variables for its command included."""
        own = self.remote.remote_params
        return {**own, SECRET_ENV: self.environment} if self.environment else own


class Session(Protocol):
    """Where short commands are said and answered."""

    async def ask(self, fields: Mapping[str, str | int], payload: bytes = b"") -> Answer:
        """Say a command, with its payload if the other node takes numbered commands. Raises Refused."""


class Refused(CommandError):
    """The other node answered ERROR; the text is its own."""

    @property
    def may_pass(self) -> bool:
        """Whether the other node may take the same work later."""
        return str(self).startswith(NOT_NOW)

    @property
    def unit_is_gone(self) -> bool:
        """Whether the other node doesn't have the unit (any more)."""
        return _UNKNOWN_UNIT in str(self)


async def greet(stream: ControlStream, node: str) -> None:
    """Read the greeting and check that it is that node's. Raises UnreachableError if it has no session to spare."""
    try:
        line = await read_line(stream)
    except Refused as error:
        raise UnreachableError(f"{node} takes no commands now: {error}") from None
    if line != f"Receptor Control, node {node}":
        raise PeerError(f"expected the control service of {node}, which does not greet like that: {line[:80]!r}")


async def multiplex(stream: ControlStream) -> bool:
    """Ask for numbered commands from now on; False if the other node knows only one command at a time."""
    await stream.write(command_line({"command": "multiplex"}))
    try:
        await read_line(stream)
    except Refused:
        return False
    return True


async def submit(
    stream: ControlStream,
    request: Request,
    payload: AsyncIterator[bytes],
    on_unit: Callable[[str], Awaitable[None]],
) -> None:
    """Submit the work and its payload; ``on_unit`` hears the remote unit's id before the payload is sent."""
    await stream.write(command_line(_submission(request)))
    answer = await read_line(stream)
    unit_id = answer.removeprefix(_CREATED_BEFORE).removesuffix(_CREATED_AFTER)
    if not is_unit_id(unit_id) or answer != f"{_CREATED_BEFORE}{unit_id}{_CREATED_AFTER}":
        raise PeerError(f"the answer to work submit can't be understood: {answer[:80]!r}")
    await on_unit(unit_id)
    async for data in payload:
        await stream.write(data)
    await stream.end()
    await read_line(stream)


async def submit_at_once(session: Session, request: Request, payload: bytes) -> str:
    """Submit the work with its short payload by a numbered command; the remote unit's id."""
    answer = await session.ask(_submission(request), payload)
    try:
        unit_id = msgspec.json.decode(answer.text, type=_Submitted).unitid
    except (msgspec.DecodeError, RecursionError):
        unit_id = ""
    if not is_unit_id(unit_id):
        raise PeerError(f"the answer to work submit can't be understood: {answer.text[:80]!r}")
    return unit_id


async def find(session: Session, idempotency_key: str) -> str | None:
    """The id of the unit that a node of ours has made for us under that key; None if it has none."""
    answer = await session.ask({"command": "work", "subcommand": "list", "idempotencykey": idempotency_key})
    try:
        found = list(msgspec.json.decode(answer.text, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, RecursionError) as error:
        raise PeerError(f"the answer to work list can't be understood: {error}") from None
    if not all(map(is_unit_id, found)) or len(found) > 1:
        raise PeerError(f"the answer to work list can't be understood: {answer.text[:80]!r}")
    return found[0] if found else None


async def ask_status(
    session: Session,
    unit_id: str,
    known_state: State | None = None,
    *,
    start: int | None = None,
    known_size: int | None = None,
) -> tuple[Report, bytes]:
    """The status of a unit and, in numbered commands, some of its output from an offset on, if that is given.

    A node of ours answers late as long as the unit is in the state that we know, and has no such output, nor more than
    the size that we know; existing nodes answer at once.
    """
    fields: dict[str, str | int] = {"command": "work", "subcommand": "status", "unitid": unit_id}
    if known_state is not None:
        fields["knownstate"] = known_state.value
    if start is not None:
        fields["startpos"] = start
    if known_size is not None:
        fields["knownsize"] = known_size
    answer = await session.ask(fields)
    try:
        report = decode_report(answer.text.encode())
    except ValueError as error:
        raise PeerError(f"the status of {unit_id} can't be understood: {error}") from None
    status = msgspec.structs.replace(report.status, detail=report.status.detail[:LONGEST_TEXT])
    return msgspec.structs.replace(report, status=status), answer.attached


async def results(stream: ControlStream, unit_id: str, start: int, signature: str) -> AsyncGenerator[bytes, None]:
    """The output of a unit from an offset on, live, until the unit has ended."""
    fields: dict[str, str | int] = {"command": "work", "subcommand": "results", "unitid": unit_id, "startpos": start}
    await stream.write(command_line(_signed(fields, signature)))
    answer = await read_line(stream)
    if not answer.startswith("Streaming results"):
        raise PeerError(f"the answer to work results can't be understood: {answer[:80]!r}")
    while data := await stream.read():
        yield data


async def cancel(session: Session, unit_id: str, signature: str) -> None:
    """Cancel a unit. The other node may still be at it when it answers."""
    await _order(session, "cancel", unit_id, signature)


async def release(session: Session, unit_id: str, signature: str) -> None:
    """Release a unit. One that is gone already counts as released."""
    await _order(session, "release", unit_id, signature)


def never_got_its_payload(status: Status) -> bool:
    """Whether a unit of another node, whose submission broke off, can't have run and must be submitted anew."""
    waits_or_failed = status.state in (State.PENDING, State.FAILED)
    return waits_or_failed and status.detail.startswith(_NO_INPUT)


async def _order(session: Session, subcommand: str, unit_id: str, signature: str) -> None:
    try:
        await session.ask(_signed({"command": "work", "subcommand": subcommand, "unitid": unit_id}, signature))
    except Refused as error:
        if not error.unit_is_gone:
            raise


class _Submitted(msgspec.Struct, frozen=True):
    unitid: str


def _submission(request: Request) -> Mapping[str, str | int]:
    remote = request.remote
    fields = {**request.parameters, "command": "work", "subcommand": "submit", "node": remote.remote_node}
    fields |= {"worktype": remote.remote_work_type, "tlsclient": remote.tls_client}
    fields |= {"idempotencykey": request.idempotency_key}
    if request.name:
        fields["unitname"] = request.name
    return _signed(fields, request.signature)


def _signed(fields: Mapping[str, str | int], signature: str) -> Mapping[str, str | int]:
    return {**fields, "signature": signature} if signature else fields


def command_line(fields: Mapping[str, str | int]) -> bytes:
    """The line of a command, with its end."""
    return msgspec.json.encode(fields, order="sorted") + b"\n"


async def read_line(stream: ControlStream) -> str:
    """The next line without its end. Raises Refused if it tells an error."""
    line = await stream.readline(LONGEST_ANSWER)
    if not line.endswith(b"\n"):
        raise ConnectionResetError("the control service closed the connection before its answer")
    return answer_text(line[:-1])


def answer_text(line: bytes) -> str:
    """The text of an answer. Raises Refused if it is an error."""
    text = line.decode(errors="replace")
    if text.startswith("ERROR"):
        raise Refused(text.removeprefix("ERROR").lstrip(": ")[:LONGEST_TEXT])
    return text
