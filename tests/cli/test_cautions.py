"""What ``receptor --check`` warns of."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates_bench import DAY, Authority, rsa_key
from receptor_process import run_receptor

from receptor.cli.checking import verdict
from receptor.config.command_line import Check, parse_command_line

NODE = "- node: {id: foo, datadir: data}\n- local-only\n"
NOW = datetime.now(UTC)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The relative path of a file in the test's own folder, so that messages are short."""
    monkeypatch.chdir(tmp_path)
    return Path("c.yml")


@pytest.fixture
def taken() -> Iterator[int]:
    """A TCP port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def warnings(file: Path, content: str) -> list[str]:
    file.write_text(content)
    asked = parse_command_line(["--check", str(file)])
    assert isinstance(asked, Check)
    return list(verdict(asked.work).warnings)


def test_they_are_told_beside_the_verdict(file: Path) -> None:
    file.write_text(NODE + "- work-command: {worktype: a, command: no-such-program}\n")
    done = run_receptor("--check", file)
    assert done.returncode == 0
    assert done.stdout == "c.yml is a good configuration of node foo: local-only, 1 work-command\n"
    assert done.stderr == (
        "receptor: warning: work type 'a': there is no program 'no-such-program' on the PATH, so its units will fail; "
        "install it, or give its full path\n"
    )


def test_programs(file: Path) -> None:
    Path("no-program").write_text("")
    assert warnings(file, NODE + "- work-command: {worktype: a, command: cat}\n") == []
    (warning,) = warnings(file, NODE + "- work-command: {worktype: a, command: ./no-program}\n")
    assert warning.startswith("work type 'a': there is no program './no-program' there, or it can't be run")


def test_a_configuration_that_everybody_may_change(file: Path) -> None:
    file.touch()
    file.chmod(0o666)
    assert warnings(file, NODE) == [
        "c.yml: everybody may change the configuration, and have commands run by it; chmod o-w c.yml"
    ]


def test_units_where_they_do_not_last(file: Path) -> None:
    (warning,) = warnings(file, "- node: foo\n- local-only\n")
    assert warning.startswith("the data folder is in /tmp/receptor, which many systems empty")


def test_who_may_give_commands(file: Path) -> None:
    content = NODE + "- control-service: {filename: s, permissions: 0666}\n"
    (warning,) = warnings(file, content + "- control-service: {service: '', tcplisten: 127.0.0.1:0}\n")
    assert warning.startswith("the socket s: every user of this machine may have commands run")
    (warning,) = warnings(file, NODE + "- control-service: {service: '', tcplisten: 0}\n")
    assert warning.startswith("tcplisten 0.0.0.0:0: who reaches this address may give commands")


def test_ports_in_use(file: Path, taken: int) -> None:
    listener = f"- tcp-listener: {{port: {taken}, bindaddr: 127.0.0.1}}\n"
    assert warnings(file, NODE + listener) == [
        f"tcp-listener: 127.0.0.1:{taken} can't be listened on now: another program has the port; end it or choose "
        "another port, unless it is this node"
    ]
    (warning,) = warnings(file, NODE + "- udp-listener: {port: 1, bindaddr: 192.0.2.1}\n")
    assert "this machine has no such address; correct bindaddr" in warning


def test_ports_of_the_node_itself_while_it_runs(file: Path, taken: int) -> None:
    """It serves its socket then."""
    listener = f"- tcp-listener: {{port: {taken}, bindaddr: 127.0.0.1}}\n"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        server.listen()
        assert warnings(file, NODE + listener + "- control-service: {filename: s}\n") == []


def test_a_folder_that_the_service_will_make(file: Path) -> None:
    (warning,) = warnings(file, NODE + "- control-service: {filename: /run/no-such-folder/s}\n")
    assert warning.startswith(
        "there is no folder /run/no-such-folder for the socket /run/no-such-folder/s yet; the sys"
    )


def test_certificates_that_end(file: Path, tmp_path: Path) -> None:
    ca = Authority(not_after=NOW + 365 * DAY)
    for name, ends in (("soon", NOW + 20 * DAY), ("over", NOW - DAY), ("good", NOW + 99 * DAY)):
        ca.issue(node_ids=["foo"], not_before=NOW - 9 * DAY, not_after=ends).write(tmp_path, name)
    names = ("soon", "over", "good")
    profiles = [f"- tls-server: {{name: {name}, cert: {name}.crt, key: {name}.key}}\n" for name in names]
    over, soon = warnings(file, NODE + "".join(profiles))
    assert over.startswith("tls-server 'over': over.crt: the certificate expired on ")
    assert soon.startswith("soon.crt: the certificate expires on ")


def test_a_listener_whose_certificate_names_no_machine(file: Path, tmp_path: Path) -> None:
    ca = Authority()
    ca.issue(node_ids=["foo"], not_after=NOW + 99 * DAY).write(tmp_path, "bare")
    ca.issue(node_ids=["foo"], dns=["foo.example.com"], not_after=NOW + 99 * DAY).write(tmp_path, "named")
    profiles = "".join(
        f"- tls-server: {{name: {name}, cert: {name}.crt, key: {name}.key}}\n" for name in ("bare", "named")
    )
    assert warnings(file, f"{NODE}{profiles}- tcp-listener: {{port: 0, tls: named}}\n- udp-listener: 0\n") == []
    (warning,) = warnings(file, f"{NODE}{profiles}- tcp-listener: {{port: 0, tls: bare}}\n")
    assert warning.startswith(
        "tcp-listener: bare.crt has neither DNS name nor IP address, so nodes that check certificat"
    )


def test_authorities_that_have_ended(file: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(Authority(not_before=NOW - 9 * DAY, not_after=NOW - DAY).pem)
    (warning,) = warnings(file, NODE + "- tls-client: {name: a, rootcas: ca.crt}\n")
    assert warning.startswith("ca.crt: the authority's certificate expired on ")


def test_keys_that_others_can_read(file: Path, tmp_path: Path) -> None:
    files = Authority().issue(node_ids=["foo"], not_after=NOW + 99 * DAY).write(tmp_path, "foo")
    files.key.chmod(0o640)
    (warning,) = warnings(file, NODE + "- tls-server: {name: a, cert: foo.crt, key: foo.key}\n")
    assert warning == "tls-server 'a': foo.key: others than its owner can read the private key; chmod 600 foo.key"
    signing = tmp_path / "signing.pem"
    signing.write_bytes(Authority().issue(key=rsa_key()).key_pem)
    signing.chmod(0o604)
    assert warnings(file, NODE + "- work-signing: signing.pem\n") == [
        "signing.pem: others than its owner can read the key that signs work; chmod 600 signing.pem"
    ]
