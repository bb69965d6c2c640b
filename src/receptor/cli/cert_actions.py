"""Carrying out ``cert-init``, ``cert-makereq`` and ``cert-signreq``, as existing nodes do, but never over a key."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import CertificateSigningRequest

from receptor.certificates.describing import request_facts
from receptor.certificates.making import (
    AUTHORITY_LASTS,
    certify,
    common_name,
    end_under,
    make_authority,
    make_request,
    new_key,
    validity,
)
from receptor.certificates.node_names import alternative_names_of
from receptor.certificates.reading import checked_request, read_authority, read_private_key, read_signing_request
from receptor.certificates.writing import new_private_key, refuse_existing, write_new_certificate, write_over
from receptor.config.certificate_actions import CertificateAction, CertInit, CertMakeReq, CertSignReq
from receptor.errors import ConfigurationError, OperatingError


def carry_out(actions: Iterable[CertificateAction]) -> None:
    """Make what the actions ask for, one after the other; says nothing unless it must ask.

    Raises ConfigurationError if an action or a file that it reads is wrong, OperatingError if a file can't be
    written or the operator refused; what the actions before it made stays.
    """
    for action in actions:
        for mistake in action.mistakes():
            raise ConfigurationError(mistake)
        match action:
            case CertInit():
                _init(action)
            case CertMakeReq():
                _make_request(action)
            case CertSignReq():
                _sign_request(action)


def _init(action: CertInit) -> None:
    refuse_existing(action.out_cert, action.out_key)
    now = datetime.now(UTC)
    valid = validity(now, action.not_before, action.not_after or now + AUTHORITY_LASTS)
    authority = make_authority(common_name(action.common_name), new_key(action.bits), valid)
    with new_private_key(action.out_key, authority.key):
        write_new_certificate(action.out_cert, authority.certificate)


def _make_request(action: CertMakeReq) -> None:
    subject = common_name(action.common_name)
    names = alternative_names_of(action.node_ids, action.dns_names, action.ip_addresses)
    if action.out_key is None:
        assert action.in_key is not None  # or it would be a mistake
        write_over(action.out_req, make_request(subject, names, read_private_key(action.in_key)))
        return
    refuse_existing(action.out_key)
    key = new_key(action.new_bits)
    with new_private_key(action.out_key, key):
        write_over(action.out_req, make_request(subject, names, key))


def _sign_request(action: CertSignReq) -> None:
    now = datetime.now(UTC)
    authority = read_authority(action.ca_cert, action.ca_key, now)
    read = read_signing_request(action.request)  # Once: what the operator sees is what is signed.
    request = checked_request(action.request, read)
    valid = validity(now, action.not_before, action.not_after or end_under(authority, now))
    if not action.verified:
        _ask(action.request, read)
    write_over(action.out_cert, certify(authority, request, valid))


def _ask(path: Path, request: CertificateSigningRequest) -> None:
    """Let the operator decide about a request; raises OperatingError unless the answer is yes."""
    facts = [f"  {label:10}  {value}" for label, value in request_facts(path, request)]
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError(
            f"{path}: without a terminal nobody can be asked whether to sign this request; look at it with "
            f"'receptor certs show {path}', and if all names in it are right, add verify=true to cert-signreq"
        )
    print(f"{path}:", *facts, sep="\n")
    try:
        answer = input("Sign it, so that its owner is trusted under these names (yes/no)? ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise OperatingError(f"{path}: the request is not signed, since the answer was not 'yes'")
