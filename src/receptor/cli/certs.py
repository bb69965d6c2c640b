"""``receptor certs``: an authority and nodes' certificates in one command each, and what is in such files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from receptor.cli.tools import peer_address, run_tool, value_of
from receptor.config import kinds
from receptor.config.certificate_actions import COMMON_NAME, DNS_NAME, IP_ADDRESS
from receptor.config.problems import Problems
from receptor.errors import OperatingError

if TYPE_CHECKING:
    from receptor.certificates.describing import Fact
    from receptor.certificates.node_files import Pair
    from receptor.cli.new_node.wanted import Dial

_AUTHORITY_NAME = "Receptor CA"
_LABEL_WIDTH = 14


def _dns_name(text: str) -> object:
    """Not an address, under which nobody who dials it would find it."""
    try:
        ip_address(text)
    except ValueError:
        return value_of(DNS_NAME)(text)
    raise click.BadParameter(f"{text!r} is an IP address; give it with --ip")


_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_DAYS = click.IntRange(1, 36500)

Command = TypeVar("Command", bound=Callable[..., None])


_NODE_OPTIONS = (
    click.argument("node_id", type=value_of(kinds.NODE_ID)),
    click.option(
        "--ca", "ca_folder", required=True, metavar="DIR", type=_FOLDER, help="Where the authority is, or is put."
    ),
    click.option(
        "--dns",
        multiple=True,
        metavar="NAME",
        type=_dns_name,
        help="A name of its machine that others dial; may be given several times.",
    ),
    click.option(
        "--ip",
        multiple=True,
        metavar="ADDRESS",
        type=value_of(IP_ADDRESS),
        help="An address of it that others dial; may be given several times.",
    ),
    click.option("--days", type=_DAYS, metavar="N", default=365, show_default=True, help="How many days it is valid."),
)


def _for_a_node(function: Command) -> Command:
    """The words that say which node a certificate is for."""
    for option in reversed(_NODE_OPTIONS):
        function = option(function)
    return function


def run_certs(arguments: list[str]) -> None:
    """Do what the words after ``receptor certs`` say; raises ReceptorError if it can't be done."""
    run_tool(certs, "certs", arguments)


@click.group(invoke_without_command=True, context_settings={"max_content_width": 100})
@click.pass_context
def certs(context: click.Context) -> None:
    """Make the certificates by which the nodes of a mesh know each other.

    \b
    Examples:
      receptor certs node foo --ca certs --dns foo.example.com
      receptor certs node bar --ca certs
      receptor certs show certs/foo.crt

    The first one makes the authority too. Each node needs its own certificate and key, and the authority's
    certificate, but never the authority's key.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@certs.command(short_help="Make a certificate authority.")
@click.option("--out", "folder", required=True, metavar="DIR", type=_FOLDER, help="Where to put it.")
@click.option(
    "--name",
    metavar="NAME",
    type=value_of(COMMON_NAME),
    default=_AUTHORITY_NAME,
    show_default=True,
    help="What it is called.",
)
@click.option("--days", type=_DAYS, metavar="N", default=3650, show_default=True, help="How many days it is valid.")
def ca(folder: Path, name: str, days: int) -> None:
    """Make an authority: DIR/ca.crt, which every node needs, and DIR/ca.key, which signs nodes' certificates.

    \b
    Examples:
      receptor certs ca --out certs
      receptor certs ca --out certs --name "our mesh" --days 7300
    """
    _make_authority(folder, name, timedelta(days=days))


@certs.command(short_help="Make or renew a node's certificate, and an authority if there is none.")
@_for_a_node
@click.option("--out", "folder", metavar="DIR", type=_FOLDER, help="Where to put it, if not beside the authority.")
def node(
    node_id: str,
    ca_folder: Path,
    dns: tuple[str, ...],
    ip: tuple[IPv4Address | IPv6Address, ...],
    days: int,
    folder: Path | None,
) -> None:
    """Make a certificate for the node NODE_ID, and its private key: NODE_ID.crt and NODE_ID.key.

    \b
    Examples:
      receptor certs node foo --ca certs
      receptor certs node foo --ca certs --dns foo.example.com --dns foo --ip 192.0.2.1

    Given again for the same node, it renews the certificate: the key and all names stay, and names may be added.
    """
    from receptor.certificates.node_files import authority_files

    files = _make_node(node_id, ca_folder, folder or ca_folder, dns, ip, days)
    _say()
    _say(_how_to_use(files, authority_files(ca_folder)))


@certs.command(short_help="Make one file with all that a node needs to join the mesh.")
@_for_a_node
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="ADDRESS",
    type=peer_address,
    help="A node that it is to dial, as 'receptor init --peer' has it; may be given several times.",
)
@click.option(
    "--verification-key",
    metavar="FILE",
    type=_FILE,
    help="The public key that it is to check signed work with.",
)
@click.option("--out", "path", metavar="FILE", type=_FILE, help="Where to put it, if not into NODE_ID.bundle.")
def bundle(
    node_id: str,
    ca_folder: Path,
    dns: tuple[str, ...],
    ip: tuple[IPv4Address | IPv6Address, ...],
    days: int,
    peers: tuple[Dial, ...],
    verification_key: Path | None,
    path: Path | None,
) -> None:
    """Make a certificate for the node NODE_ID, as 'receptor certs node' does, and put it into one file with its private
    key, the authority's certificate and what else the node needs. 'receptor init --bundle FILE' does the rest on the
    node's machine.

    \b
    Examples:
      receptor certs bundle bar --ca certs --peer foo.example.com:27199
      scp bar.bundle root@bar.example.com:
    """
    from receptor.certificates.bundles import bundle_of, write_bundle
    from receptor.certificates.node_files import authority_files, node_files
    from receptor.certificates.writing import refuse_existing

    out = path or Path(node_files(Path(), node_id).certificate.with_suffix(".bundle").name)
    refuse_existing(out)
    files = _make_node(node_id, ca_folder, ca_folder, dns, ip, days)
    write_bundle(
        out, bundle_of(node_id, files, authority_files(ca_folder).certificate, map(str, peers), verification_key)
    )
    _say(f"{out}: all that node {node_id} needs; copy it there by a safe way, as its private key is in it, and then:")
    _say()
    _say(f"  receptor init --bundle {out.name}")


@certs.command(short_help="Show what is in certificates and requests.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
def show(files: tuple[Path, ...]) -> None:
    """Show names, validity and fingerprints of certificates, and what requests ask for.

    \b
    Examples:
      receptor certs show certs/foo.crt
      receptor certs show foo.req

    A file that can't be shown keeps no other from it; the exit status is 1 then.

    The SHA-256 fingerprint is what 'pinnedservercert' and 'pinnedclientcert' take.
    """
    problems = Problems()
    for path in files:
        with problems.noted():
            for facts in _facts(path):
                _say(f"{path}:")
                for label, value in facts:
                    _say(f"  {label:{_LABEL_WIDTH}} {value}")
    problems.raise_if_any()


def _make_node(
    node_id: str,
    ca_folder: Path,
    folder: Path,
    dns: tuple[str, ...],
    ip: tuple[IPv4Address | IPv6Address, ...],
    days: int,
) -> Pair:
    from receptor.certificates import node_files
    from receptor.certificates.making import AUTHORITY_LASTS
    from receptor.certificates.node_names import alternative_names_of

    if not node_files.has_authority(ca_folder):
        _make_authority(ca_folder, _AUTHORITY_NAME, AUTHORITY_LASTS)
    now = datetime.now(UTC)
    authority = node_files.read_authority_files(ca_folder, now)
    files = node_files.node_files(_made(folder), node_id)
    names = alternative_names_of((), dns, ip)
    certificate = node_files.make_node_files(files, node_id, names, authority, now, timedelta(days=days))
    _say(f"{files.certificate}: certificate of node {node_id}, valid until {certificate.not_valid_after_utc:%Y-%m-%d}")
    _say(f"{files.key}: its private key, which only this node needs")
    return files


def _facts(path: Path) -> list[list[Fact]]:
    from receptor.certificates.describing import certificate_facts, request_facts
    from receptor.certificates.reading import holds_request, read_certificates, read_signing_request

    if holds_request(path):
        return [request_facts(path, read_signing_request(path))]
    now = datetime.now(UTC)
    return [certificate_facts(path, one, now) for one in read_certificates(path)]


def _make_authority(folder: Path, name: str, lasts: timedelta) -> None:
    from receptor.certificates.node_files import make_authority_files

    files = make_authority_files(_made(folder), name, datetime.now(UTC), lasts)
    _say(f"{files.certificate}: certificate of a new authority, {name}; every node needs it")
    _say(f"{files.key}: its private key; who has it can make certificates for any node, so keep it off the nodes")


def _made(folder: Path) -> Path:
    """The folder, made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatingError(f"{folder}: the folder can't be made: {error.strerror}; name another one") from error
    return folder


def _how_to_use(node: Pair, authority: Pair) -> str:
    """The actions that use these files."""
    import yaml

    ours = {"cert": str(node.certificate.absolute()), "key": str(node.key.absolute())}
    trusted = str(authority.certificate.absolute())
    actions = [
        {"tls-server": {"name": "mesh", **ours, "requireclientcert": True, "clientcas": trusted}},
        {"tls-client": {"name": "mesh", **ours, "rootcas": trusted}},
    ]
    text: str = yaml.safe_dump(actions, sort_keys=False, allow_unicode=True, width=1000)
    return (
        "In the node's configuration (on another machine with the names that these two files and "
        f"{authority.certificate} have there):\n\n{text}\nIts listeners and peers then say 'tls: mesh'."
    )


def _say(text: str = "") -> None:
    click.echo(text)
