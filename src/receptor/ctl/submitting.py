"""What ``work submit`` does once it knows what is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from receptor.ctl import terminal
from receptor.ctl.following import Follower, come_back, follow
from receptor.ctl.hints import meant_on, unknown_node
from receptor.ctl.node_time import node_time
from receptor.ctl.payloads import send_payload
from receptor.ctl.time_limit import TimeIsUp, time_limit
from receptor.errors import CommandError, OperatingError, ReceptorError, UnknownWorkType, UnreachableError

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient, Upload
    from receptor.client.fields import JsonObject
    from receptor.client.submission import Submission
    from receptor.client.unit_replies import Submitted
    from receptor.client.watching import UnitNews
    from receptor.ctl.settings import Settings

_WHO_OFFERS = "; 'receptorctl status' shows who offers which"


@dataclass(frozen=True)
class Afterwards:
    """What to do when the unit is on its way; ``timeout`` in seconds."""

    follow: bool = False
    wait: bool = False
    timeout: float | None = None
    own_code: bool = False
    release: bool = False
    quiet: bool = False
    as_json: bool = False


def submit_and_report(
    settings: Settings, submission: Submission, payload: bytes | BinaryIO, afterwards: Afterwards
) -> int:
    """Create the unit, send its payload, then do what is wanted; the exit code."""
    with settings.client() as client:
        client.connect()  # a node out of reach is exit code 1, what goes wrong from here on is 101
        submitted: Submitted | None = None
        try:
            _check_that_it_is_taken(client, submission)
            upload = _create(client, submission)
            submitted = send_payload(settings, upload, payload)
            if submitted is None:
                return terminal.EXIT_INTERRUPTED
            if submitted.waits:
                terminal.tell(_how_to_wait(client, settings, submission.node, submitted.unit_id))
            if afterwards.follow:
                return _follow(client, settings, upload.unit_id, afterwards)
            if afterwards.wait:
                return _wait(client, settings, submitted, afterwards)
            _leave(client, submitted, afterwards)
        except ReceptorError as error:
            terminal.fail(_with_unit(settings, str(error), submitted))
            return terminal.EXIT_NOT_SUBMITTED
    return 0


def _with_unit(settings: Settings, text: str, submitted: Submitted | None) -> str:
    """The text of an error, and what to know of a unit that is on its way all the same."""
    if submitted is None or submitted.unit_id in text:
        return text
    return f"{text}. Unit {submitted.unit_id} is submitted all the same. {come_back(settings, submitted.unit_id)}"


def _check_that_it_is_taken(client: ControlClient, submission: Submission) -> None:
    """Refuse environment variables, and warn of a name, where the node would pass over them without a word."""
    if not (submission.env or submission.name) or node_time(client) is not None:
        return
    if submission.env:
        raise CommandError(
            "work not submitted: this node does not take environment variables, so the work would run without them; "
            "leave out --env-file, or use a node of ours that is up to date"
        )
    terminal.warn("this node does not keep names of units, so --name has no effect")


def _create(client: ControlClient, submission: Submission) -> Upload:
    try:
        return client.submit(submission)
    except UnknownWorkType as error:
        meant = meant_on(client, submission.node, work_type=submission.work_type)
        raise CommandError(f"work not submitted: {error}{meant or _WHO_OFFERS}") from error
    except CommandError as error:
        raise CommandError(f"work not submitted: {error}") from error


def _how_to_wait(client: ControlClient, settings: Settings, node: str, unit_id: str) -> str:
    see, give_up = (settings.command_line("work", verb, unit_id) for verb in ("status", "cancel"))
    unknown = unknown_node(client, node)
    waiting = (
        f"{unknown} The work waits for a node of that name"
        if unknown
        else (f"{node} can't be reached yet, or has no room; it gets the work as soon as it can")
    )
    return f"{waiting}. See: {see}; give up: {give_up}"


def _show(submitted: Submitted, afterwards: Afterwards, more: JsonObject) -> None:
    if afterwards.as_json:
        terminal.show_json({"UnitID": submitted.unit_id, "Result": submitted.result} | more)
    elif afterwards.quiet:
        terminal.say(submitted.unit_id)
    else:
        terminal.say(f"Result:  {submitted.result}")
        terminal.say(f"Unit ID: {submitted.unit_id}")


def _leave(client: ControlClient, submitted: Submitted, afterwards: Afterwards) -> None:
    if not afterwards.as_json:
        _show(submitted, afterwards, {})
    released = client.end_unit("release", submitted.unit_id) if afterwards.release else ""
    if afterwards.as_json:
        _show(submitted, afterwards, {"Outcome": released} if released else {})
    elif released and not afterwards.quiet:
        terminal.say(f"({submitted.unit_id}, {released})")


def _follow(client: ControlClient, settings: Settings, unit_id: str, afterwards: Afterwards) -> int:
    follower = Follower(client, unit_id)
    exit_code = follow(settings, follower, timeout=afterwards.timeout, own_code=afterwards.own_code)
    if afterwards.release and follower.end is not None:
        # Standard output holds the results and nothing else.
        terminal.tell(f"({unit_id}, {client.end_unit('release', unit_id)})")
    return exit_code


def _wait(client: ControlClient, settings: Settings, submitted: Submitted, afterwards: Afterwards) -> int:
    """Wait for the unit's end; the exit code says whether it succeeded."""
    unit_id = submitted.unit_id
    if not afterwards.as_json:
        _show(submitted, afterwards, {})
    again = f"To wait again: {settings.command_line('work', 'wait', unit_id)}"
    more: JsonObject = {}
    try:
        arrival = _arrival(client, unit_id, afterwards.timeout)
    except KeyboardInterrupt:
        terminal.tell_after_interrupt(f"No longer waiting for unit {unit_id}, which goes on. {again}")
        exit_code = terminal.EXIT_INTERRUPTED
    except TimeIsUp:
        stop = settings.command_line("work", "cancel", unit_id)
        terminal.fail(f"the time is up, and unit {unit_id} goes on. {again}; to stop it: {stop}")
        exit_code = terminal.EXIT_TIMED_OUT
    except (UnreachableError, OperatingError) as error:
        raise type(error)(f"{error}. {again}") from error
    else:
        more = dict(arrival.answer or {})
        exit_code = _judge(settings, arrival, afterwards)
        if afterwards.release and arrival.status is not None:
            more["Outcome"] = client.end_unit("release", unit_id)
    if afterwards.as_json:
        _show(submitted, afterwards, more)
    return exit_code


def _arrival(client: ControlClient, unit_id: str, timeout: float | None) -> UnitNews:
    """The end of the unit, if it comes in time."""
    from receptor.client.outage import PATIENCE
    from receptor.ctl.live_line import spinner
    from receptor.ctl.outage import Outage
    from receptor.ctl.waiting import Goal, Wait

    waiting = Wait(client, [unit_id], Goal(), Outage(None if timeout else PATIENCE))
    with time_limit(timeout), spinner(waiting.summary):
        [arrival] = waiting.arrivals()
    return arrival


def _judge(settings: Settings, arrival: UnitNews, afterwards: Afterwards) -> int:
    """Say why the unit did not succeed, if so; the exit code."""
    unit = arrival.status
    if unit is None:
        terminal.fail(f"unit {arrival.unit_id} was released by somebody else, so nobody knows how it ended")
        return terminal.EXIT_FAILED
    if unit.succeeded:
        return 0
    hint = "" if afterwards.release else f". {come_back(settings, unit.unit_id)}"
    terminal.fail(f"unit {unit.unit_id} {unit.state.title.lower()}: {unit.detail}{hint}")
    return (unit.shell_exit_code if afterwards.own_code else None) or terminal.EXIT_FAILED
