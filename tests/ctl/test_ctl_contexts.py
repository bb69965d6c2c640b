from __future__ import annotations

import os
from pathlib import Path

import pytest

from receptor.ctl.contexts import Contexts, contexts_file, read_contexts, write_contexts
from receptor.ctl.settings import Settings
from receptor.errors import ConfigurationError, OperatingError

LAB = Settings("tls://lab:1", "", "", "/ca.crt", "/me.key", "/me.crt", insecureskipverify=True)


def write(text: str) -> None:
    os.makedirs(os.path.dirname(contexts_file()), exist_ok=True)
    Path(contexts_file()).write_text(text)


def test_what_is_written_is_read_again() -> None:
    contexts = Contexts({"lab": LAB, "foo.1": Settings('/tmp/with "quotes" and \\')}, default="lab")
    write_contexts(contexts)
    assert read_contexts() == contexts


def test_the_file_as_people_see_it() -> None:
    write_contexts(Contexts({"lab": LAB}, default="lab"))
    assert Path(contexts_file()).read_text().splitlines()[2:] == [
        'default = "lab"',
        "",
        "[contexts.lab]",
        'socket = "tls://lab:1"',
        'rootcas = "/ca.crt"',
        'key = "/me.key"',
        'cert = "/me.crt"',
        "insecureskipverify = true",
    ]


def test_without_a_file_there_are_none() -> None:
    assert read_contexts() == Contexts()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("default = ", "this is not TOML: .* correct or delete"),
        ("default = 1", "and no more"),
        ("colour = true", "and no more"),
        ("contexts = 1", "and no more"),
        ("contexts.lab = 1", "context lab: this must be a table"),
        ("contexts.lab.sokcet = ''", "context lab: there is no key 'sokcet'; the keys are socket, config"),
        ("contexts.lab.socket = 1", "context lab: socket must be a text"),
        ("contexts.lab.insecureskipverify = 'yes'", "insecureskipverify must be true or false"),
    ],
)
def test_a_file_with_a_mistake(text: str, complaint: str) -> None:
    write(text)
    with pytest.raises(ConfigurationError, match=complaint):
        read_contexts()


def test_a_file_that_is_not_text() -> None:
    write("")
    Path(contexts_file()).write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not TOML"):
        read_contexts()


def test_names_and_paths_hold_from_every_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/tmp")
    kept = Contexts().with_context("lab", Settings("unix:foo.sock", rootcas="ca.crt", key="~/me.key"))
    lab = kept.find("lab")
    assert (lab.socket, lab.rootcas, lab.key) == ("/tmp/foo.sock", "/tmp/ca.crt", os.path.expanduser("~/me.key"))


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [("a b", LAB, "'a b' can't name a context"), ("a", Settings("http://x"), "is no address")],
)
def test_what_can_not_be_a_context(name: str, settings: Settings, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        Contexts().with_context(name, settings)


def test_one_that_is_not_there() -> None:
    contexts = Contexts({"lab": LAB})
    with pytest.raises(ConfigurationError, match=r"no context 'lba' \(from X\); did you mean 'lab'\?"):
        contexts.find("lba", "from X")
    with pytest.raises(ConfigurationError, match="'receptorctl context list' shows all"):
        contexts.find("x")
    with pytest.raises(ConfigurationError, match="make it: receptorctl context set x --socket ADDRESS"):
        Contexts().find("x")


def test_one_that_is_removed_is_not_the_default_any_more() -> None:
    contexts = Contexts({"lab": LAB, "foo": Settings("/s")}, default="lab")
    assert contexts.without("lab") == Contexts({"foo": Settings("/s")})
    assert contexts.without("foo").default == "lab"


def test_a_folder_that_can_not_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert read_contexts() == Contexts()
    with pytest.raises(OperatingError, match=r"can't write .*contexts\.toml"):
        write_contexts(Contexts())


def test_a_file_of_somebody_else_counts_only_if_a_context_is_named() -> None:
    os.makedirs(contexts_file())  # which can't be read, not even by root
    with pytest.raises(OperatingError, match=r"contexts\.toml: can't be read: Is a directory"):
        read_contexts()
    with pytest.raises(OperatingError):
        _ = Settings(context="lab").resolved
    with pytest.raises(ConfigurationError, match="no control socket is given"):
        _ = Settings().resolved
