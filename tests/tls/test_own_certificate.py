from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates_bench import DAY, Authority, Issued, Key, Written, ec_key, ed25519_key, rsa_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from receptor.errors import ConfigurationError
from receptor.netceptor.stream_security import ListenerSecurity
from receptor.tls.own_certificate import OwnCertificate, read_own_certificate

CA = Authority()
NOW = datetime.now(UTC)


def read(files: Written, node_id: str | None = "foo", now: datetime = NOW) -> OwnCertificate:
    return read_own_certificate(files.certificate, files.key, node_id, "tls-server 'mesh'", now)


@pytest.mark.parametrize("key", [ec_key(), rsa_key(), ed25519_key()], ids=["EC", "RSA", "Ed25519"])
def test_keys_of_every_kind_serve_sockets_and_streams(key: Key, tmp_path: Path) -> None:
    own = read(CA.issue(node_ids=["foo"], key=key).write(tmp_path, "foo"))
    own.show_in(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    ListenerSecurity(own.chain, own.key)


def test_those_that_vouch_for_it_come_along(tmp_path: Path) -> None:
    issued = Authority("between", issuer=CA).issue(node_ids=["foo"])
    own = read(issued.write(tmp_path, "foo"))
    assert own.chain == issued.pem
    assert len(ListenerSecurity(own.chain, own.key).identity.issuers) == 1


def test_any_node_id_of_the_certificate_may_be_this_nodes(tmp_path: Path) -> None:
    read(CA.issue(node_ids=["bar", "foo"]).write(tmp_path, "foo"))


@pytest.mark.parametrize(
    ("node_ids", "told"), [((), "no node"), (("bar",), "'bar'"), (("bar", "f"), "'bar', 'f'")], ids=["none", "1", "2"]
)
def test_a_certificate_of_another_node_is_refused(node_ids: tuple[str, ...], told: str, tmp_path: Path) -> None:
    files = CA.issue(node_ids=node_ids, dns=["foo"]).write(tmp_path, "x")
    with pytest.raises(ConfigurationError, match=f"x.crt: the certificate is for {told}, and this node is 'foo'; "):
        read(files)
    read(files, node_id=None)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    files = CA.issue(node_ids=["foo"]).write(tmp_path, "foo")
    other = CA.issue(node_ids=["foo"]).write(tmp_path, "other")
    with pytest.raises(ConfigurationError, match=r"other.key: the private key does not belong to .*foo\.crt"):
        read(Written(files.certificate, other.key))


def test_a_key_with_a_password_is_refused_without_asking_for_it(tmp_path: Path) -> None:
    issued = CA.issue(node_ids=["foo"])
    files = issued.write(tmp_path, "foo")
    encrypted = issued.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    files.key.write_bytes(encrypted)
    with pytest.raises(ConfigurationError, match=r"foo\.key: the private key has a password"):
        read(files)


def test_a_key_that_gets_a_password_while_it_is_read_is_refused_too(tmp_path: Path) -> None:
    issued = CA.issue(node_ids=["foo"])
    files = issued.write(tmp_path, "foo")
    own = read(files)
    encrypted = issued.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    files.key.write_bytes(encrypted)
    with pytest.raises(ConfigurationError, match="TLS can't use this certificate with"):
        own.show_in(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


@pytest.mark.parametrize("missing", ["foo.crt", "foo.key"])
def test_a_file_that_is_not_there(missing: str, tmp_path: Path) -> None:
    files = CA.issue(node_ids=["foo"]).write(tmp_path, "foo")
    (tmp_path / missing).unlink()
    with pytest.raises(ConfigurationError, match=f"{missing}: there is no such file"):
        read(files)


@pytest.mark.parametrize("damaged", ["foo.crt", "foo.key"])
def test_a_file_without_pem_in_it(damaged: str, tmp_path: Path) -> None:
    files = CA.issue(node_ids=["foo"]).write(tmp_path, "foo")
    (tmp_path / damaged).write_bytes(b"\x30\x82")
    with pytest.raises(ConfigurationError, match=rf"{damaged}: there (is|are) no PEM"):
        read(files)


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_key_that_others_can_read_is_told_of(
    mode: int, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = CA.issue(node_ids=["foo"]).write(tmp_path, "foo")
    files.key.chmod(mode)
    with caplog.at_level(logging.WARNING):
        read(files)
    expected = f"tls-server 'mesh': {files.key}: others than its owner can read the private key; chmod 600 {files.key}"
    assert caplog.messages == ([expected] if told else [])


@pytest.mark.parametrize(
    ("after", "told"), [(-2 * DAY, "is not valid before"), (2 * DAY, "expired on"), (0 * DAY, None)]
)
def test_a_certificate_that_is_not_valid_now_is_told_of(
    after: object, told: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(after, type(DAY))
    with caplog.at_level(logging.ERROR):
        read(CA.issue(node_ids=["foo"]).write(tmp_path, "foo"), now=NOW + after)
    assert len(caplog.messages) == (1 if told else 0)
    assert not told or told in caplog.text


def test_the_key_is_not_shown(tmp_path: Path) -> None:
    issued: Issued = CA.issue(node_ids=["foo"])
    own = read(issued.write(tmp_path, "foo"))
    assert "PRIVATE" not in repr(own)
