from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from receptor.certificates.node_names import NODE_ID, alternative_names, node_ids, node_name

RECORDED = Path(__file__).parents[1] / "data" / "certs"
OTHER_TYPE = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
ALTERNATIVE_NAMES = x509.SubjectAlternativeName.oid


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(*extensions: x509.ExtensionType) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key().public_key(), serial_number=1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key(), hashes.SHA256())


def certificate_for(*names: x509.GeneralName) -> x509.Certificate:
    return certificate(x509.SubjectAlternativeName(names))


def test_existing_certificates_are_read() -> None:
    foo = x509.load_pem_x509_certificate((RECORDED / "foo.crt").read_bytes())
    assert node_ids(foo) == ("foo", "foo-alias")


def test_an_authority_has_no_node_ids() -> None:
    ca = x509.load_pem_x509_certificate((RECORDED / "ca.crt").read_bytes())
    assert node_ids(ca) == ()


@pytest.mark.parametrize("length", [1, 112, 113, 127, 128, 200, 255, 256, 1024])
def test_ids_of_every_length_come_back(length: int) -> None:
    assert node_ids(certificate_for(node_name("n" * length))) == ("n" * length,)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300), min_size=1, max_size=4))
def test_every_text_comes_back(ids: list[str]) -> None:
    assert node_ids(certificate_for(*map(node_name, ids))) == tuple(ids)


def test_requests_are_read_too() -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    names = x509.SubjectAlternativeName([node_name("edge:1"), node_name("käse")])
    request = builder.add_extension(names, critical=False).sign(key(), hashes.SHA256())
    assert node_ids(request) == ("edge:1", "käse")


def test_other_names_are_left_out() -> None:
    named = certificate_for(
        x509.DNSName("foo.example.com"),
        x509.OtherName(OTHER_TYPE, b"\x0c\x03bar"),
        x509.OtherName(OTHER_TYPE, b"\x05\x00"),
        node_name("foo"),
        x509.IPAddress(ip_address("127.0.0.1")),
    )
    assert node_ids(named) == ("foo",)
    assert len(alternative_names(named)) == 5


@pytest.mark.parametrize("tag", [b"\x13", b"\x16"], ids=["PrintableString", "IA5String"])
def test_ids_that_other_tools_wrote_in_ascii_are_read(tag: bytes) -> None:
    assert node_ids(certificate_for(x509.OtherName(NODE_ID, tag + b"\x03foo"))) == ("foo",)


@pytest.mark.parametrize(
    "value",
    [b"\x05\x00", b"\x02\x01\x07", b"\x04\x03foo", b"\x0c\x02\xff\xfe", b"\x13\x02\xc3\xa4", b"\x30\x05\x0c\x03foo"],
    ids=["null", "number", "bytes", "no UTF-8", "no ASCII", "nested"],
)
def test_an_id_that_is_no_text_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="a node id in it is not"):
        node_ids(certificate_for(node_name("foo"), x509.OtherName(NODE_ID, value)))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x05\x00",
        b"\x30\x03\xa0\x01",
        b"\x30\x02\xa3\x00",
        # What the existing daemon requests for an id of more than 112 bytes: a length in the wrong place.
        b"\x30\x81\x84\xa0\x81\x81\x80\x06\x09\x2b\x06\x01\x04\x01\x92\x08\x13\x01\xa0\x73\x0c\x71" + b"n" * 113,
    ],
    ids=["nothing", "no list", "cut off", "X.400", "misplaced length"],
)
def test_names_that_are_malformed_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="its names and other extensions are malformed"):
        node_ids(certificate(x509.UnrecognizedExtension(ALTERNATIVE_NAMES, value)))


@given(st.binary(max_size=40))
def test_noise_is_read_or_refused(value: bytes) -> None:
    try:
        found = node_ids(certificate(x509.UnrecognizedExtension(ALTERNATIVE_NAMES, value)))
    except ValueError:
        return
    assert all(isinstance(one, str) for one in found)
