from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from receptor.certificates.describing import certificate_facts, name_text, request_facts
from receptor.certificates.making import Authority, Validity, common_name, make_authority, make_request
from receptor.certificates.node_names import NODE_ID, node_name
from receptor.errors import ConfigurationError

RECORDED = Path(__file__).parents[1] / "data" / "certs" / "foo.crt"
FILE = Path("some.crt")


def test_an_existing_certificate() -> None:
    certificate = x509.load_pem_x509_certificate(RECORDED.read_bytes())
    now = datetime.fromisoformat("2026-11-24T18:00:00Z")
    assert certificate_facts(RECORDED, certificate, now) == [
        ("certificate of", "a node or a client"),
        ("subject", "CN=foo test"),
        ("issuer", "CN=test CA"),
        ("name", "DNS name foo.example.com"),
        ("name", "IP address 127.0.0.1"),
        ("name", "node id foo"),
        ("name", "node id foo-alias"),
        ("valid", "2026-11-23T18:24:14Z until 2027-11-23T18:24:14Z (364 days more)"),
        ("key", "RSA, 2048 bits"),
        ("SHA-256", hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()),
    ]


def test_an_authority(authority: Authority, now: datetime) -> None:
    facts = certificate_facts(FILE, authority.certificate, now)
    assert facts[0] == ("certificate of", "an authority")
    assert "name" not in dict(facts)


def test_whether_a_certificate_is_valid_now(authority: Authority, day: Validity) -> None:
    def told(now: datetime) -> str:
        return dict(certificate_facts(FILE, authority.certificate, now))["valid"]

    assert told(day.end + timedelta(seconds=1)).endswith(": EXPIRED")
    assert told(day.begin - timedelta(seconds=1)).endswith(": NOT YET VALID")


def test_a_request(ec_key: ec.EllipticCurvePrivateKey) -> None:
    made = make_request(common_name("foo"), [node_name("foo")], ec_key)
    assert request_facts(FILE, made) == [
        ("request of", "a node or a client"),
        ("subject", "CN=foo"),
        ("name", "node id foo"),
        ("key", "EC, secp256r1"),
        ("signature", "right"),
    ]


def test_a_request_that_was_changed(ec_key: ec.EllipticCurvePrivateKey) -> None:
    made = make_request(common_name("foo"), [node_name("foo")], ec_key).public_bytes(Encoding.DER)
    forged = x509.load_der_x509_csr(made.replace(b"\x0c\x03foo", b"\x0c\x03bar"))
    assert dict(request_facts(FILE, forged))["signature"].startswith("WRONG")


def test_other_kinds_of_keys(day: Validity, now: datetime) -> None:
    made = make_authority(common_name("test CA"), ed25519.Ed25519PrivateKey.generate(), day)
    assert dict(certificate_facts(FILE, made.certificate, now))["key"] == "Ed25519"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (node_name("käse:1"), "node id käse:1"),
        (node_name("foo\x1b[2J"), "node id 'foo\\x1b[2J'"),
        (node_name("foo\u202eoof"), "node id 'foo\\u202eoof'"),
        (x509.IPAddress(ip_address("::1")), "IP address ::1"),
        (x509.RFC822Name("foo@example.com"), "mail address foo@example.com"),
        (x509.UniformResourceIdentifier("spiffe://foo"), "URI spiffe://foo"),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")), "RegisteredID 1.2.3.4"),
        (x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01x"), "OtherName of type 1.2.3"),
        (x509.DirectoryName(common_name("foo")), "DirectoryName CN=foo"),
    ],
)
def test_every_name_can_be_shown_on_a_terminal(name: x509.GeneralName, text: str) -> None:
    assert name_text(name) == text


def test_malformed_names_are_told_with_the_file(ec_key: ec.EllipticCurvePrivateKey) -> None:
    made = make_request(common_name("foo"), [x509.OtherName(NODE_ID, b"\x05\x00")], ec_key)
    with pytest.raises(ConfigurationError, match=r"^some.crt: a node id in it is not a UTF8String; .* made anew$"):
        request_facts(FILE, made)
