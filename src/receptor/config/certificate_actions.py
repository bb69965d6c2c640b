"""The actions that make certificates: they are carried out at once, in their order, and no node runs then.

Keys and defaults are those of existing nodes; but keys of less than 2048 bits are refused, as TLS refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, TypeAlias

from receptor.certificates import LONGEST_COMMON_NAME, SMALLEST_KEY
from receptor.config import kinds
from receptor.config.keys import About, Action, written
from receptor.config.kind import Kind

IpAddress: TypeAlias = IPv4Address | IPv6Address

_LARGEST_KEY = 8192  # More is refused by existing nodes' TLS.
_DEFAULT_BITS = 2048
_EARLIEST_YEAR = 1950  # X.509 can tell no earlier time (RFC 5280, section 4.1.2.5).
_LONGEST_DNS_NAME = 253
_DNS_NAME = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.I)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")


def _common_name(text: str) -> str:
    if not (text.isprintable() and 0 < len(text) <= LONGEST_COMMON_NAME):
        raise ValueError
    return text


def _bits(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) <= 5 and SMALLEST_KEY <= int(text) <= _LARGEST_KEY):
        raise ValueError
    return int(text)


def _date(text: str) -> datetime:
    if _DATE.fullmatch(text) is None:
        raise ValueError
    try:
        date = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError from None
    if date.year < _EARLIEST_YEAR:
        raise ValueError
    return date.replace(microsecond=0)


def _write_date(date: datetime) -> str:
    return f"{date:%Y-%m-%dT%H:%M:%SZ}"


def _dns_name(text: str) -> str:
    if len(text) > _LONGEST_DNS_NAME or _DNS_NAME.fullmatch(text) is None:
        raise ValueError
    return text


def _ip_address(text: str) -> IpAddress:
    if "%" in text:  # a link of this machine, which means nothing elsewhere
        raise ValueError
    return ip_address(text)


COMMON_NAME = Kind(f"text of 1 to {LONGEST_COMMON_NAME} characters", _common_name)
BITS = Kind(f"a number of bits from {SMALLEST_KEY} to {_LARGEST_KEY}", _bits)
DATE = Kind("a date with time and zone such as 2030-01-31T12:00:00Z", _date, _write_date)
DNS_NAME = Kind("a DNS name such as foo.example.com", _dns_name)
DNS_NAMES = Kind("a list of DNS names such as foo.example.com", _dns_name, many="list")
IP_ADDRESS = Kind("an IP address such as 192.0.2.1", _ip_address)
IP_ADDRESSES = Kind("a list of IP addresses such as 192.0.2.1", _ip_address, many="list")
NODE_IDS = Kind("a list of node ids: names other than 'localhost'", kinds.NODE_ID.read, many="list")


class CertificateAction(Action, frozen=True):
    """The base of the actions that make certificates."""

    def mistakes(self) -> Iterator[str]:
        """What is wrong with the keys taken together, each in a sentence that begins with the action's name."""
        yield from ()


class CertInit(CertificateAction, frozen=True):
    """A new authority."""

    about = About(
        "cert-init",
        "Makes a certificate authority, and ends.",
        "- cert-init:\n    commonname: our mesh\n    bits: 4096\n    outcert: ca.crt\n    outkey: ca.key",
        once=True,
    )

    common_name: Annotated[str, written("commonname", COMMON_NAME, "The authority's name.")]
    bits: Annotated[int, written("bits", BITS, "The length of its RSA key.")]
    out_cert: Annotated[Path, written("outcert", kinds.PATH, "New file for its certificate.")]
    out_key: Annotated[Path, written("outkey", kinds.PATH, "New file for its private key.")]
    not_before: Annotated[
        datetime | None, written("notbefore", DATE, "When the certificate begins to be valid.", default="an hour ago")
    ] = None
    not_after: Annotated[
        datetime | None, written("notafter", DATE, "When the certificate expires.", default="in 3650 days")
    ] = None

    def mistakes(self) -> Iterator[str]:
        """Two files that are one, an end before the begin."""
        if self.out_cert == self.out_key:
            yield "cert-init needs two files: 'outcert' and 'outkey' are the same"
        yield from _wrong_order("cert-init", self.not_before, self.not_after)


class CertMakeReq(CertificateAction, frozen=True):
    """A request for a certificate; ``bits`` None where ``in_key`` names the key."""

    about = About(
        "cert-makereq",
        "Makes a request for a node's certificate, and ends.",
        "- cert-makereq:\n    commonname: foo\n    nodeid: foo\n    dnsname: [foo.example.com]\n"
        "    bits: 2048\n    outreq: foo.req\n    outkey: foo.key",
    )

    common_name: Annotated[str, written("commonname", COMMON_NAME, "The name of whom the certificate is for.")]
    out_req: Annotated[Path, written("outreq", kinds.PATH, "File for the request; an older one is replaced.")]
    node_ids: Annotated[frozenset[str], written("nodeid", NODE_IDS, "Ids of the node.")] = frozenset()
    dns_names: Annotated[
        frozenset[str], written("dnsname", DNS_NAMES, "Names of its machine, under which others dial it.")
    ] = frozenset()
    ip_addresses: Annotated[
        frozenset[IpAddress], written("ipaddress", IP_ADDRESSES, "Addresses of its machine, likewise.")
    ] = frozenset()
    bits: Annotated[int | None, written("bits", BITS, "The length of a new RSA key.", default=str(_DEFAULT_BITS))] = (
        None
    )
    in_key: Annotated[
        Path | None, written("inkey", kinds.PATH, "The node's private key, if it has one.", default="a new key")
    ] = None
    out_key: Annotated[
        Path | None, written("outkey", kinds.PATH, "New file for a new private key; needed without 'inkey'.")
    ] = None

    @property
    def new_bits(self) -> int:
        """The length of a new key."""
        return self.bits or _DEFAULT_BITS

    def mistakes(self) -> Iterator[str]:
        """Not one key but none or two; bits for a key that is there already; files that are one."""
        if self.in_key is None and self.out_key is None:
            yield "cert-makereq needs 'outkey', a file for a new private key, or 'inkey', the key that the node has"
        if self.in_key is not None and self.out_key is not None:
            yield "cert-makereq takes the key in 'inkey' or makes a new one for 'outkey', not both; leave one out"
        if self.in_key is not None and self.bits is not None:
            yield "cert-makereq can't choose the 'bits' of the key in 'inkey', which is there already; leave one out"
        if self.out_req in (self.in_key, self.out_key):
            yield "cert-makereq needs two files: 'outreq' is the same as that of the key"


class CertSignReq(CertificateAction, frozen=True):
    """An authority's answer to a request."""

    about = About(
        "cert-signreq",
        "Signs a request as an authority: makes a node's certificate, and ends.",
        "- cert-signreq:\n    req: foo.req\n    cacert: ca.crt\n    cakey: ca.key\n    outcert: foo.crt\n"
        "    verify: true",
    )

    request: Annotated[Path, written("req", kinds.PATH, "The request.")]
    ca_cert: Annotated[Path, written("cacert", kinds.PATH, "The authority's certificate.")]
    ca_key: Annotated[Path, written("cakey", kinds.PATH, "The authority's private key.")]
    out_cert: Annotated[Path, written("outcert", kinds.PATH, "File for the certificate; an older one is replaced.")]
    not_before: Annotated[
        datetime | None, written("notbefore", DATE, "When the certificate begins to be valid.", default="an hour ago")
    ] = None
    not_after: Annotated[
        datetime | None,
        written("notafter", DATE, "When the certificate expires.", default="in 365 days, or with the authority"),
    ] = None
    verified: Annotated[
        bool,
        written("verify", kinds.BOOLEAN, "Whether you know the names in the request to be right; else you are asked."),
    ] = False

    def mistakes(self) -> Iterator[str]:
        """A file that would be overwritten although it is needed, an end before the begin."""
        if self.out_cert in (self.request, self.ca_cert, self.ca_key):
            yield "cert-signreq needs a file of its own for 'outcert'"
        yield from _wrong_order("cert-signreq", self.not_before, self.not_after)


def _wrong_order(action: str, not_before: datetime | None, not_after: datetime | None) -> Iterator[str]:
    if not_before is not None and not_after is not None and not_after <= not_before:
        yield f"{action} has a 'notafter' that is not later than 'notbefore'; the certificate would never be valid"
