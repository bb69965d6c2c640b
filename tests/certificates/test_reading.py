from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from receptor.certificates.making import (
    Authority,
    PrivateKey,
    Request,
    Validity,
    certify,
    common_name,
    make_request,
)
from receptor.certificates.node_names import node_name
from receptor.certificates.reading import (
    checked_request,
    holds_request,
    is_authority,
    read_authority,
    read_certificates,
    read_private_key,
    read_signing_request,
)
from receptor.errors import ConfigurationError

RECORDED = Path(__file__).parents[1] / "data" / "certs"
RECORDED_AT = datetime.fromisoformat("2026-11-24T00:00:00Z")


def private_pem(
    key: PrivateKey | dsa.DSAPrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Private keys


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_keys_of_either_form_are_read(tmp_path: Path, rsa_key: rsa.RSAPrivateKey, form: PrivateFormat) -> None:
    path = tmp_path / "foo.key"
    path.write_bytes(private_pem(rsa_key, form))
    assert private_pem(read_private_key(path)) == private_pem(rsa_key)


def test_a_key_is_found_beside_certificates(tmp_path: Path, ec_key: ec.EllipticCurvePrivateKey) -> None:
    path = tmp_path / "foo.pem"
    path.write_bytes((RECORDED / "foo.crt").read_bytes() + private_pem(ec_key))
    assert private_pem(read_private_key(path)) == private_pem(ec_key)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_with_a_password_is_told(tmp_path: Path, rsa_key: rsa.RSAPrivateKey, form: PrivateFormat) -> None:
    path = tmp_path / "foo.key"
    path.write_bytes(private_pem(rsa_key, form, BestAvailableEncryption(b"secret")))
    assert refusal(lambda: read_private_key(path)) == (
        f"{path}: the private key has a password; write one without: openssl pkey -in {path} -out NEW"
    )


def test_several_keys_are_refused(tmp_path: Path, ec_key: ec.EllipticCurvePrivateKey) -> None:
    path = tmp_path / "foo.key"
    path.write_bytes(private_pem(ec_key) * 2)
    assert refusal(lambda: read_private_key(path)).startswith(f"{path}: there are 2 PEM private keys in the file")


def test_a_damaged_key_is_told_without_its_text(tmp_path: Path) -> None:
    path = tmp_path / "foo.key"
    path.write_text("-----BEGIN PRIVATE KEY-----\nbm9uc2Vuc2U=\n-----END PRIVATE KEY-----\n")
    assert refusal(lambda: read_private_key(path)) == (
        f"{path}: the private key is damaged or of an unknown kind; make a new one"
    )


def test_weak_keys_and_keys_that_are_not_for_tls_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foo.key"
    path.write_bytes(private_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)))
    assert "a key of 1024 bits is too weak, 2048 are needed" in refusal(lambda: read_private_key(path))
    path.write_bytes(private_pem(dsa.generate_private_key(1024)))
    assert "of a kind that can't sign for TLS" in refusal(lambda: read_private_key(path))


@pytest.mark.parametrize("read", [read_private_key, read_certificates, read_signing_request])
def test_every_file_is_named_that_is_not_what_it_should_be(tmp_path: Path, read: Callable[[Path], object]) -> None:
    missing, large, noise = tmp_path / "missing", tmp_path / "large", tmp_path / "noise"
    large.write_bytes(bytes(1024 * 1024 + 1))
    noise.write_bytes(b"\xff\x00 no PEM")
    assert refusal(lambda: read(missing)).startswith(f"{missing}: there is no such file for the ")
    assert refusal(lambda: read(tmp_path)).startswith(f"{tmp_path}: the ")
    assert "Is a directory" in refusal(lambda: read(tmp_path))
    assert refusal(lambda: read(large)).startswith(f"{large}: the file is far too large for a ")
    assert refusal(lambda: read(noise)).startswith(f"{noise}: there ")


# Authorities


@dataclass
class Files:
    """An authority's files, which tests spoil."""

    certificate: Path
    key: Path

    def write(self, certificate: x509.Certificate, key: PrivateKey) -> None:
        self.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        self.key.write_bytes(private_pem(key))


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> Files:
    made = Files(tmp_path / "ca.crt", tmp_path / "ca.key")
    made.write(authority.certificate, authority.key)
    return made


def test_an_authority_is_read(files: Files, authority: Authority, now: datetime) -> None:
    found = read_authority(files.certificate, files.key, now)
    assert found.certificate == authority.certificate
    assert private_pem(found.key) == private_pem(authority.key)


def test_existing_authorities_and_nodes_are_told_apart() -> None:
    (ca,) = read_certificates(RECORDED / "ca.crt")
    (foo,) = read_certificates(RECORDED / "foo.crt")
    assert is_authority(RECORDED / "ca.crt", ca)
    assert not is_authority(RECORDED / "foo.crt", foo)


def test_the_key_of_another_authority_is_refused(files: Files, ec_key: PrivateKey, now: datetime) -> None:
    files.key.write_bytes(private_pem(ec_key))
    said = refusal(lambda: read_authority(files.certificate, files.key, now))
    assert said == f"{files.key}: this key does not belong to the certificate {files.certificate}"


def test_a_node_can_t_sign(files: Files) -> None:
    said = refusal(lambda: read_authority(RECORDED / "foo.crt", files.key, RECORDED_AT))
    assert "this certificate is not an authority's" in said


def test_an_expired_authority_signs_nothing_more(files: Files, authority: Authority) -> None:
    later = authority.certificate.not_valid_after_utc
    assert "the authority expired at" in refusal(lambda: read_authority(files.certificate, files.key, later))


def test_of_several_authorities_none_is_guessed(files: Files, now: datetime) -> None:
    files.certificate.write_bytes(files.certificate.read_bytes() * 2)
    assert "there are several certificates" in refusal(lambda: read_authority(files.certificate, files.key, now))


def test_an_authority_without_key_usage_may_sign(
    files: Files, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    day = Validity(now, now + timedelta(days=1))
    builder = x509.CertificateBuilder(
        issuer_name=common_name("old CA"),
        subject_name=common_name("old CA"),
        public_key=ec_key.public_key(),
        serial_number=1,
        not_valid_before=day.begin,
        not_valid_after=day.end,
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    files.write(builder.sign(ec_key, hashes.SHA256()), ec_key)
    found = read_authority(files.certificate, files.key, now)
    made = certify(found, Request(common_name("foo"), ec_key.public_key(), (node_name("foo"),)), day)
    made.verify_directly_issued_by(found.certificate)


# Requests


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    return tmp_path / "foo.req"


def read_request(path: Path) -> Request:
    return checked_request(path, read_signing_request(path))


def write_request(path: Path, key: PrivateKey, *names: x509.GeneralName) -> None:
    path.write_bytes(make_request(common_name("foo"), names, key).public_bytes(Encoding.PEM))


def test_a_request_is_read(request_file: Path, ec_key: PrivateKey) -> None:
    write_request(request_file, ec_key, node_name("foo"), x509.DNSName("foo.example.com"))
    found = read_request(request_file)
    assert found.public_key == ec_key.public_key()
    assert found.names == (node_name("foo"), x509.DNSName("foo.example.com"))
    assert holds_request(request_file)
    assert not holds_request(RECORDED / "foo.crt")


def test_a_request_that_was_changed_is_refused(request_file: Path, ec_key: PrivateKey) -> None:
    made = make_request(common_name("foo"), [node_name("foo")], ec_key)
    forged = made.public_bytes(Encoding.DER).replace(b"\x0c\x03foo", b"\x0c\x03bar")
    request_file.write_bytes(x509.load_der_x509_csr(forged).public_bytes(Encoding.PEM))
    assert "the request's signature is wrong" in refusal(lambda: read_request(request_file))


def test_a_request_without_names_is_refused(request_file: Path, ec_key: PrivateKey) -> None:
    write_request(request_file, ec_key)
    assert "the request has no names" in refusal(lambda: read_request(request_file))


def test_no_node_is_called_localhost(request_file: Path, ec_key: PrivateKey) -> None:
    write_request(request_file, ec_key, node_name("LocalHost"))
    assert "the node id 'localhost'" in refusal(lambda: read_request(request_file))


def test_a_weak_key_is_not_certified(request_file: Path) -> None:
    write_request(request_file, rsa.generate_private_key(public_exponent=65537, key_size=1024), node_name("foo"))
    assert "a key of 1024 bits is too weak" in refusal(lambda: read_request(request_file))


def test_malformed_names_are_refused(request_file: Path, ec_key: ec.EllipticCurvePrivateKey) -> None:
    names = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\xa0\x01\x05")
    builder = x509.CertificateSigningRequestBuilder(common_name("foo")).add_extension(names, critical=False)
    request_file.write_bytes(builder.sign(ec_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    assert "its names and other extensions are malformed" in refusal(lambda: read_request(request_file))
