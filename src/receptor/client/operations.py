"""What a client does for its caller, without I/O: conversations, and when to have which connection.

An *operation* is a generator as a conversation is. It may also ask for connections, pause, and take the next part of a
payload. A *stream* gives things one after the other besides. ``Client`` and ``SyncClient`` carry out the same
operations, so that what is repeated, given up or tidied away, and when, is written here once.

Requests of conversations go to the connection that was opened last. What is open when an operation ends is
broken off, however it ends, so that the node can tell it from an orderly end of what was sent.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from receptor.client import conversations
from receptor.client.conversations import Conversation, ReadSome, Request
from receptor.client.outage import AWAY, Outage, Pauses
from receptor.client.replies import Event
from receptor.client.submission import Submission
from receptor.client.unit_replies import PENDING, Submitted, UnitStatus
from receptor.errors import (
    CommandError,
    ConfigurationError,
    PeerError,
    ReceptorError,
    TimeExpired,
    UnreachableError,
)

RELEASE_SECONDS = 10.0
"""How long a submission that was given up waits for the release of its unit."""

LATE_SECONDS = 1.0
"""How long it waits for the unit's id before that."""

TIDY_SECONDS = 20.0
"""How long all of that may take after the caller's time is over, whatever the node does."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Open:
    """Have a greeted connection to the node, for what comes next; the answer is the node's id."""


@dataclass(frozen=True)
class Keep:
    """Put the connection that was opened last by for the next operation: it is ready for another command."""


@dataclass(frozen=True)
class Close:
    """Close what is open, in order."""


@dataclass(frozen=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class TakePayload:
    """The next part of the payload, empty at its end."""


@dataclass(frozen=True)
class Give(Generic[T_co]):
    """Give this to the caller before going on."""

    item: T_co


Step: TypeAlias = Request | Open | Keep | Close | Pause | TakePayload
Operation: TypeAlias = Generator[Step, bytes, T]
Stream: TypeAlias = Generator[Step | Give[T], bytes, None]


def asked(conversation: Conversation[T]) -> Operation[T]:
    """One command; the connection is kept for the next, also if it was refused."""
    yield Open()
    try:
        reply = yield from conversation
    except CommandError:
        yield Keep()
        raise
    yield Keep()
    return reply


def reach() -> Operation[str]:
    """Find out that the node is there; its id."""
    node_id = yield Open()
    yield Keep()
    return node_id.decode()


def bridge(node: str, service: str, tls_client: str) -> Operation[None]:
    """Have a connection to a service of a node."""
    asked = yield Open()
    yield from conversations.bridge(asked.decode(), node, service, tls_client)


def submit(submission: Submission) -> Operation[Submitted]:
    """Create a unit and send its payload; what became of it.

    If that ends in any other way, nothing is left of the unit as far as the node can be reached; unless it has an
    idempotency key, with which it may run since an earlier submission: then the payload is broken off.
    """
    yield Open()
    try:
        unit_id = yield from conversations.begin_submit(submission)
    except (CommandError, ConfigurationError, PeerError, UnreachableError):
        raise
    except BaseException as error:
        if not submission.idempotency_key:
            yield from _release_late(error)
        raise
    is_our_turn = False
    try:
        while chunk := (yield TakePayload()):
            is_our_turn = True
            yield from conversations.send_payload(unit_id, chunk)
            is_our_turn = False
        is_our_turn = True
        submitted = yield from conversations.finish_submit(unit_id)
    except BaseException as error:
        if isinstance(error, CommandError) and is_our_turn:
            raise  # the node itself has refused, and keeps the unit for those who want to know more
        if not submission.idempotency_key:
            yield from _release_after(error, unit_id)
        raise
    yield Close()
    return submitted


def _release_late(error: BaseException) -> Operation[None]:
    """Release the unit that was asked for, if the node tells its id soon after we have given it up."""
    try:
        unit_id = yield from conversations.created_unit(LATE_SECONDS)
    except ReceptorError:
        return  # there is none, or one that never gets a payload and never runs
    yield from _release_after(error, unit_id)


def _release_after(error: BaseException, unit_id: str) -> Operation[None]:
    try:
        yield from asked(conversations.end_unit("release", unit_id, RELEASE_SECONDS))
    except ReceptorError as trouble:
        error.add_note(f"unit {unit_id}, which was not submitted whole, could not be released: {trouble}")


def wait(unit_id: str, patience: float) -> Operation[UnitStatus]:
    """Wait for the end of a unit; the status that it ends with.

    A broken connection is made again. A node that stays out of reach for ``patience`` seconds is given up.
    """
    pauses = Pauses()
    known = PENDING
    heard = f"nothing was heard of unit {unit_id}"
    outage = Outage(patience)
    while True:
        try:
            yield Open()
            while True:
                answer = yield from conversations.unit_news(unit_id, known)
                outage.is_over()
                status = UnitStatus.parse(answer, unit_id)
                heard = f"unit {unit_id} is still {status.state.title}"
                if status.ended:
                    yield Keep()
                    return status
                if status.state != known:
                    known = status.state
                    pauses = Pauses()
                    continue  # ask at once: nodes of ours answer only when there is more to tell
                yield Pause(pauses.next())
        except TimeExpired as error:
            raise TimeExpired(
                f"{heard} after the time that was given; it goes on, so wait again or cancel it"
            ) from error
        except AWAY as error:
            yield from _tried_again(outage, error)


def stdout(unit_id: str, start: int, patience: float) -> Stream[bytes]:
    """The output of a unit from that byte on, as it comes, to the unit's end.

    A broken connection is made again, from the byte on that is missing. A node that stays out of reach for ``patience``
    seconds is given up.
    """
    received = start
    outage = Outage(patience)
    while True:
        try:
            yield Open()
            yield from conversations.begin_results(unit_id, received)
            while chunk := (yield ReadSome()):
                outage.is_over()
                received += len(chunk)
                yield Give(chunk)
            yield Close()
            status = UnitStatus.parse((yield from asked(conversations.unit_status(unit_id))), unit_id)
            if status.ended and received >= status.stdout_size:
                return
            raise UnreachableError(results_error(status, received))
        except TimeExpired as error:
            raise TimeExpired(
                f"the output of unit {unit_id} has not ended within the time that was given; go on from byte {received}"
            ) from error
        except AWAY as error:
            yield from _tried_again(outage, error)


def events() -> Stream[Event]:
    """What happens on the node from now on, until the connection breaks."""
    yield Open()
    yield from conversations.begin_events()
    while True:
        yield Give((yield from conversations.next_event()))


def results_error(status: UnitStatus, received: int) -> str:
    """Why the end of a stream of results, with that many bytes received, is not the end of the output; or empty."""
    if not status.ended:
        return f"the node ended the stream after {received} bytes, but the unit goes on"
    if received < status.stdout_size:
        return f"the node ended the stream after {received} of {status.stdout_size} bytes"
    return ""


def _tried_again(outage: Outage, error: ReceptorError) -> Operation[None]:
    """Let some time pass before the next attempt; raises the error if there have been enough."""
    pause = outage.pause(error)
    yield Close()
    yield Pause(pause)
