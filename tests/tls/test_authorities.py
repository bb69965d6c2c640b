from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
from certificates_bench import Authority, ed25519_key

from receptor.errors import ConfigurationError
from receptor.tls.authorities import Authorities, SystemAuthorities


def test_a_file_may_hold_several(tmp_path: Path) -> None:
    path = tmp_path / "cas.crt"
    path.write_bytes(Authority("one").pem + b"\nin words: two\n" + Authority("two").pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    Authorities(path).let_vouch(context)
    assert context.cert_store_stats()["x509"] == 2


def test_an_authority_that_streams_do_not_know_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = Authority(key=ed25519_key()).write(tmp_path)
    with caplog.at_level(logging.WARNING):
        Authorities(path)
    assert caplog.messages == [f"{path}: an authority with an Ed25519 key can vouch for links, but not for streams"]


def test_a_file_without_certificates_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cas.crt"
    path.write_text("none")
    with pytest.raises(ConfigurationError, match=r"cas\.crt: there is no PEM certificate"):
        Authorities(path)


def test_those_of_the_system_are_those_that_ssl_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority().write(tmp_path)))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    system = SystemAuthorities()
    system.let_vouch(context)
    assert context.cert_store_stats()["x509"] == 1
    assert system.store is not None


def test_a_real_systems_can_be_read() -> None:
    assert SystemAuthorities().store is not None or not ssl.create_default_context().get_ca_certs()


def test_a_system_without_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert SystemAuthorities().store is None
