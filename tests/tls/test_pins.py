from __future__ import annotations

from hashlib import sha256

import pytest
from certificates_bench import Authority

from receptor.errors import PeerError
from receptor.tls.pins import check_pins

ISSUED = Authority().issue(node_ids=["foo"])
OTHER = bytes(32)


def test_without_pins_every_certificate_passes() -> None:
    check_pins(ISSUED.der[0], frozenset())


@pytest.mark.parametrize("pin", [ISSUED.sha256, ISSUED.sha512], ids=["SHA-256", "SHA-512"])
def test_a_pinned_certificate_passes(pin: bytes) -> None:
    check_pins(ISSUED.der[0], {pin})
    check_pins(ISSUED.der[0], {OTHER, pin})


@pytest.mark.parametrize("pin", [OTHER, bytes(64), ISSUED.sha512[:32]], ids=["another", "nothing", "half"])
def test_another_is_refused_with_what_to_pin(pin: bytes) -> None:
    with pytest.raises(PeerError, match=sha256(ISSUED.der[0]).hexdigest()[-2:]) as refused:
        check_pins(ISSUED.der[0], {pin})
    assert str(refused.value).replace(":", "").endswith(ISSUED.sha256.hex())
