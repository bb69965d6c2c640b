from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates_bench import DAY, LOCAL_DNS, Authority, Issued, self_signed

from receptor.config.configuration import DEFAULT_TLS_CLIENT
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.errors import CommandError, ConfigurationError, PeerError
from receptor.tls.profiles import TlsProfiles

CA = Authority("mesh CA")
FOO = CA.issue(node_ids=["foo"])
BAR = CA.issue(node_ids=["bar"])
PIN = frozenset([BAR.sha256])


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    return CA.write(tmp_path)


def server(
    folder: Path,
    name: str = "mesh",
    shows: Issued = FOO,
    requires: bool = False,
    cas: Path | None = None,
    pins: frozenset[bytes] = frozenset(),
    skips_names: bool = False,
) -> TlsServer:
    files = shows.write(folder, name)
    return TlsServer(
        name=name,
        certificate=files.certificate,
        key=files.key,
        require_client_certificate=requires,
        client_cas=cas,
        pinned_client_certificates=pins,
        skip_names_check=skips_names,
    )


def client(
    folder: Path,
    name: str = "mesh",
    shows: Issued | None = None,
    cas: Path | None = None,
    skips: bool = False,
    pins: frozenset[bytes] = frozenset(),
) -> TlsClient:
    files = shows.write(folder, f"{name}-client") if shows else None
    return TlsClient(
        name=name,
        certificate=files.certificate if files else None,
        key=files.key if files else None,
        root_cas=cas,
        skip_verification=skips,
        pinned_server_certificates=pins,
    )


# Names


def test_profiles_have_names(tmp_path: Path) -> None:
    profiles = TlsProfiles([server(tmp_path)], [client(tmp_path)], "foo")
    assert profiles.server("mesh") is profiles.server("mesh")
    assert profiles.client("mesh") is profiles.client("mesh")
    assert profiles.client("mesh").context() is profiles.client("mesh").context()
    with pytest.raises(CommandError, match=r"this node has no tls-server 'msh'; .* \(mesh\)"):
        profiles.server("msh")
    with pytest.raises(CommandError, match=r"this node has no tls-client 'msh'; .* \(default, mesh\)"):
        profiles.client("msh")


def test_the_certificates_that_are_shown_have_the_names_of_their_settings(tmp_path: Path, ca: Path) -> None:
    nameless = CA.issue(dns=["www.example.org"])
    profiles = TlsProfiles(
        [server(tmp_path), server(tmp_path, "web", nameless, skips_names=True)],
        [client(tmp_path, shows=FOO, cas=ca), client(tmp_path, "anonymous", cas=ca)],
        "foo",
    )
    shown = profiles.shown_certificates()
    assert {name: certificate.node_ids for name, certificate in shown.items()} == {
        "tls-server mesh": ("foo",),
        "tls-server web": (),
        "tls-client mesh": ("foo",),
    }
    mesh = shown["tls-server mesh"]
    assert mesh.file == server(tmp_path).certificate
    assert mesh.not_before < datetime.now(UTC) < mesh.not_after
    assert TlsProfiles().shown_certificates() == {}


def test_after_a_reload_the_new_certificates_are_shown(tmp_path: Path) -> None:
    profiles = TlsProfiles([server(tmp_path)], [], "foo")
    profiles.swap(TlsProfiles([server(tmp_path, shows=CA.issue(node_ids=["foo", "bar"]))], [], "foo"))
    assert profiles.shown_certificates()["tls-server mesh"].node_ids == ("foo", "bar")


def test_every_node_has_a_client_that_trusts_whom_the_system_trusts(
    tmp_path: Path, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    default = TlsProfiles().client(DEFAULT_TLS_CLIENT)
    assert default.context().cert_store_stats()["x509"] == 1
    default.stream_security().check(BAR.der, "bar")
    with pytest.raises(PeerError):
        default.stream_security().check(self_signed(node_ids=["bar"]).der, "bar")


def test_it_may_be_another_one(tmp_path: Path, ca: Path) -> None:
    default = TlsProfiles((), [client(tmp_path, "default", FOO, ca)], "foo").client("default")
    assert default.stream_security().identity is not None


# Files


@pytest.mark.parametrize("missing", ["mesh.crt", "mesh.key", "ca.crt"])
def test_errors_of_a_server_name_it_and_the_file(missing: str, tmp_path: Path, ca: Path) -> None:
    action = server(tmp_path, cas=ca)
    (tmp_path / missing).unlink()
    with pytest.raises(ConfigurationError, match=f"^tls-server 'mesh': {tmp_path / missing}: there is no such file"):
        TlsProfiles([action], (), "foo")


@pytest.mark.parametrize("missing", ["mesh-client.crt", "mesh-client.key", "ca.crt"])
def test_errors_of_a_client_do_too(missing: str, tmp_path: Path, ca: Path) -> None:
    action = client(tmp_path, shows=FOO, cas=ca)
    (tmp_path / missing).unlink()
    with pytest.raises(ConfigurationError, match=f"^tls-client 'mesh': {tmp_path / missing}: there is no such file"):
        TlsProfiles((), [action], "foo")


@pytest.mark.parametrize("given", ["certificate", "key"])
def test_a_client_has_both_a_certificate_and_its_key_or_none(given: str, tmp_path: Path) -> None:
    files = FOO.write(tmp_path, "foo")
    action = (
        TlsClient(name="mesh", certificate=files.certificate)
        if given == "certificate"
        else TlsClient(name="mesh", key=files.key)
    )
    with pytest.raises(ConfigurationError, match="tls-client 'mesh': there is only one of 'cert' and 'key'"):
        TlsProfiles((), [action], "foo")


def test_certificates_are_this_nodes_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tls-server 'mesh': .* this node is 'bar'"):
        TlsProfiles([server(tmp_path)], (), "bar")
    with pytest.raises(ConfigurationError, match=r"tls-client 'mesh': .* this node is 'bar'"):
        TlsProfiles((), [client(tmp_path, shows=FOO)], "bar")
    TlsProfiles([server(tmp_path, skips_names=True)], (), "bar")


def test_what_is_odd_is_told_of_with_the_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        TlsProfiles([server(tmp_path)], (), "foo", lambda: datetime.now(UTC) + 9 * DAY)
    (line,) = caplog.messages
    assert line.startswith(f"tls-server 'mesh': {tmp_path / 'mesh.crt'}: the certificate expired on")


def test_trusting_the_whole_world_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        TlsProfiles([server(tmp_path, requires=True, cas=CA.write(tmp_path))], (), "foo")
        assert caplog.messages == []
        TlsProfiles([server(tmp_path, requires=True)], (), "foo")
    (line,) = caplog.messages
    assert line.startswith("tls-server 'mesh': every client is trusted for whom any authority of this system vouches")


# Streams


def test_dialers_are_not_asked_unless_somebody_wants_to_know(tmp_path: Path) -> None:
    security = TlsProfiles([server(tmp_path)], (), "foo").server("mesh").stream_security()
    assert security.check is None
    assert security.certificate == FOO.pem


@pytest.mark.parametrize("requires", [True, False], ids=["required", "only CAs"])
def test_dialers_must_be_whom_they_say(requires: bool, tmp_path: Path, ca: Path) -> None:
    check = TlsProfiles([server(tmp_path, requires=requires, cas=ca)], (), "foo").server("mesh").stream_security().check
    assert check
    check(BAR.der, "bar")
    with pytest.raises(PeerError, match="is for node bar, not foo"):
        check(BAR.der, "foo")
    with pytest.raises(PeerError, match="it showed no certificate"):
        check([], "bar")


def test_dialers_are_pinned(tmp_path: Path, ca: Path) -> None:
    profiles = TlsProfiles([server(tmp_path, cas=ca, pins=PIN)], (), "foo")
    check = profiles.server("mesh").stream_security().check
    assert check
    check(BAR.der, "bar")
    with pytest.raises(PeerError, match="none of the pinned fingerprints"):
        check(FOO.der, "foo")


def test_pins_that_nobody_would_look_at_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tls-server 'mesh': 'pinnedclientcert' alone would let everybody in"):
        TlsProfiles([server(tmp_path, pins=PIN)], (), "foo")


def test_listeners_must_be_whom_the_dialer_wants(tmp_path: Path, ca: Path) -> None:
    security = TlsProfiles((), [client(tmp_path, shows=FOO, cas=ca)], "foo").client("mesh").stream_security()
    security.check(BAR.der, "bar")
    assert security.certificate == FOO.pem
    with pytest.raises(PeerError, match="is for node bar, not foo"):
        security.check(BAR.der, "foo")


def test_names_of_hosts_do_not_count(tmp_path: Path, ca: Path) -> None:
    security = TlsProfiles((), [client(tmp_path, cas=ca)], "foo").client("mesh").stream_security()
    with pytest.raises(PeerError, match="is for no node, not localhost"):
        security.check(CA.issue(dns=LOCAL_DNS).der, "localhost")


def test_without_verification_only_the_pin_counts(tmp_path: Path) -> None:
    anybody = TlsProfiles((), [client(tmp_path, skips=True)], "foo").client("mesh").stream_security()
    pinned = TlsProfiles((), [client(tmp_path, skips=True, pins=PIN)], "foo").client("mesh").stream_security()
    anybody.check(FOO.der, "bar")
    pinned.check(BAR.der, "foo")
    with pytest.raises(PeerError, match="none of the pinned fingerprints"):
        pinned.check(FOO.der, "foo")


def test_the_time_is_that_of_the_clock(tmp_path: Path, ca: Path) -> None:
    profiles = TlsProfiles((), [client(tmp_path, cas=ca)], "foo", lambda: datetime.now(UTC) + 9 * DAY)
    with pytest.raises(PeerError, match="expired"):
        profiles.client("mesh").stream_security().check(BAR.der, "bar")


# Reload


def test_who_holds_a_profile_gets_what_was_read_last(tmp_path: Path, ca: Path) -> None:
    actions = [server(tmp_path)], [client(tmp_path, shows=FOO, cas=ca)]
    profiles = TlsProfiles(*actions, "foo")
    held_server, held_client = profiles.server("mesh"), profiles.client("mesh")
    before = held_server.context(), held_client.context()
    other = Authority("other CA")
    renewed = other.issue(node_ids=["foo"])
    renewed.write(tmp_path, "mesh")
    renewed.write(tmp_path, "mesh-client")
    other.write(tmp_path)
    assert held_server.stream_security().certificate == FOO.pem
    read_anew = TlsProfiles(*actions, "foo")
    profiles.swap(read_anew)
    assert profiles.server("mesh") is held_server
    assert held_server.stream_security().certificate == renewed.pem
    assert held_client.stream_security().certificate == renewed.pem
    held_client.stream_security().check(renewed.der, "foo")
    assert held_server.context() is not before[0]
    assert held_client.context() is not before[1]
    profiles.swap(read_anew)
    assert (held_server.context(), held_client.context()) == before


def test_nothing_shows_a_key(tmp_path: Path) -> None:
    profiles = TlsProfiles([server(tmp_path)], [client(tmp_path, shows=FOO)], "foo")
    shown = [profiles.server("mesh").stream_security(), profiles.client("mesh").stream_security(), profiles]
    secret = FOO.key_pem.splitlines()[1].decode()
    assert not any("PRIVATE KEY" in repr(one) or secret in repr(one) for one in shown)
