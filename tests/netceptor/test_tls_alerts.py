from __future__ import annotations

import pytest
from qh3.tls import AlertDescription

from receptor.netceptor.tls_alerts import ALERTS, told_by_far_end, told_by_us


@pytest.mark.parametrize(
    ("alert", "text"),
    [
        (42, "it does not accept the certificate of this node; its log says why (alert 42)"),
        (45, "it does not accept the certificate of this node, which has expired or is not valid yet (alert 45)"),
        (116, "it wants a certificate, and this node has shown none (alert 116)"),
        (80, "internal error (alert 80)"),
        (255, "it gave no known reason (alert 255)"),
    ],
)
def test_alerts_of_the_far_end_are_told_in_words(alert: int, text: str) -> None:
    assert told_by_far_end(0x100 + alert) == f"the far end gave up the TLS handshake: {text}"


def test_our_own_refusals_give_their_reason_or_at_least_their_kind() -> None:
    code = ALERTS.start + AlertDescription.decrypt_error
    assert told_by_us(code, "no proof") == "the far end broke the TLS handshake: no proof"
    assert told_by_us(code, "") == "the far end broke the TLS handshake: decrypt error"
