"""The commands of the control protocol, without I/O.

Each is a *conversation*: a generator that yields what it wants done with a greeted connection, one request after the
other, is sent what came of it, and returns a typed reply. What is done is up to who holds the connection: the
blocking ``connection.Connection`` or the one for asyncio. So what is said, understood and refused, and how long
is waited, is written here once.

The errors of every conversation: CommandError if the node refuses (UnknownUnit, UnknownWorkType and LimitReached where
that is why), PeerError if the answer can't be understood, UnreachableError, from the holder, if the connection breaks
or an answer does not come in time. After a CommandError the connection can be used for the next command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from receptor.client.fields import JsonObject
from receptor.client.replies import Event, Hop, NodeStatus, PingReply, ReloadReply
from receptor.client.submission import Submission
from receptor.client.unit_replies import Submitted
from receptor.errors import (
    NOT_NOW,
    CommandError,
    LimitReached,
    PeerError,
    ReceptorError,
    UnknownUnit,
    UnknownWorkType,
    UnreachableError,
)

ANSWER_SECONDS = 30.0
"""The wait for what a node knows by itself."""

PING_SECONDS = 15.0
"""The node gives up a ping after 10 seconds."""

REMOTE_SECONDS = 120.0
"""The wait where the node may have to reach another first, or to start its backends again."""

TRACEROUTE_SECONDS = 330.0
"""A node asks up to 30 hops, 10 seconds each."""

NEWS_SECONDS = 330.0
"""A node answers a client that waits for another state after 300 seconds in any case."""

SEND_SECONDS = 300.0
"""The wait until the node has taken the next chunk; its disk may be slow, but not dead."""

LONGEST_LINE = 256 * 1024 * 1024
_LONGEST_GREETING = 4096
_LONGEST_EVENT = 1024 * 1024
_GREETING = re.compile(r"Receptor Control, node (.+)")
_CREATED = re.compile(r"Work unit created with ID (\S+)\. Send stdin data and EOF\.")
_WANTS_TLS = "insecure connection to secure service"
_UNKNOWN_UNIT = "unknown work unit "
_UNKNOWN_WORK_TYPE = "unknown work type "


@dataclass(frozen=True)
class Send:
    """Send all of it, within so many seconds; None is for ever. Nothing is sent back to the conversation."""

    data: bytes = field(repr=False)
    seconds: float | None = SEND_SECONDS


@dataclass(frozen=True)
class ReadLine:
    """The next line without its end. ``awaited`` names it in errors; each byte of it may take so many seconds."""

    awaited: str
    seconds: float | None
    longest: int = LONGEST_LINE


@dataclass(frozen=True)
class ReadSome:
    """The next bytes as soon as there are any, within so many seconds; empty at the end."""

    seconds: float | None = None


@dataclass(frozen=True)
class EndSending:
    """Tell the node that nothing more will be sent; its answers can still be read."""


Request: TypeAlias = Send | ReadLine | ReadSome | EndSending
T = TypeVar("T")
Conversation: TypeAlias = Generator[Request, bytes, T]


def greeting(where: str, seconds: float) -> Conversation[str]:
    """The node's id, from its first line; raises PeerError if the other side is no Receptor."""
    line = yield from _line("its greeting", seconds, _LONGEST_GREETING)
    if line.startswith("ERROR"):
        raise refusal(line)
    greeted = _GREETING.fullmatch(line)
    if greeted is None:
        raise PeerError(
            f"{where} greets with {line[:60]!r}, which is not what a Receptor control service says; check the address"
        )
    return greeted[1]


def ask(command: JsonObject, seconds: float = ANSWER_SECONDS) -> Conversation[JsonObject]:
    """The node's answer to a command, as it came."""
    yield Send(_command_line(command))
    answer = yield from _line(f"the answer to {_name(command)}", seconds)
    return parsed(answer)


def status(*fields: str) -> Conversation[JsonObject]:
    """What the node knows of itself and the mesh, or just those fields of it; see NodeStatus."""
    command: JsonObject = {"command": "status"}
    return ask(command | {"requested_fields": list(fields)} if fields else command)


def version() -> Conversation[str]:
    """The version that the node runs."""
    return NodeStatus.parse((yield from status("Version"))).version


def ping(node: str) -> Conversation[PingReply]:
    return PingReply.parse((yield from ask({"command": "ping", "target": node}, PING_SECONDS)))


def traceroute(node: str) -> Conversation[list[Hop]]:
    return Hop.parse_all((yield from ask({"command": "traceroute", "target": node}, TRACEROUTE_SECONDS)))


def reload() -> Conversation[ReloadReply]:
    return ReloadReply.parse((yield from ask({"command": "reload"}, REMOTE_SECONDS)))


def bridge(asked: str, node: str, service: str, tls_client: str = "") -> Conversation[None]:
    """Make the connection to the node that is ``asked`` one to a stream service of another node."""
    yield Send(_command_line({"command": "connect", "node": node, "service": service, "tls": tls_client}))
    answer = yield from _line(f"the connection to {service} of {node}", REMOTE_SECONDS)
    if not answer.startswith("Connecting"):
        error = refusal(answer)
        if isinstance(error, PeerError):
            raise error
        reason = str(error)
        raise CommandError(f"{asked} can't connect to the service {service} of {node}: {reason}{_advice(reason)}")


def go_to(asked: str, node: str, tls_client: str = "") -> Conversation[str]:
    """Make the connection one to the control service of another node; its id."""
    yield from bridge(asked, node, "control", tls_client)
    return (yield from greeting(f"the control service of {node}", REMOTE_SECONDS))


def units(unit_id: str = "") -> Conversation[JsonObject]:
    """The status of every unit, or of one, by unit id."""
    command: JsonObject = {"command": "work", "subcommand": "list"}
    return ask(command | {"unitid": unit_id} if unit_id else command)


def status_command(unit_id: str, known_state: int | None = None) -> JsonObject:
    """The command that asks for the status of a unit, or for its next one after a state that is known."""
    command: JsonObject = {"command": "work", "subcommand": "status", "unitid": unit_id}
    return command if known_state is None else command | {"knownstate": known_state}


def unit_status(unit_id: str) -> Conversation[JsonObject]:
    """The status of a unit; see UnitStatus."""
    return ask(status_command(unit_id))


def unit_news(unit_id: str, known_state: int) -> Conversation[JsonObject]:
    """The status of a unit once its state is another one; existing nodes, and busy ones of ours, answer at once."""
    return ask(status_command(unit_id, known_state), NEWS_SECONDS)


def end_unit(verb: str, unit_id: str, seconds: float = REMOTE_SECONDS) -> Conversation[str]:
    """``cancel``, ``release`` or ``force-release`` a unit; what came of it, such as ``release pending``."""
    answer = yield from ask({"command": "work", "subcommand": verb, "unitid": unit_id}, seconds)
    for outcome, unit in answer.items():
        if unit == unit_id:
            return outcome
    raise PeerError(f"the node's answer to work {verb} does not say what became of unit {unit_id}")


def begin_submit(submission: Submission) -> Conversation[str]:
    """Create a unit, whose id is returned; what is sent then is its payload, up to ``finish_submit``."""
    yield Send(_command_line(submission.command()))
    return (yield from created_unit(ANSWER_SECONDS))


def created_unit(seconds: float) -> Conversation[str]:
    """The id of the unit that was asked for."""
    answer = yield from _line("the id of the new unit", seconds)
    created = _CREATED.fullmatch(answer)
    if created is None:
        raise refusal(answer)
    return created[1]


def send_payload(unit_id: str, chunk: bytes) -> Conversation[None]:
    """Send a part of the payload; raises CommandError if the node has refused it meanwhile."""
    try:
        yield Send(chunk)
    except UnreachableError as error:
        yield from _raise_refusal()
        raise UnreachableError(f"unit {unit_id} got only part of its payload: {error}") from error


def finish_submit(unit_id: str) -> Conversation[Submitted]:
    """End the payload and wait, without limit, until the node has passed it on and started the unit.

    The wait has no limit because a payload may be large and the way to the other node slow.
    """
    try:
        yield EndSending()
    except UnreachableError:
        yield from _raise_refusal()
        raise
    answer = yield from _line(f"what became of unit {unit_id}", None)
    try:
        return Submitted.parse(parsed(answer))
    except CommandError as error:
        raise CommandError(
            f"unit {unit_id} was created, but the node could not start it: {error}; release it when you have "
            "seen its status"
        ) from error


def begin_results(unit_id: str, start: int = 0) -> Conversation[None]:
    """Ask for the output from that byte on; then it can be read as it comes, until the node ends the stream."""
    yield Send(_command_line({"command": "work", "subcommand": "results", "unitid": unit_id, "startpos": start}))
    answer = yield from _line(f"the results of unit {unit_id}", ANSWER_SECONDS)
    if not answer.startswith("Streaming results for work unit"):
        raise refusal(answer)


def begin_events() -> Conversation[None]:
    """Ask for what happens; then ``next_event`` gives one after the other."""
    yield Send(_command_line({"command": "events"}))
    answer = yield from _line("events", ANSWER_SECONDS)
    if "unknown command" in answer.lower():
        raise CommandError("this node does not tell events: existing nodes can't, nor can older ones of ours")
    if not answer.startswith("Streaming events"):
        raise refusal(answer)


def next_event() -> Conversation[Event]:
    """The next event, without limit of time."""
    line = yield from _line("the next event", None, _LONGEST_EVENT)
    return Event.parse(parsed(line))


def refusal(answer: str) -> ReceptorError:
    """The error for an ``ERROR: <text>`` line, or for a line that has no place in the protocol."""
    if not answer.startswith("ERROR"):
        return PeerError(f"the node answers {answer[:60]!r}, which is not expected here; is its version compatible?")
    text = answer.removeprefix("ERROR").lstrip(": ").strip()
    if text.startswith(_UNKNOWN_UNIT):
        return UnknownUnit(text.removeprefix(_UNKNOWN_UNIT))
    if text.startswith(_UNKNOWN_WORK_TYPE):
        return UnknownWorkType(text.removeprefix(_UNKNOWN_WORK_TYPE))
    if text.startswith(NOT_NOW):
        return LimitReached(text.removeprefix(NOT_NOW))
    return CommandError(text or "the node refuses without a reason; see its log")


def _line(awaited: str, seconds: float | None, longest: int = LONGEST_LINE) -> Conversation[str]:
    line = yield ReadLine(awaited, seconds, longest)
    return line.decode(errors="replace").rstrip("\r")


def _raise_refusal() -> Conversation[None]:
    """Prefer what the node said before it closed the connection to the broken connection itself."""
    try:
        answer = yield from _line("a reason", 1.0)
    except ReceptorError:
        return
    raise refusal(answer)


def _command_line(command: JsonObject) -> bytes:
    return json.dumps(command).encode() + b"\n"


def _name(command: JsonObject) -> str:
    return " ".join(str(command[key]) for key in ("command", "subcommand") if key in command)


def parsed(answer: str) -> JsonObject:
    """The JSON of an answer; raises the error that it is if the node refuses, PeerError if it is something else."""
    if answer.startswith("ERROR"):
        raise refusal(answer)
    try:
        parsed = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"the node's answer {answer[:60]!r} is not JSON; is its version compatible?") from error
    if not isinstance(parsed, dict):
        raise PeerError(f"the node's answer {answer[:60]!r} is not a JSON object; is its version compatible?")
    return parsed


def _advice(reason: str) -> str:
    """What to do about a service that can't be reached, where the reason does not say that itself."""
    if _WANTS_TLS in reason:
        return "; name one that this node has (--tls-client, in Python tls_client=)"
    if any(word in reason for word in ("TLS", "tls-client", "certificate")):
        return ""
    return "; 'receptorctl status' shows the routes and services that it knows"
