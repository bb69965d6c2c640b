"""``receptorctl work submit``: what is wanted, out of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.ctl.parameters import FILE, WORK_TYPE, json_option, node_option, tls_client_option
from receptor.ctl.work_options import exit_code_option, timeout_option
from receptor.errors import ConfigurationError

if TYPE_CHECKING:
    from receptor.ctl.settings import Settings
    from receptor.ctl.submitting import Afterwards


@click.command(short_help="Run a unit of work, here or on another node.")
@click.argument("worktype", type=WORK_TYPE)
@click.argument("cmdparams", nargs=-1)
@node_option("Run it on this node instead of the one connected to.")
@click.option(
    "--payload", "-p", metavar="FILE", type=FILE, help="Send the content of this file as payload; - is standard input."
)
@click.option("--payload-literal", "-l", metavar="TEXT", help="Send this text and a line feed as payload.")
@click.option("--no-payload", "-n", is_flag=True, help="Send an empty payload.")
@tls_client_option()
@click.option("--ttl", metavar="DURATION", help="Give up if remote work has not started by then, e.g. 1h20m30s.")
@click.option("--signwork", is_flag=True, help="Sign remote work with the key of the node connected to.")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Your own name for this submission: made again with the same key, it is still one unit of work.",
)
@click.option("--name", metavar="NAME", help="A label for people, which lists of units show.")
@click.option(
    "--env-file",
    metavar="FILE",
    type=FILE,
    help="Environment variables for the command, as KEY=VALUE lines; the work type must allow them.",
)
@click.option("--follow", "-f", is_flag=True, help="Print the results as they come instead of the unit's id.")
@click.option("--wait", is_flag=True, help="Wait for the unit's end; the exit code is 0 only if it succeeded.")
@timeout_option("Stop waiting or following after that time, with exit code 124; the unit goes on.")
@exit_code_option()
@click.option("--rm", is_flag=True, help="Release the unit when it has ended; goes with --follow and --wait.")
@click.option(
    "--param",
    "-a",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter for the work; VALUE may be @FILE. May be repeated.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but the unit's id.")
@json_option("Print one object: the unit's id, and with --wait how it ended.")
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
    name: str | None,
    env_file: str | None,
    follow: bool,
    wait: bool,
    timeout: float | None,
    exit_code: bool,
    rm: bool,
    param: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> int:
    """Run a unit of work of type WORKTYPE and print its unit id.

    CMDPARAMS are added to the command line of the work, if its type allows that; put -- before those that begin
    with a dash. Exactly one of --payload, --payload-literal and --no-payload is needed.

    \b
    Examples:
      receptorctl work submit echoint --no-payload
      receptorctl work submit sort --node bar --payload - -f < names.txt
      receptorctl work submit backup --no-payload --wait --timeout 1h --exit-code
      receptorctl work submit echoint --no-payload --quiet > unit-id
    """
    from receptor.ctl.submitting import Afterwards, submit_and_report

    afterwards = Afterwards(follow, wait, timeout, exit_code, rm, quiet, as_json)
    problem = _payload_problem(payload, payload_literal, no_payload) or _problem(afterwards)
    if problem:
        terminal.fail(problem)
        return terminal.EXIT_FAILED
    if rm and not (follow or wait):
        terminal.warn("--rm without --follow or --wait releases the unit at once, and its results are never seen")
    from receptor.client.submission import Submission
    from receptor.ctl.payloads import open_payload

    env: dict[str, str] = {}
    if env_file:
        from receptor.ctl.env_file import read_env_file

        env = read_env_file(env_file)
    with open_payload(payload or "", payload_literal or "") as content:
        try:
            params = parse_params(param, cmdparams)
        except ConfigurationError as error:
            terminal.fail(str(error))
            return terminal.EXIT_NOT_SUBMITTED
        submission = Submission(
            work_type=worktype,
            node=node or "localhost",
            tls_client=tlsclient or "",
            ttl=ttl or "",
            sign=signwork,
            idempotency_key=idempotency_key or "",
            params=params,
            name=name or "",
            env=env,
        )
        return submit_and_report(settings, submission, content, afterwards)


def _payload_problem(payload: str | None, literal: str | None, is_empty: bool) -> str:
    given = [bool(payload), bool(literal), is_empty].count(True)
    if given == 1:
        return ""
    problem = "no payload is given" if given == 0 else "more than one payload is given"
    return f"{problem}; use exactly one of --payload, --payload-literal and --no-payload"


def _problem(afterwards: Afterwards) -> str:
    """What is wrong with options that don't go together, or nothing."""
    if afterwards.follow and afterwards.wait:
        return "--follow waits for the end as well; leave out --wait, or --follow if you don't want the results"
    if afterwards.follow and (afterwards.quiet or afterwards.as_json):
        return "--follow prints the results and nothing else; leave out --quiet and --json, or use --wait"
    if afterwards.quiet and afterwards.as_json:
        return "--quiet and --json exclude each other; use one of them"
    if not (afterwards.follow or afterwards.wait):
        if afterwards.timeout is not None:
            return "--timeout limits a wait; use it with --wait or --follow"
        if afterwards.own_code:
            return "--exit-code is known at the unit's end; use it with --wait or --follow"
    return ""


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
