from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from receptor.node.credentials import insecure_credentials


def test_dialers_find_the_name_of_the_unsecured_and_a_key_that_fits() -> None:
    credentials = insecure_credentials()
    certificate = x509.load_pem_x509_certificate(credentials.certificate)
    (name,) = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert name.value == "netceptor-insecure-common-name"
    public_keys = (certificate.public_key(), load_pem_private_key(credentials.key, password=None).public_key())
    assert len({key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in public_keys}) == 1
    certificate.verify_directly_issued_by(certificate)


def test_it_is_valid_now_even_where_clocks_differ_and_as_long_as_a_node_may_run() -> None:
    certificate = x509.load_pem_x509_certificate(insecure_credentials().certificate)
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc <= now - timedelta(seconds=50)
    assert certificate.not_valid_after_utc > now + timedelta(days=3000)


def test_each_run_has_a_key_of_its_own() -> None:
    assert insecure_credentials().key != insecure_credentials().key
