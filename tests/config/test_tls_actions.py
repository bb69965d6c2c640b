from __future__ import annotations

from pathlib import Path

from receptor.config.kind import Written
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.config.written import WrittenAction, WrittenValue, read_action

PIN = bytes(32)


def read(name: str, /, **values: Written) -> object:
    return read_action(WrittenAction(name, "c.yml:1", tuple(WrittenValue(k, v, "c.yml:1") for k, v in values.items())))


def test_settings_as_people_write_them() -> None:
    assert read(
        "tls-server",
        name="s",
        cert="/c",
        key="/k",
        requireclientcert="true",
        clientcas="/ca",
        pinnedclientcert=[PIN.hex(":")],
        skipreceptornamescheck="yes",
        mintls13="true",
    ) == TlsServer(
        name="s",
        certificate=Path("/c"),
        key=Path("/k"),
        require_client_certificate=True,
        client_cas=Path("/ca"),
        pinned_client_certificates=frozenset({PIN}),
        skip_names_check=True,
        only_tls_13=True,
    )
    assert read(
        "tls-client",
        name="c",
        cert="/c",
        key="/k",
        rootcas="/ca",
        insecureskipverify="true",
        pinnedservercert=PIN.hex(),
        skipreceptornamescheck="yes",
        mintls13="true",
    ) == TlsClient(
        name="c",
        certificate=Path("/c"),
        key=Path("/k"),
        root_cas=Path("/ca"),
        skip_verification=True,
        pinned_server_certificates=frozenset({PIN}),
        skip_names_check=True,
        only_tls_13=True,
    )


def test_without_more_everything_is_checked() -> None:
    server, client = read("tls-server", name="s", cert="/c", key="/k"), read("tls-client", name="c")
    assert server == TlsServer("s", Path("/c"), Path("/k"), False, None, frozenset(), False, False)
    assert client == TlsClient("c", None, None, None, False, frozenset(), False, False)
