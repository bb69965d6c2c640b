from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.verification import PolicyBuilder, Store

from receptor.certificates.making import (
    Authority,
    PrivateKey,
    Request,
    Validity,
    certify,
    common_name,
    end_under,
    make_authority,
    make_request,
    new_key,
    validity,
)
from receptor.certificates.node_names import alternative_names, alternative_names_of, node_ids
from receptor.errors import ConfigurationError

NAMES = alternative_names_of(["foo", "edge:1"], ["foo.example.com", "localhost"], [ip_address("127.0.0.1")])


def certified(authority: Authority, key: PrivateKey, valid: Validity) -> x509.Certificate:
    return certify(authority, Request(common_name("foo"), key.public_key(), NAMES), valid)


def write_pem(path: Path, *made: x509.Certificate | PrivateKey) -> Path:
    parts = [
        one.public_bytes(Encoding.PEM)
        if isinstance(one, x509.Certificate)
        else one.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for one in made
    ]
    path.write_bytes(b"".join(parts))
    return path


@pytest.fixture(params=["RSA", "EC", "Ed25519"])
def key(request: pytest.FixtureRequest, rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey) -> PrivateKey:
    keys: dict[str, PrivateKey] = {"RSA": rsa_key, "EC": ec_key, "Ed25519": ed25519.Ed25519PrivateKey.generate()}
    return keys[request.param]


def test_new_keys_have_the_bits_that_were_asked_for() -> None:
    assert new_key(2048).key_size == 2048


def test_a_certificate_has_all_names_of_its_request(authority: Authority, ec_key: PrivateKey, day: Validity) -> None:
    made = certified(authority, ec_key, day)
    assert alternative_names(made) == NAMES
    assert node_ids(made) == ("edge:1", "foo")
    assert made.subject == common_name("foo")
    assert made.issuer == authority.certificate.subject


def test_serial_numbers_are_long_and_never_the_same(authority: Authority, ec_key: PrivateKey, day: Validity) -> None:
    numbers = {certified(authority, ec_key, day).serial_number for _ in range(10)}
    assert len(numbers) == 10
    assert max(numbers).bit_length() > 128
    assert all(0 < number < 2**159 for number in numbers)


def test_validity_is_as_given(authority: Authority, ec_key: PrivateKey, day: Validity) -> None:
    made = certified(authority, ec_key, day)
    assert (made.not_valid_before_utc, made.not_valid_after_utc) == (day.begin, day.end)


def test_a_request_proves_its_key_and_has_its_names(key: PrivateKey) -> None:
    request = make_request(common_name("foo"), NAMES, key)
    assert request.is_signature_valid
    assert alternative_names(request) == NAMES


def test_a_request_may_be_without_names(ec_key: PrivateKey) -> None:
    assert list(make_request(common_name("foo"), [], ec_key).extensions) == []


def test_a_long_name_is_cut() -> None:
    assert common_name("n" * 200).rfc4514_string() == "CN=" + "n" * 64


# Who verifies them


@pytest.mark.parametrize("key", ["RSA", "EC"], indirect=True)  # it knows no Ed25519, as it is for the web
def test_the_strict_verifier_of_cryptography_accepts_them(key: PrivateKey, day: Validity, now: datetime) -> None:
    authority = make_authority(common_name("test CA"), key, day)
    made = certified(authority, key, day)
    policy = PolicyBuilder().store(Store([authority.certificate])).time(now)
    assert policy.build_server_verifier(x509.DNSName("foo.example.com")).verify(made, [])
    assert policy.build_server_verifier(x509.IPAddress(ip_address("127.0.0.1"))).verify(made, [])
    assert policy.build_client_verifier().verify(made, []).chain


def test_both_ends_of_a_strict_tls_handshake_accept_them(tmp_path: Path, key: PrivateKey, day: Validity) -> None:
    authority = make_authority(common_name("test CA"), key, day)
    trusted = write_pem(tmp_path / "ca.crt", authority.certificate)
    own = write_pem(tmp_path / "foo.pem", certified(authority, key, day), key)
    shown = handshake(context(ssl.PROTOCOL_TLS_SERVER, own, trusted), context(ssl.PROTOCOL_TLS_CLIENT, own, trusted))
    assert all(node_ids(x509.load_der_x509_certificate(one)) == ("edge:1", "foo") for one in shown)


def context(protocol: int, own: Path, trusted: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_cert_chain(own)
    made.load_verify_locations(trusted)
    return made


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> list[bytes]:
    """The certificates that each side has seen and accepted."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(sides)
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    return [side.getpeercert(binary_form=True) or b"" for side in sides]


def test_an_authority_of_existing_nodes_is_pointed_to_by_its_own_identifier(day: Validity, ec_key: PrivateKey) -> None:
    """Whatever its subject key identifier was made of: here SHA-256, as newer tools do."""
    certificate = x509.load_pem_x509_certificate((Path(__file__).parents[1] / "data" / "certs" / "ca.crt").read_bytes())
    made = certified(Authority(certificate, ec_key), ec_key, day)
    theirs = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    ours = made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert ours.key_identifier == theirs.digest


# From when until when


def test_certificates_begin_a_little_before_now_for_machines_whose_clocks_lag(now: datetime) -> None:
    found = validity(now, None, now + timedelta(days=2))
    assert timedelta() < now - found.begin <= timedelta(hours=1)
    assert found.end == now + timedelta(days=2)


def test_what_would_never_be_valid_is_refused(now: datetime) -> None:
    with pytest.raises(ConfigurationError, match="give 'notbefore' a time before 'notafter'"):
        validity(now, None, now - timedelta(days=2))
    with pytest.raises(ConfigurationError, match="can't be valid from"):
        validity(now, now, now)


def test_a_node_s_certificate_ends_with_its_authority(authority: Authority, now: datetime) -> None:
    assert end_under(authority, now) == authority.certificate.not_valid_after_utc
    assert end_under(authority, now, timedelta(hours=2)) == now + timedelta(hours=2)
