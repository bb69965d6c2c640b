"""The certificate that unsecured stream services of this run present (mesh protocol, section 6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from receptor.netceptor.quic import INSECURE_COMMON_NAME
from receptor.netceptor.stream_security import ListenerSecurity


def insecure_credentials() -> ListenerSecurity:
    """A fresh self-signed certificate whose common name tells dialers that nothing vouches for it.

    Existing nodes make an RSA key here; dialers look only at the name. A P-256 key is made in a hundredth of the
    time and halves the cost of each handshake.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, INSECURE_COMMON_NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return ListenerSecurity(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
