from __future__ import annotations

import os
from pathlib import Path

import pytest

from receptor.cli.checking import verdict
from receptor.config.command_line import Check, parse_command_line
from receptor.errors import ConfigurationError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The relative path of a file in the test's own folder, so that messages are short."""
    monkeypatch.chdir(tmp_path)
    return Path("c.yml")


def checked(file: Path, content: str, *words: str) -> str:
    file.write_text(content)
    asked = parse_command_line(["--check", str(file), *words])
    assert isinstance(asked, Check)
    return verdict(asked.work).text


def problems_of(file: Path, content: str) -> list[str]:
    with pytest.raises(ConfigurationError) as told:
        checked(file, content)
    return str(told.value).splitlines()


NODE = "- node: {id: foo, datadir: data}\n- local-only\n"


def test_a_good_configuration_is_told_with_what_is_in_it(file: Path) -> None:
    assert checked(file, NODE) == "c.yml is a good configuration of node foo: local-only"
    content = "- node: {id: foo, datadir: data}\n- tcp-peer: a:1\n- tcp-peer: b:1\n- ws-listener: 1\n- trace\n"
    assert checked(file, content, "--control-service", "filename=s") == (
        "c.yml is a good configuration of node foo: trace, 1 ws-listener, 2 tcp-peers, 1 control-service"
    )


def test_nothing_is_made(file: Path) -> None:
    checked(file, NODE + "- control-service: {filename: s}\n- audit: a.log\n")
    assert [one.name for one in Path().iterdir()] == ["c.yml"]


def test_a_good_file_that_makes_certificates(file: Path) -> None:
    content = "- cert-makereq: {commonname: foo, outreq: r, outkey: k}\n" * 2
    assert checked(file, content) == "c.yml is good, and makes certificates: 2 cert-makereqs"
    assert [one.name for one in Path().iterdir()] == ["c.yml"]


def test_files_of_tls_must_be_there(file: Path) -> None:
    one, other = problems_of(
        file,
        NODE + "- tls-server: {name: one, cert: /nosuch.crt, key: /k}\n- tls-client: {name: two, rootcas: /nocas}\n",
    )
    assert "one" in one
    assert "/nosuch.crt" in one
    assert "two" in other
    assert "/nocas" in other


def test_the_data_folder_must_be_a_folder(file: Path) -> None:
    Path("data").write_text("")
    assert problems_of(file, NODE) == [
        f"c.yml: the data folder data/foo can't be made: {Path.cwd()}/data is no folder; set another datadir"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere but to a file system that is read-only")
def test_the_data_folder_must_be_writable(file: Path) -> None:
    Path("data").mkdir(0o500)
    assert problems_of(file, NODE) == [
        f"c.yml: the data folder {Path.cwd()}/data can't be written, by its mode or as its file system is read-only; "
        "make it writable or set another datadir"
    ]


@pytest.mark.parametrize(
    "action",
    ["control-service: {filename: FILE}", "unix-socket-server: {filename: FILE, remotenode: a, remoteservice: b}"],
)
def test_sockets_must_have_room(file: Path, action: str) -> None:
    def problem(name: str) -> str:
        (one,) = problems_of(file, f"{NODE}- {action.replace('FILE', name)}\n")
        return one

    long = "x" * 108
    folder = Path.cwd()
    Path("taken").write_text("")
    assert problem(long) == (
        f"c.yml: the path of the socket {folder}/{long} is longer than 107 bytes; choose a shorter filename"
    )
    assert problem("no/s") == f"c.yml: the socket {folder}/no/s can't be made: there is no folder {folder}/no; make it"
    assert problem("taken") == (
        f"c.yml: the socket {folder}/taken can't be made: there is something else; remove it or choose another filename"
    )


def test_the_audit_must_have_a_folder(file: Path) -> None:
    assert problems_of(file, NODE + "- audit: no/a.log\n") == [
        f"c.yml: the audit file no/a.log can't be made: there is no folder {Path.cwd()}/no; make it"
    ]


def test_all_problems_are_told_at_once(file: Path) -> None:
    assert len(problems_of(file, NODE + "- audit: no/a.log\n- control-service: {filename: no/s}\n")) == 2
