"""The questions of ``receptor init`` on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TypeVar

import click

from receptor.certificates.bundles import Bundle, read_bundle
from receptor.cli.new_node.text import configuration_text
from receptor.cli.new_node.wanted import (
    A_LISTENER,
    A_PEER,
    A_WORK_TYPE,
    DEFAULT_PORT,
    OwnAuthority,
    Place,
    Role,
    Wanted,
    Work,
    dial_of,
    listen_of,
    mistakes_of,
    work_of,
)
from receptor.config import kinds
from receptor.config.certificate_actions import DNS_NAME
from receptor.errors import ConfigurationError

T = TypeVar("T")

_ROLES = {
    Role.CONTROL: "sends work to other nodes",
    Role.EXECUTION: "runs work",
    Role.HYBRID: "both",
    Role.HOP: "only passes on what others send each other",
}


def ask(place: Place, host_name: str, dry_run: bool) -> Wanted:
    """Ask for everything; an answer that can't be is asked for again. Raises click.Abort on Ctrl-C."""
    click.echo("This sets up a Receptor node. Enter takes what is in brackets; Ctrl-C leaves all as it was.\n")
    bundle = _bundle()
    node_id = bundle.node if bundle else _node_id(host_name)
    role = _role()
    listen = _several("Port to listen on for other nodes", listen_of, A_LISTENER, _usual_port(bundle, role))
    dial = tuple(map(dial_of, bundle.peers)) if bundle else ()
    is_needed = role is Role.HOP and not (listen or dial)
    dial += _several("Another node to connect to, as in foo.example.com:27199", dial_of, A_PEER, is_needed=is_needed)
    security = bundle or (_security(place) if listen or dial else None)
    dns, ip = _names(host_name) if listen and isinstance(security, OwnAuthority) else ((), ())
    work = _work(role) if role.runs_work else ()
    signs = role.sends_work and click.confirm("Sign the work it sends, so that others can demand that", default=False)
    wanted = Wanted(
        node_id=node_id,
        role=role,
        place=place,
        listen=listen,
        dial=dial,
        security=security,
        dns=dns,
        ip=ip,
        work=work,
        signs=signs,
        verification_key=bundle.verification_key if bundle and work else "",
    )
    mistakes = list(mistakes_of(wanted))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    if not dry_run:
        click.echo(f"\n{configuration_text(wanted)}")
        click.confirm(
            f"Write this to {place.configuration}, with the keys and certificates that it names", True, abort=True
        )
        click.echo()
    return wanted


def _bundle() -> Bundle | None:
    def read(text: str) -> Bundle | None:
        return read_bundle(Path(text).expanduser()) if text else None

    return _ask("File from 'receptor certs bundle' for this node, if there is one", read, "a bundle")


def _node_id(host_name: str) -> str:
    def read(text: str) -> str:
        kinds.NODE_ID.read(text)
        return text

    return _ask("The node's name, unlike all others of the mesh", read, kinds.NODE_ID.expects, host_name)


def _role() -> Role:
    for role, meaning in _ROLES.items():
        click.echo(f"  {role:10} {meaning}")
    return _ask("What is the node for", Role, "one of these", Role.EXECUTION)


def _usual_port(bundle: Bundle | None, role: Role) -> str:
    return str(DEFAULT_PORT) if bundle is None and role is not Role.EXECUTION else ""


def _security(place: Place) -> OwnAuthority | None:
    click.echo("Links are secured by certificates, which an authority of yours signs.")
    text = _ask(
        "Folder of the authority, made if missing; or 'none' for open links", str, "a path", str(place.authority)
    )
    return None if text == "none" else OwnAuthority(Path(text).expanduser().absolute())


def _names(host_name: str) -> tuple[tuple[str, ...], tuple[IPv4Address | IPv6Address, ...]]:
    def read(text: str) -> list[str | IPv4Address | IPv6Address]:
        return [_name_or_address(one.strip()) for one in text.split(",")]

    question = "What others dial this machine by, with commas between names and addresses"
    found = _ask(question, read, "a list of such, as in foo.example.com, 192.0.2.1", host_name)
    dns = tuple(one for one in found if isinstance(one, str))
    return dns, tuple(one for one in found if not isinstance(one, str))


def _name_or_address(text: str) -> str | IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        DNS_NAME.read(text)
        return text


def _work(role: Role) -> tuple[Work, ...]:
    question = "Work it runs, as in count=wc -l"
    return _several(question, work_of, A_WORK_TYPE, is_needed=role is Role.EXECUTION)


def _several(
    question: str, read: Callable[[str], T], expects: str, usual: str = "", is_needed: bool = False
) -> tuple[T, ...]:
    """Answers until there is an empty one."""
    answers: list[T] = []

    def read_if_any(text: str) -> T | None:
        if text and text != "none":
            return read(text)
        if is_needed and not answers:
            raise click.UsageError("such a node needs one; Ctrl-C leaves all as it was")
        return None

    hint = "'none' for none" if usual else "at least one" if is_needed else "empty for none"
    while (
        answer := _ask(f"{question} ({hint if not answers else 'empty for no more'})", read_if_any, expects, usual)
    ) is not None:
        answers.append(answer)
        usual = ""
    return tuple(answers)


def _ask(question: str, read: Callable[[str], T], expects: str, usual: str = "") -> T:
    def value(text: str) -> T:
        try:
            return read(text.strip())
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None
        except ValueError:
            raise click.UsageError(f"{text!r} is not {expects}") from None

    answer: T = click.prompt(question, default=usual, value_proc=value, show_default=bool(usual))
    return answer
