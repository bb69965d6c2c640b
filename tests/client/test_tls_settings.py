from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest

from receptor.client.tls_settings import TlsSettings, read_tls_client
from receptor.errors import ConfigurationError

LIST_FORM = """\
---
- node: foo
- local-only
- tls-client: {name: other, rootcas: /other.pem}
- TLS-Client:
    Name: mesh
    rootCAs: /ca.pem
    cert: /me.pem
    key: /me.key
    insecureskipverify: true
    mintls13: true
    pinnedservercert: ["aa:bb"]
"""
MAP_FORM = """\
version: 2
node: {id: foo}
tls-clients:
  - {name: mesh, rootcas: /ca.pem, cert: /me.pem, key: /me.key, insecureskipverify: true, mintls13: true,
     pinnedservercert: "aa:bb"}
"""


@pytest.mark.parametrize("text", [LIST_FORM, MAP_FORM])
def test_a_tls_client_out_of_either_shape_of_configuration(tmp_path: Path, text: str) -> None:
    file = tmp_path / "receptor.yml"
    file.write_text(text)
    assert read_tls_client(str(file), "mesh") == TlsSettings("/ca.pem", "/me.pem", "/me.key", True, True, ("aa:bb",))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (LIST_FORM, "no tls-client is named nosuch .other, mesh."),
        ("- node: foo", "no tls-client is named nosuch .there is none."),
        ("just words", "no tls-client is named nosuch"),
        ("tls-clients: 5", "no tls-client is named nosuch"),
        ("{", "not YAML"),
        ("- tls-client: {name: nosuch, rootcas: [a]}", "rootcas must be a file name"),
        ("- tls-client: {name: nosuch, insecureskipverify: 7}", "must be true or false"),
        ("- tls-client: {name: nosuch, pinnedservercert: [7]}", "must be a list of fingerprints"),
    ],
)
def test_a_configuration_that_does_not_help_says_why(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "receptor.yml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint) as raised:
        read_tls_client(str(file), "nosuch")
    assert str(raised.value).startswith(f"{file}: ")


def test_a_configuration_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nosuch\.yml: can't be read: No such file"):
        read_tls_client(str(tmp_path / "nosuch.yml"), "mesh")


def test_the_certificate_is_verified_unless_that_is_switched_off() -> None:
    careful = TlsSettings().context()
    assert (careful.verify_mode, careful.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert careful.minimum_version == ssl.TLSVersion.TLSv1_2
    careless = TlsSettings(insecureskipverify=True).context()
    assert (careless.verify_mode, careless.check_hostname) == (ssl.CERT_NONE, False)


def test_tls_1_3_can_be_asked_for() -> None:
    assert TlsSettings(mintls13=True).context().minimum_version == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("field", ["rootcas", "cert"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, field: str) -> None:
    missing = str(tmp_path / "nosuch.pem")
    settings = TlsSettings(rootcas=missing) if field == "rootcas" else TlsSettings(cert=missing)
    with pytest.raises(ConfigurationError, match=rf"nosuch\.pem \({field}\): No such file"):
        settings.context()


def test_a_file_that_is_no_pem_is_named(tmp_path: Path) -> None:
    file = tmp_path / "noise.pem"
    file.write_text("noise")
    with pytest.raises(ConfigurationError, match=r"noise\.pem"):
        TlsSettings(cert=str(file)).context()
    with pytest.raises(ConfigurationError, match=r"noise\.pem"):
        TlsSettings(rootcas=str(file)).context()


def test_a_key_needs_a_certificate(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no certificate"):
        TlsSettings(key=str(tmp_path / "key.pem")).context()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_pinned_fingerprints(algorithm: str) -> None:
    digest = hashlib.new(algorithm, b"certificate").hexdigest().upper()
    with_colons = ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
    settings = TlsSettings(pinnedservercert=("00", with_colons))
    assert settings.accepts(b"certificate")
    assert not settings.accepts(b"another")
    assert TlsSettings().accepts(b"another")
