from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from receptor.config.certificate_actions import (
    BITS,
    COMMON_NAME,
    DATE,
    DNS_NAME,
    DNS_NAMES,
    IP_ADDRESS,
    IP_ADDRESSES,
    NODE_IDS,
    CertificateAction,
    CertInit,
    CertMakeReq,
    CertSignReq,
)
from receptor.config.keys import keys_of
from receptor.config.kind import Kind, Written

CA = CertInit("our mesh", 2048, Path("ca.crt"), Path("ca.key"))
REQUEST = CertMakeReq("foo", Path("foo.req"), out_key=Path("foo.key"))
SIGN = CertSignReq(Path("foo.req"), Path("ca.crt"), Path("ca.key"), Path("foo.crt"))


@pytest.mark.parametrize(
    ("action", "required", "others"),
    [
        (CertInit, {"commonname", "bits", "outcert", "outkey"}, {"notbefore", "notafter"}),
        (CertMakeReq, {"commonname", "outreq"}, {"bits", "dnsname", "ipaddress", "nodeid", "inkey", "outkey"}),
        (CertSignReq, {"req", "cacert", "cakey", "outcert"}, {"notbefore", "notafter", "verify"}),
    ],
)
def test_the_keys_are_those_of_existing_nodes(
    action: type[CertificateAction], required: set[str], others: set[str]
) -> None:
    keys = keys_of(action)
    assert {key.name for key in keys if key.required} == required
    assert {key.name for key in keys if not key.required} == others
    assert all(key.help.endswith(".") and len(key.help) < 80 for key in keys)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (COMMON_NAME, "our mesh", "our mesh"),
        (COMMON_NAME, "n" * 64, "n" * 64),
        (BITS, "2048", 2048),
        (BITS, "8192", 8192),
        (DATE, "2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        (DATE, "2030-01-31t12:00:00.75z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        (DATE, "2030-01-31T12:00:00+02:00", datetime(2030, 1, 31, 10, tzinfo=UTC)),
        (DNS_NAME, "foo", "foo"),
        (DNS_NAME, "*.Foo-1.example.com", "*.Foo-1.example.com"),
        (DNS_NAME, "xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        (IP_ADDRESS, "192.0.2.1", ip_address("192.0.2.1")),
        (IP_ADDRESS, "2001:db8::1", ip_address("2001:db8::1")),
        (DNS_NAMES, ["a", "b.c"], frozenset({"a", "b.c"})),
        (IP_ADDRESSES, "::1", frozenset({ip_address("::1")})),
        (NODE_IDS, '["foo", "edge:1", "käse"]', frozenset({"foo", "edge:1", "käse"})),
        (NODE_IDS, "n" * 200, frozenset({"n" * 200})),
    ],
)
def test_values_are_read(kind: Kind, text: Written, value: object) -> None:
    assert kind.value(text) == value


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (COMMON_NAME, ["", "n" * 65, "a\tb", "a\x1bb"]),
        (BITS, ["0", "1024", "2047", "8193", "-2048", "2048.0", "٢٠٤٨", "99999999999", ""]),
        (
            DATE,
            [
                *(
                    "",
                    "tomorrow",
                    "2030",
                    "2030-01-31",
                    "2030-01-31 12:00:00Z",
                    "2030-01-31T12:00:00",
                    "20300131T120000Z",
                ),
                *("2030-02-31T12:00:00Z", "2030-01-31T25:00:00Z", "1949-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"),
                *("2030-01-31T12:00Z", "2030-01-31T12:00:00+99:00"),
            ],
        ),
        (DNS_NAME, ["", "a b", "-a", "a-", "a..b", ".a", "a.", "münchen.example", "a.*.b", "*", "n" * 64, "a." * 127]),
        (IP_ADDRESS, ["", "256.0.0.1", "localhost", "192.0.2.0/24", "fe80::1%eth0", "1"]),
        (NODE_IDS, ["", "localhost", "LOCALHOST", "a/b", "a b", "a\nb"]),
    ],
)
def test_what_is_no_such_value_is_refused(kind: Kind, texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ValueError):
            kind.value(text)


def test_dates_are_shown_as_they_are_read() -> None:
    assert DATE.write(DATE.value("2030-01-31T12:00:00+02:00")) == "2030-01-31T10:00:00Z"


@pytest.mark.parametrize("action", [CA, REQUEST, SIGN])
def test_nothing_is_wrong_with_good_actions(action: CertificateAction) -> None:
    assert list(action.mistakes()) == []


LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("action", "mistake"),
    [
        (replace(CA, out_key=CA.out_cert), "cert-init needs two files: 'outcert' and 'outkey' are the same"),
        (replace(CA, not_before=LATER, not_after=LATER), "cert-init has a 'notafter' that is not later"),
        (replace(REQUEST, out_key=None), "cert-makereq needs 'outkey', a file for a new private key, or 'inkey'"),
        (replace(REQUEST, in_key=Path("old.key")), "cert-makereq takes the key in 'inkey' or makes a new one"),
        (replace(REQUEST, out_key=None, in_key=Path("old.key"), bits=2048), "cert-makereq can't choose the 'bits'"),
        (replace(REQUEST, out_key=REQUEST.out_req), "cert-makereq needs two files: 'outreq' is the same"),
        (replace(SIGN, out_cert=SIGN.ca_key), "cert-signreq needs a file of its own for 'outcert'"),
        (replace(SIGN, not_before=LATER, not_after=LATER), "cert-signreq has a 'notafter' that is not later"),
    ],
)
def test_keys_that_do_not_go_together(action: CertificateAction, mistake: str) -> None:
    (told,) = action.mistakes()
    assert told.startswith(mistake)


def test_a_new_key_has_2048_bits_unless_said_otherwise() -> None:
    assert REQUEST.new_bits == 2048
    assert replace(REQUEST, bits=4096).new_bits == 4096
