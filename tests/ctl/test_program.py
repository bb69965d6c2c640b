from __future__ import annotations

from pathlib import Path

import click
import pytest
from fake_control import FakeNode, Peer, answering
from receptorctl_runs import Receptorctl

from receptor.ctl import finding
from receptor.ctl.contexts import Contexts, write_contexts
from receptor.ctl.main import receptorctl
from receptor.ctl.program import settings_of
from receptor.ctl.settings import Settings


def settings(*words: str) -> Settings:
    return settings_of(receptorctl.make_context("receptorctl", [*words, "status"]))


def test_what_is_typed_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEPTORCTL_SOCKET", "/e")
    assert settings("--socket", "/o") == Settings("/o")
    assert settings() == Settings("/e", origin="from RECEPTORCTL_SOCKET")


def test_a_typed_context_comes_before_all_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOCKET", "CONFIG", "TLSCLIENT"):
        monkeypatch.setenv(f"RECEPTORCTL_{name}", "/e")
    assert settings("--context", "lab", "--rootcas", "ca") == Settings(rootcas="ca", context="lab")


def test_a_socket_comes_before_a_context_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEPTORCTL_CONTEXT", "lab")
    assert settings() == Settings(context="lab", origin="from RECEPTORCTL_CONTEXT")
    assert settings("--socket", "/o") == Settings("/o")
    monkeypatch.setenv("RECEPTORCTL_SOCKET", "/e")
    assert settings().socket == "/e"
    assert settings().context == ""


def test_a_typed_context_and_a_typed_socket_contradict() -> None:
    with pytest.raises(click.UsageError, match="both say where"):
        settings("--socket", "/o", "--context", "lab")


@pytest.mark.parametrize(
    ("words", "origin"),
    [
        (("--socket", "/nosuch.sock"), ""),
        ((), "from RECEPTORCTL_SOCKET"),
        (("--context", "lab"), "from the context lab"),
        (("--config", "receptor.conf"), "from receptor.conf"),
    ],
)
def test_an_address_that_fails_is_told_with_its_origin(
    words: tuple[str, ...], origin: str, ctl: Receptorctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "receptor.conf").write_text("- control-service: {filename: /nosuch.sock}")
    write_contexts(Contexts({"lab": Settings("/nosuch.sock")}))
    if not words:
        monkeypatch.setenv("RECEPTORCTL_SOCKET", "/nosuch.sock")
    ran = ctl.bare(*words, "status")
    assert ran.exit_code == 1
    assert "there is no socket /nosuch.sock" in ran.errors
    assert ran.errors.endswith(f" (address {origin})\n" if origin else "as filename\n")


def test_the_node_of_this_machine_is_found(node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    node.plays(answering({}))
    monkeypatch.setattr(finding, "PLACES", finding.Places((), ("/nosuch/*.sock", node.path)))
    assert ctl.bare("work", "list").output == b"{}\n"


def test_a_command_to_copy_is_no_reason_to_tell_the_origin(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Streaming results for work unit a1a1a1a1")

    node.plays(cut_off, answering({"State": 1, "StdoutSize": 5}))
    monkeypatch.setenv("RECEPTORCTL_SOCKET", node.path)
    ran = ctl.bare("work", "results", "a1a1a1a1")
    assert ran.exit_code == 1
    assert ran.errors.endswith(f"receptorctl --socket {node.path} work results a1a1a1a1\n")


def test_a_refusal_is_told_without_the_address(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.plays(answering("ERROR: not today"))
    monkeypatch.setenv("RECEPTORCTL_SOCKET", node.path)
    assert ctl.bare("status").errors == "ERROR: not today\n"


def test_the_options_may_say_more_than_a_context() -> None:
    write_contexts(Contexts({"lab": Settings("tls://lab:1", rootcas="/ca", cert="/crt")}))
    resolved = Settings(context="lab", rootcas="/other").resolved
    assert (resolved.socket, resolved.rootcas, resolved.cert) == ("tls://lab:1", "/other", "/crt")
