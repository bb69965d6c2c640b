from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

import pytest
from certificates_bench import (
    CLIENT,
    DAY,
    SERVER,
    Authority,
    Issued,
    Key,
    authority_usage,
    ec_key,
    ed25519_key,
    rsa_key,
    self_signed,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from receptor.certificates.node_names import node_name
from receptor.errors import PeerError
from receptor.tls.authorities import Authorities, SystemAuthorities
from receptor.tls.clock import utc_now
from receptor.tls.peer_check import LARGEST_CHAIN, MOST_CERTIFICATES, PeerRules

RECORDED = Path(__file__).parents[1] / "data" / "certs"
CA = Authority("mesh CA")
CONSTRAINED = x509.BasicConstraints(ca=True, path_length=None)


class Trusting(Authorities):
    """Authorities that are in no file."""

    def __init__(self, *certificates: x509.Certificate) -> None:
        self.certificates = list(certificates)


def check(
    chain: Sequence[bytes],
    node_id: str = "foo",
    trusted: Authority = CA,
    purpose: x509.ObjectIdentifier = SERVER,
    pins: frozenset[bytes] = frozenset(),
) -> None:
    PeerRules(purpose, Trusting(trusted.certificate), pins).check(chain, node_id)


def foo(authority: Authority = CA, *extensions: tuple[x509.ExtensionType, bool], key: Key | None = None) -> Issued:
    return authority.issue(node_ids=["foo"], extensions=extensions, key=key)


def test_a_nodes_certificate_passes() -> None:
    check(foo().der)


@pytest.mark.parametrize("node_id", ["edge:7", "ü", "n" * 200, "a b"])
def test_ids_of_every_kind_pass(node_id: str) -> None:
    check(CA.issue(node_ids=["other", node_id]).der, node_id)


@pytest.mark.parametrize("key", [ec_key(), rsa_key(), ed25519_key()], ids=["EC", "RSA", "Ed25519"])
def test_keys_of_every_kind_pass(key: Key) -> None:
    check(foo(key=key).der)


def test_an_authority_with_an_rsa_key_vouches() -> None:
    authority = Authority(key=rsa_key(4096))
    check(foo(authority).der, trusted=authority)


# Who it is


@pytest.mark.parametrize(
    ("node_ids", "told"),
    [
        ((), "its certificate is for no node, not foo"),
        (("bar",), "its certificate is for node bar, not foo"),
        (("bar", "foo:1"), "its certificate is for nodes bar, foo:1, not foo"),
        (("FOO",), "its certificate is for node FOO, not foo"),
    ],
)
def test_another_node_is_refused(node_ids: tuple[str, ...], told: str) -> None:
    with pytest.raises(PeerError) as refused:
        check(CA.issue(node_ids=node_ids, dns=["foo"], name="foo").der)
    assert str(refused.value) == told


def test_who_shows_nothing_is_refused() -> None:
    with pytest.raises(PeerError, match="it showed no certificate"):
        check([])


def test_what_a_stranger_wrote_stays_on_one_line() -> None:
    odd = Authority("a\nb" + "c" * 60)
    with pytest.raises(PeerError) as refused:
        check(foo(odd).der)
    assert str(refused.value).isprintable()
    with pytest.raises(PeerError) as refused:
        check(CA.issue(node_ids=["a\nb" * 1000]).der)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


# When


def test_an_expired_certificate_is_refused() -> None:
    issued = CA.issue(
        node_ids=["foo"], not_before=datetime(2025, 1, 1, tzinfo=UTC), not_after=datetime(2026, 1, 1, 6, tzinfo=UTC)
    )
    with pytest.raises(PeerError, match="its certificate expired on 2026-01-01 at 06:00 UTC"):
        check(issued.der)


def test_one_of_tomorrow_is_refused() -> None:
    issued = CA.issue(node_ids=["foo"], not_before=datetime.now(UTC) + DAY, not_after=datetime.now(UTC) + 2 * DAY)
    with pytest.raises(PeerError, match=r"its certificate is not valid before .*; compare the clocks"):
        check(issued.der)


def test_one_of_an_expired_authority_is_refused() -> None:
    old = Authority("old", not_before=datetime.now(UTC) - 9 * DAY, not_after=datetime.now(UTC) - DAY)
    with pytest.raises(PeerError, match=r"vouches for its certificate \(issuer CN=old\): cert is not valid at"):
        check(foo(old).der, trusted=old)


# Who vouches for it


@pytest.mark.parametrize("name", ["another CA", "mesh CA"], ids=["of another name", "of the same name"])
def test_one_of_another_authority_is_refused(name: str) -> None:
    with pytest.raises(PeerError, match=rf"nobody whom this node trusts vouches .* \(issuer CN={name}\)"):
        check(foo(Authority(name)).der)


def test_one_that_nobody_vouches_for_is_refused() -> None:
    with pytest.raises(PeerError, match="nobody whom this node trusts"):
        check(self_signed(node_ids=["foo"]).der)


def test_a_trusted_certificate_vouches_for_itself() -> None:
    issued = self_signed(node_ids=["foo"])
    PeerRules(SERVER, Trusting(issued.certificate)).check(issued.der, "foo")


def test_an_authority_between_passes_if_it_is_shown() -> None:
    issued = foo(Authority("between", issuer=CA))
    check(issued.der)
    check([*issued.der, CA.der, foo().der[0]])
    with pytest.raises(PeerError, match=r"\(issuer CN=between\)$"):
        check(issued.der[:1])


def test_an_authority_between_may_be_the_trusted_one() -> None:
    between = Authority("between", issuer=CA)
    check(foo(between).der[:1], trusted=between)


def test_a_node_can_not_vouch_for_others() -> None:
    node = Authority("node", issuer=CA, extensions=[(x509.BasicConstraints(ca=False, path_length=None), True)])
    with pytest.raises(PeerError, match=r"basicConstraints\.cA must be asserted"):
        check(foo(node).der)
    with pytest.raises(PeerError, match=r"basicConstraints\.cA must be asserted"):
        check(foo(node).der, trusted=node)


def test_nor_can_who_is_not_said_to_be_an_authority() -> None:
    with pytest.raises(PeerError, match="nobody whom this node trusts"):
        check(foo(Authority("node", issuer=CA, extensions=[])).der)


def test_nor_can_an_authority_whose_key_is_not_for_that() -> None:
    extensions = [(CONSTRAINED, True), (authority_usage(signs_certificates=False), True)]
    with pytest.raises(PeerError, match="an issuer's key is not meant for certificates"):
        check(foo(Authority(issuer=CA, extensions=extensions)).der)


def test_an_authority_that_may_have_none_under_it() -> None:
    last = Authority("last", path_length=0)
    check(foo(last).der, trusted=last)
    with pytest.raises(PeerError, match="path length"):
        check(foo(Authority("one too many", issuer=last)).der, trusted=last)


def test_an_authority_with_nothing_but_what_makes_it_one() -> None:
    bare = Authority(extensions=[(CONSTRAINED, False)])
    check(foo(bare).der, trusted=bare)


def test_a_changed_certificate_is_refused() -> None:
    issued = foo()
    changed = issued.der[0].replace(b"\x0c\x03foo", b"\x0c\x03bar")
    with pytest.raises(PeerError, match="signature"):
        check([changed], "bar")


# What for


@pytest.mark.parametrize("usages", [(), (SERVER,), (CLIENT, SERVER), (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)])
def test_a_certificate_for_servers_passes(usages: tuple[x509.ObjectIdentifier, ...]) -> None:
    check(CA.issue(node_ids=["foo"], usages=usages).der, purpose=SERVER)


@pytest.mark.parametrize(
    ("has", "wanted", "told"), [(CLIENT, SERVER, "servers"), (SERVER, CLIENT, "clients")], ids=["client", "server"]
)
def test_a_certificate_for_something_else_is_refused(
    has: x509.ObjectIdentifier, wanted: x509.ObjectIdentifier, told: str
) -> None:
    with pytest.raises(PeerError, match=f"its certificate is not meant for {told}"):
        check(CA.issue(node_ids=["foo"], usages=[has]).der, purpose=wanted)


def test_an_authority_for_clients_can_not_vouch_for_servers() -> None:
    extensions = [(CONSTRAINED, True), (x509.ExtendedKeyUsage([CLIENT]), False)]
    authority = Authority(extensions=extensions)
    check(foo(authority).der, trusted=authority, purpose=CLIENT)
    with pytest.raises(PeerError, match="an issuer may not vouch for servers"):
        check(foo(authority).der, trusted=authority, purpose=SERVER)


def test_a_key_that_is_not_for_signatures_is_refused() -> None:
    with pytest.raises(PeerError, match="key is not meant for signatures"):
        check(foo(CA, (authority_usage(), True)).der)


def test_a_demand_that_nobody_understands_is_refused() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    check(foo(CA, (unknown, False)).der)
    with pytest.raises(PeerError, match="critical extensions"):
        check(foo(CA, (unknown, True)).der)


def test_names_that_an_authority_may_not_vouch_for_are_refused() -> None:
    constraints = x509.NameConstraints([x509.DNSName("in.example")], None)
    authority = Authority(extensions=[(CONSTRAINED, True), (constraints, True)])
    check(authority.issue(node_ids=["foo"], dns=["a.in.example"]).der, trusted=authority)
    with pytest.raises(PeerError, match="name constraints"):
        check(authority.issue(node_ids=["foo"], dns=["out.example"]).der, trusted=authority)


def test_constraints_of_node_ids_are_not_passed_over() -> None:
    constraints = x509.NameConstraints([node_name("bar")], None)
    authority = Authority(extensions=[(CONSTRAINED, True), (constraints, True)])
    with pytest.raises(PeerError, match="name constraint"):
        check(foo(authority).der, trusted=authority)


# Pins


@pytest.mark.parametrize("which", ["sha256", "sha512"])
def test_pins_come_on_top(which: str) -> None:
    issued, other = foo(), foo()
    pin = {"sha256": issued.sha256, "sha512": issued.sha512}[which]
    check(issued.der, pins=frozenset([pin]))
    with pytest.raises(PeerError, match=r"it has sha256 ..:"):
        check(other.der, pins=frozenset([pin]))
    with pytest.raises(PeerError, match="is for node foo, not bar"):
        check(issued.der, "bar", pins=frozenset([pin]))


def test_without_authorities_only_pins_count() -> None:
    issued = self_signed(node_ids=["foo"])
    PeerRules(SERVER, None).check(issued.der, "bar")
    PeerRules(SERVER, None, frozenset([issued.sha256])).check(issued.der, "bar")
    with pytest.raises(PeerError, match="pinned"):
        PeerRules(SERVER, None, frozenset([bytes(32)])).check(issued.der, "foo")


# The system's authorities


def test_those_of_the_system_vouch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CA.write(tmp_path)))
    rules = PeerRules(SERVER, SystemAuthorities())
    rules.check(foo().der, "foo")
    with pytest.raises(PeerError, match="nobody whom this node trusts"):
        rules.check(foo(Authority("other")).der, "foo")


def test_a_system_that_trusts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(PeerError, match="this node's system trusts nobody"):
        PeerRules(SERVER, SystemAuthorities()).check(foo().der, "foo")


# Existing nodes' certificates


@pytest.mark.parametrize("node_id", ["foo", "foo-alias"])
@pytest.mark.parametrize("purpose", [SERVER, CLIENT], ids=["server", "client"])
def test_recorded_certificates_pass(node_id: str, purpose: x509.ObjectIdentifier) -> None:
    rules = PeerRules(purpose, Authorities(RECORDED / "ca.crt"), now=lambda: datetime(2027, 1, 1, tzinfo=UTC))
    recorded = x509.load_pem_x509_certificate((RECORDED / "foo.crt").read_bytes()).public_bytes(Encoding.DER)
    rules.check([recorded], node_id)
    with pytest.raises(PeerError, match="is for nodes foo, foo-alias, not bar"):
        rules.check([recorded], "bar")


# Hostile company


def test_a_chain_is_bounded() -> None:
    issued = foo()
    check([*issued.der, *[CA.der] * (MOST_CERTIFICATES - 1)])
    with pytest.raises(PeerError, match=f"more certificates than anybody needs .{MOST_CERTIFICATES + 1};"):
        check([*issued.der, *[CA.der] * MOST_CERTIFICATES])
    with pytest.raises(PeerError, match="more certificates than anybody needs"):
        check([*issued.der, bytes(LARGEST_CHAIN)])


@pytest.mark.parametrize("keys", [1, MOST_CERTIFICATES - 1], ids=["one key", "many keys"])
def test_a_maze_of_authorities_costs_little(keys: int) -> None:
    owned = [ec_key() for _ in range(keys)]
    maze = [Authority("maze", key=owned[number % keys]) for number in range(MOST_CERTIFICATES - 1)]
    chain = [*foo(maze[0]).der, *(one.der for one in maze)]
    begin = process_time()
    with pytest.raises(PeerError):
        check(chain)
    assert process_time() - begin < 0.1


@pytest.mark.parametrize("noise", [b"", b"\x30", b"\x30\x80", b"\x00" * 100])
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(PeerError, match="a certificate of it is malformed"):
        check([noise])
    with pytest.raises(PeerError, match="a certificate of it is malformed"):
        check([*foo().der, noise])


CHAIN = foo(Authority("between", issuer=CA), (x509.NameConstraints([x509.DNSName("a")], None), True)).der


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.sampled_from([0, 1]), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_certificates_never_raise_anything_else(which: int, changes: list[tuple[int, int]]) -> None:
    chain = [bytearray(one) for one in CHAIN]
    for place, byte in changes:
        chain[which][place % len(chain[which])] = byte
    with suppress(PeerError):
        check([bytes(one) for one in chain])


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.binary(max_size=300), st.integers(0, 400))
def test_nor_do_foreign_extensions(value: bytes, number: int) -> None:
    """Those with a meaning among them, with noise for it."""
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"2.5.29.{number}"), value)
    try:
        issued = CA.issue(node_ids=["foo"] if number != 17 else [], usages=[], extensions=[(odd, False)])
    except ValueError:
        return  # One that is there already.
    with suppress(PeerError):
        check(issued.der)


def test_the_clock_is_that_of_the_system() -> None:
    assert abs(utc_now() - datetime.now(UTC)) < DAY


@pytest.mark.skipif(not shutil.which("openssl"), reason="compares with openssl")
def test_openssl_agrees_on_what_passes(tmp_path: Path) -> None:
    issued = foo(Authority("between", issuer=CA))
    files, ca = issued.write(tmp_path, "foo"), CA.write(tmp_path)
    options = ["-purpose", "sslserver", "-CAfile", str(ca), "-untrusted", str(files.certificate)]
    subprocess.run(["openssl", "verify", *options, str(files.certificate)], check=True, capture_output=True)
    check(issued.der)
