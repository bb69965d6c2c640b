"""A folder with an authority, and nodes' certificates beside it or elsewhere: what ``receptor certs`` makes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from receptor.certificates.making import (
    AUTHORITY_BITS,
    NODE_BITS,
    Authority,
    Request,
    certify,
    common_name,
    end_under,
    make_authority,
    new_key,
    validity,
)
from receptor.certificates.node_names import node_ids, node_name
from receptor.certificates.reading import names_of, read_authority, read_certificates, read_private_key
from receptor.certificates.writing import new_private_key, refuse_existing, write_new_certificate, write_over
from receptor.errors import ConfigurationError

_AUTHORITY = "ca"
_LONGEST_STEM = 200


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of a certificate and its private key."""

    certificate: Path
    key: Path


def authority_files(folder: Path) -> Pair:
    """Where the folder's authority is."""
    return Pair(folder / f"{_AUTHORITY}.crt", folder / f"{_AUTHORITY}.key")


def node_files(folder: Path, node_id: str) -> Pair:
    """Where a node's certificate is: any node id makes a file name that no shell, disk or copying tool takes amiss."""
    stem = quote(node_id, safe="")
    if stem[0] in ".-~" or stem == _AUTHORITY:
        stem = f"%{ord(stem[0]):02X}{stem[1:]}"
    if len(stem) > _LONGEST_STEM:
        stem = f"{stem[: _LONGEST_STEM - 17]}-{sha256(node_id.encode()).hexdigest()[:16]}"
    return Pair(folder / f"{stem}.crt", folder / f"{stem}.key")


def has_authority(folder: Path) -> bool:
    """Whether there is an authority in the folder, or half of one."""
    files = authority_files(folder)
    return os.path.lexists(files.certificate) or os.path.lexists(files.key)


def make_authority_files(folder: Path, name: str, now: datetime, lasts: timedelta) -> Pair:
    """A new authority in the folder; raises OperatingError if there is one or it can't be written."""
    files = authority_files(folder)
    refuse_existing(files.certificate, files.key)
    authority = make_authority(common_name(name), new_key(AUTHORITY_BITS), validity(now, None, now + lasts))
    with new_private_key(files.key, authority.key):
        write_new_certificate(files.certificate, authority.certificate)
    return files


def read_authority_files(folder: Path, now: datetime) -> Authority:
    """The folder's authority; raises ConfigurationError if there is none that may sign now."""
    files = authority_files(folder)
    return read_authority(files.certificate, files.key, now)


def make_node_files(
    files: Pair,
    node_id: str,
    names: Iterable[x509.GeneralName],
    authority: Authority,
    now: datetime,
    lasts: timedelta,
) -> x509.Certificate:
    """A certificate of that node with its id and the names.

    If the node has a key, that is used again; if it has a certificate, that is replaced, and its names are kept.
    Raises ConfigurationError if those files are wrong, OperatingError if one can't be written.
    """
    all_names = (*_names_so_far(files.certificate, node_id, authority), node_name(node_id), *names)
    valid = validity(now, None, end_under(authority, now, lasts))
    is_new = not os.path.lexists(files.key)
    key = new_key(NODE_BITS) if is_new else read_private_key(files.key)
    request = Request(common_name(node_id), key.public_key(), tuple(dict.fromkeys(all_names)))
    certificate = certify(authority, request, valid)
    if is_new:
        with new_private_key(files.key, key):
            write_over(files.certificate, certificate)
    else:
        write_over(files.certificate, certificate)
    return certificate


def _names_so_far(path: Path, node_id: str, authority: Authority) -> tuple[x509.GeneralName, ...]:
    """Only those that the authority has vouched for already: who can write the file must not choose what it signs."""
    if not os.path.lexists(path):
        return ()
    certificate = read_certificates(path)[0]
    names = names_of(path, certificate)
    if node_id not in node_ids(certificate):
        raise ConfigurationError(f"{path}: this is not a certificate of node {node_id!r}; move it away, or use --out")
    if not _has_signed(authority, certificate):
        raise ConfigurationError(
            f"{path}: this certificate is not of this authority, so its names are not taken over; "
            "move it away, and name them again (--dns, --ip)"
        )
    return names


def _has_signed(authority: Authority, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
