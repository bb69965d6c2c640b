from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from receptor.certificates.making import Authority, Validity, common_name, make_authority


@pytest.fixture(scope="session")
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def day(now: datetime) -> Validity:
    return Validity(now - timedelta(hours=1), now + timedelta(days=1))


@pytest.fixture(scope="session")
def authority(rsa_key: rsa.RSAPrivateKey, day: Validity) -> Authority:
    return make_authority(common_name("test CA"), rsa_key, day)
