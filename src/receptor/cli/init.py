"""``receptor init``: the configuration, keys and certificates of a new node."""

from __future__ import annotations

import os
import socket
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

import click

from receptor.cli.tools import peer_address, read_as, run_tool, value_of
from receptor.config import kinds
from receptor.config.certificate_actions import DNS_NAME, IP_ADDRESS
from receptor.errors import ConfigurationError, OperatingError
from receptor.identifiers import is_localhost

if TYPE_CHECKING:
    from receptor.certificates.bundles import Bundle
    from receptor.cli.new_node.wanted import Dial, Listen, OwnAuthority, Role, Wanted, Work

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_NO_USER = (
    "there is no user 'receptor', so the files belong to whoever ran this; for the systemd service give the commands "
    "that 'receptor systemd --install' tells, and then this one again with --force"
)
_ROLES = ("control", "execution", "hybrid", "hop")


def run_init(arguments: list[str]) -> None:
    """Do what the words after ``receptor init`` say; raises ReceptorError if it can't be done."""
    run_tool(init, "init", arguments)


def _listen(text: str) -> Listen:
    from receptor.cli.new_node.wanted import A_LISTENER, listen_of

    return read_as(listen_of, text, A_LISTENER)


def _work(text: str) -> Work:
    from receptor.cli.new_node.wanted import A_WORK_TYPE, work_of

    return read_as(work_of, text, A_WORK_TYPE)


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--id", "node_id", metavar="NAME", type=value_of(kinds.NODE_ID), help="The node's name (default: the host name)."
)
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    help="control sends work, execution runs it, hybrid does both, hop passes traffic on. "
    "Without it: execution with --work, hybrid with --work and --sign, otherwise control.",
)
@click.option(
    "--listen", multiple=True, metavar="PORT", type=_listen, help="Where others link to it: 27199, HOST:PORT, ws:8080."
)
@click.option(
    "--peer",
    "dial",
    multiple=True,
    metavar="ADDRESS",
    type=peer_address,
    help="A node that it dials: HOST:PORT or a URL.",
)
@click.option("--no-redial", is_flag=True, help="Dial once only.")
@click.option("--ca", metavar="DIR", type=_FOLDER, help="Secure the links: the authority's folder, made if missing.")
@click.option("--bundle", metavar="FILE", type=_FILE, help="Secure them by what 'receptor certs bundle' has made.")
@click.option("--no-tls", is_flag=True, help="Leave the links open to read and to forge.")
@click.option(
    "--dns",
    multiple=True,
    metavar="NAME",
    type=value_of(DNS_NAME),
    help="A name that others dial it by (default: the host name).",
)
@click.option("--ip", multiple=True, metavar="ADDRESS", type=value_of(IP_ADDRESS), help="An address likewise.")
@click.option("--work", multiple=True, metavar="TYPE=COMMAND", type=_work, help="Work that it runs: 'count=wc -l'.")
@click.option("--sign", is_flag=True, help="Make a key that signs the work it sends.")
@click.option("--verification-key", metavar="FILE", type=_FILE, help="Run signed work only: the public key for it.")
@click.option("--config", "-c", metavar="FILE", type=_FILE, help="Where to write it; the rest goes beside it.")
@click.option("--force", is_flag=True, help="Write over configuration and certificates that are there.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
def init(
    node_id: str | None,
    role: str | None,
    listen: tuple[Listen, ...],
    dial: tuple[Dial, ...],
    no_redial: bool,
    ca: Path | None,
    bundle: Path | None,
    no_tls: bool,
    dns: tuple[str, ...],
    ip: tuple[IPv4Address | IPv6Address, ...],
    work: tuple[Work, ...],
    sign: bool,
    verification_key: Path | None,
    config: Path | None,
    force: bool,
    dry_run: bool,
) -> None:
    """Set up a new node: a checked configuration, its keys and certificates.

    On a terminal and without any option about the node, it asks. The configuration is /etc/receptor/receptor.conf for
    root, ~/.config/receptor/receptor.conf for others.

    \b
    Examples:
      receptor init
      receptor init --id foo --role control --listen 27199 --ca /etc/receptor/ca --dns foo.example.com
      receptor init --bundle bar.bundle --role execution --work 'ansible-runner=ansible-runner worker'
      receptor init --id trial --no-tls --work cat=cat --config ./trial/receptor.conf
    """
    from receptor.cli.new_node.placing import refuse_another
    from receptor.cli.new_node.questions import ask
    from receptor.cli.new_node.wanted import Role, Wanted, place_of

    place = place_of((config or default_configuration()).absolute())
    joined = _bundle(bundle)
    described = any((node_id, role, listen, dial, no_redial, ca, bundle, no_tls, dns, ip, work, sign, verification_key))
    if not described and sys.stdin is not None and sys.stdin.isatty():
        if not (force or dry_run):
            refuse_another(place.configuration)
        wanted = ask(place, own_name(), dry_run)
    else:
        peers = dial or (_peers(joined, bundle) if joined else ())
        if joined and (dns or ip):
            raise click.UsageError("the names are in the bundle; give --dns and --ip to 'receptor certs bundle'")
        security = _security(joined, ca, no_tls, bool(listen or peers))
        wanted = Wanted(
            node_id=node_id or (joined.node if joined else _node_id()),
            role=Role(role) if role else _role(bool(work), sign),
            place=place,
            listen=listen,
            dial=peers,
            redial=not no_redial,
            security=security,
            dns=dns or _own_names(ip, bool(listen and ca)),
            ip=ip,
            work=work,
            signs=sign,
            verification_key=_verification_key(verification_key, joined, bool(work)),
        )
    _carry_out(wanted, force, dry_run)


def default_configuration() -> Path:
    """Where the configuration of a node goes if nobody says where."""
    from receptor.cli.new_node.wanted import SYSTEM_FOLDER

    if os.geteuid() == 0:
        return SYSTEM_FOLDER / "receptor.conf"
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "receptor" / "receptor.conf"


def own_name() -> str:
    """This machine's name, empty if it has none that others could use."""
    name = socket.gethostname()
    return "" if is_localhost(name) or name.lower().startswith("localhost.") else name


def _carry_out(wanted: Wanted, force: bool, dry_run: bool) -> None:
    from receptor.cli.new_node.making import make
    from receptor.cli.new_node.placing import owner_for, place, refuse_to_overwrite
    from receptor.cli.new_node.steps import next_steps
    from receptor.cli.new_node.wanted import mistakes_of

    mistakes = list(mistakes_of(wanted))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    made = make(wanted)
    if not force:
        refuse_to_overwrite(made.files)
    if dry_run:
        click.echo(f"{wanted.place.configuration} would be:\n\n{made.configuration}")
    else:
        owner = owner_for(wanted.place.is_of_the_system)
        place(made.files, owner)
        if owner is None and wanted.place.is_of_the_system:
            click.echo(f"receptor: warning: {_NO_USER}", err=True)
    for file in made.files:
        click.echo(f"{file.path}: {'would be ' if dry_run else ''}written (mode {file.access.mode:04o})")
    for warning in made.verdict.warnings:
        click.echo(f"receptor: warning: {warning}", err=True)
    click.echo(f"\n{made.verdict.text}")
    if not dry_run:
        click.echo(f"\n{next_steps(wanted, own_name() or 'HOST', os.geteuid() == 0)}")


def _bundle(path: Path | None) -> Bundle | None:
    from receptor.certificates.bundles import read_bundle

    return read_bundle(path) if path else None


def _peers(bundle: Bundle, path: Path | None) -> tuple[Dial, ...]:
    try:
        return tuple(peer_address(peer) for peer in bundle.peers)
    except click.BadParameter as error:
        raise ConfigurationError(
            f"{path}: a peer in it can't be dialled: {error.message}; give one with --peer"
        ) from None


def _security(bundle: Bundle | None, ca: Path | None, no_tls: bool, has_links: bool) -> OwnAuthority | Bundle | None:
    from receptor.cli.new_node.wanted import OwnAuthority

    if sum((bundle is not None, ca is not None, no_tls)) > 1:
        raise click.UsageError("--ca, --bundle and --no-tls exclude each other")
    if has_links and not (bundle or ca or no_tls):
        raise click.UsageError(
            "say how links are secured: --ca DIR where the authority is, --bundle FILE on other machines, or --no-tls"
        )
    if not has_links and (bundle or ca):
        raise click.UsageError("there is no link to secure; add --listen or --peer")
    return bundle or (OwnAuthority(ca.absolute()) if ca else None)


def _role(works: bool, signs: bool) -> Role:
    from receptor.cli.new_node.wanted import Role

    if works:
        return Role.HYBRID if signs else Role.EXECUTION
    return Role.CONTROL


def _node_id() -> str:
    name = own_name()
    if not name:
        raise ConfigurationError(
            f"this machine's name is {socket.gethostname()!r}, which is no node id; give one with --id"
        )
    return name


def _own_names(ip: tuple[IPv4Address | IPv6Address, ...], is_needed: bool) -> tuple[str, ...]:
    """What others dial a node by if nobody says what."""
    if ip or not is_needed:
        return ()
    if not own_name():
        raise ConfigurationError(
            "the certificate needs the name that others dial this node by; give it with --dns or --ip"
        )
    return (own_name(),)


def _verification_key(path: Path | None, bundle: Bundle | None, works: bool) -> str:
    if path is None:
        return bundle.verification_key if bundle and works else ""
    from receptor.workceptor.signing import load_verification_key

    load_verification_key(path)
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatingError(f"{path}: the key can't be read: {error}") from error
