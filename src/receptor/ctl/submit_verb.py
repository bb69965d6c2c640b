"""``receptorctl work submit``."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, BinaryIO

import click

from receptor.ctl import terminal
from receptor.ctl.following import come_back, follow
from receptor.ctl.parameters import FILE, WORK_TYPE, node_option
from receptor.ctl.refusals import meant_on
from receptor.errors import CommandError, ConfigurationError, OperatingError, ReceptorError, UnknownWorkType

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient, Submission, Upload
    from receptor.client.replies import Submitted
    from receptor.ctl.settings import Settings


_WHO_OFFERS = "; 'receptorctl status' shows who offers which"


def submit_and_report(
    settings: Settings, submission: Submission, payload: bytes | BinaryIO, *, following: bool, remove: bool
) -> int:
    """Create the unit, send its payload, then follow it or print its id; the exit code."""
    with settings.client() as client:
        client.connect()  # a node out of reach is exit code 1, what goes wrong from here on is 101
        try:
            upload = _create(client, submission)
            submitted = _upload(settings, upload, payload)
            if submitted is None:
                return terminal.EXIT_INTERRUPTED
            if submitted.waits:
                terminal.tell(_how_to_wait(settings, submission.node, submitted.unit_id))
            if following:
                return _follow(client, settings, upload.unit_id, remove=remove)
            terminal.say(f"Result:  {submitted.result}")
            terminal.say(f"Unit ID: {submitted.unit_id}")
            if remove:
                terminal.say(_release(client, submitted.unit_id))
        except ReceptorError as error:
            terminal.fail(str(error))
            return terminal.EXIT_NOT_SUBMITTED
    return 0


def _create(client: ControlClient, submission: Submission) -> Upload:
    try:
        return client.submit(submission)
    except UnknownWorkType as error:
        meant = meant_on(client, submission.node, work_type=submission.work_type)
        raise CommandError(f"work not submitted: {error}{meant or _WHO_OFFERS}") from error
    except CommandError as error:
        raise CommandError(f"work not submitted: {error}") from error


def _how_to_wait(settings: Settings, node: str, unit_id: str) -> str:
    see, give_up = (settings.command_line("work", verb, unit_id) for verb in ("status", "cancel"))
    waiting = f"{node} can't be reached yet, or has no room; it gets the work as soon as it can"
    return f"{waiting}. See: {see}; give up: {give_up}"


def _follow(client: ControlClient, settings: Settings, unit_id: str, *, remove: bool) -> int:
    exit_code = follow(client, settings, unit_id)
    if remove and exit_code != terminal.EXIT_INTERRUPTED:
        terminal.tell(_release(client, unit_id))  # standard output holds the results and nothing else
    return exit_code


def _upload(settings: Settings, upload: Upload, payload: bytes | BinaryIO) -> Submitted | None:
    """Send the payload; None if Ctrl-C came in between."""
    try:
        upload.send(payload)
    except OperatingError as error:
        raise OperatingError(f"{error}. {_abandon(settings, upload)}") from error
    except KeyboardInterrupt:
        terminal.tell_after_interrupt(f"Interrupted while sending the payload. {_abandon(settings, upload)}")
        return None
    try:
        return upload.finish()
    except KeyboardInterrupt:
        terminal.tell_after_interrupt(
            f"No longer waiting for the start of unit {upload.unit_id}. {come_back(settings, upload.unit_id)}"
        )
        return None


def _abandon(settings: Settings, upload: Upload) -> str:
    try:
        upload.abandon()
    except ReceptorError as error:
        command = settings.command_line("work", "release", upload.unit_id)
        return f"Unit {upload.unit_id} has only part of it and could not be released ({error}): {command}"
    if upload.has_key:
        return (
            f"Nothing was started now, but unit {upload.unit_id} may run since an earlier submission with its key; "
            "submit again with the same key"
        )
    return f"Unit {upload.unit_id}, which had only part of it, is released; nothing was run"


def _release(client: ControlClient, unit_id: str) -> str:
    return f"({unit_id}, {client.end_unit('release', unit_id)})"


def open_payload(file: str, literal: str) -> AbstractContextManager[bytes | BinaryIO]:
    """The payload that the options mean: a file's content, standard input for ``-``, a text, or nothing."""
    if literal:
        return nullcontext(literal.encode(errors="surrogateescape") + b"\n")
    if not file:
        return nullcontext(b"")
    if file == "-":
        if sys.stdin is None:
            raise OperatingError("standard input is closed, so there is no payload; use --no-payload for none")
        return nullcontext(sys.stdin.buffer)
    try:
        return open(file, "rb", buffering=0)
    except OSError as error:
        raise OperatingError(f"can't read the payload file {file}: {error.strerror}; correct --payload") from error


def parse_params(texts: tuple[str, ...], words: tuple[str, ...]) -> dict[str, str]:
    """The parameters of ``--param key=value`` options and of the words after the work type.

    A value ``@file`` stands for the file's text. The words are appended to the parameter ``params``.
    """
    params: dict[str, str] = {}
    for number, text in enumerate(texts, 1):
        key, equals, value = text.partition("=")
        if not (key and equals):
            # The text itself may be a secret.
            raise ConfigurationError(f"the --param number {number} has no key and '='; write it as --param key=value")
        params[key] = _text_of_file(value[1:]) if _means_file(value) else value
    if words:
        params["params"] = " ".join((*([params["params"]] if "params" in params else []), *words))
    return params


def _means_file(value: str) -> bool:
    return value.startswith("@") and not value.startswith("@@")


def _text_of_file(name: str) -> str:
    try:
        with open(name, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"can't read the parameter file {name}: {reason}; correct --param") from error


@click.command(short_help="Run a unit of work, here or on another node.")
@click.argument("worktype", type=WORK_TYPE)
@click.argument("cmdparams", nargs=-1)
@node_option("Run it on this node instead of the one connected to.")
@click.option(
    "--payload", "-p", metavar="FILE", type=FILE, help="Send the content of this file as payload; - is standard input."
)
@click.option("--payload-literal", "-l", metavar="TEXT", help="Send this text and a line feed as payload.")
@click.option("--no-payload", "-n", is_flag=True, help="Send an empty payload.")
@click.option(
    "--tls-client",
    "tlsclient",
    metavar="NAME",
    help="Reach the other node with this tls-client of the node connected to.",
)
@click.option("--ttl", metavar="DURATION", help="Give up if remote work has not started by then, e.g. 1h20m30s.")
@click.option("--signwork", is_flag=True, help="Sign remote work with the key of the node connected to.")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Your own name for this submission: made again with the same key, it is still one unit of work.",
)
@click.option("--follow", "-f", is_flag=True, help="Print the results as they come instead of the unit's id.")
@click.option("--rm", is_flag=True, help="Release the unit when it has ended; goes with --follow.")
@click.option(
    "--param",
    "-a",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter for the work; VALUE may be @FILE. May be repeated.",
)
@click.pass_obj
def submit(
    settings: Settings,
    worktype: str,
    cmdparams: tuple[str, ...],
    node: str | None,
    payload: str | None,
    payload_literal: str | None,
    no_payload: bool,
    tlsclient: str | None,
    ttl: str | None,
    signwork: bool,
    idempotency_key: str | None,
    follow: bool,
    rm: bool,
    param: tuple[str, ...],
) -> int:
    """Run a unit of work of type WORKTYPE and print its unit id.

    CMDPARAMS are added to the command line of the work, if its type allows that; put -- before those that begin
    with a dash. Exactly one of --payload, --payload-literal and --no-payload is needed.

    \b
    Examples:
      receptorctl work submit echoint --no-payload
      receptorctl work submit sort --node bar --payload - -f < names.txt
    """
    given = [bool(payload), bool(payload_literal), no_payload].count(True)
    if given != 1:
        problem = "no payload is given" if given == 0 else "more than one payload is given"
        terminal.fail(f"{problem}; use exactly one of --payload, --payload-literal and --no-payload")
        return terminal.EXIT_FAILED
    if rm and not follow:
        terminal.warn("--rm without --follow releases the unit at once, and its results are never seen")
    from receptor.client.control_client import Submission

    with open_payload(payload or "", payload_literal or "") as content:
        try:
            params = parse_params(param, cmdparams)
        except ConfigurationError as error:
            terminal.fail(str(error))
            return terminal.EXIT_NOT_SUBMITTED
        submission = Submission(
            worktype, node or "localhost", tlsclient or "", ttl or "", signwork, idempotency_key or "", params
        )
        return submit_and_report(settings, submission, content, following=follow, remove=rm)
