from __future__ import annotations

from pathlib import Path

import pytest

from receptor.ctl.contexts import Contexts, write_contexts
from receptor.ctl.settings import Settings
from receptor.errors import ConfigurationError


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (Settings(), "receptorctl --socket PATH .* RECEPTORCTL_SOCKET"),
        (Settings("tls://host:1", config="c.yml"), "--config needs --tls-client"),
        (Settings("/s", config="c.yml", tls_client="t", rootcas="ca.pem"), "can't be combined"),
        (Settings("http://host"), "is no address"),
        (Settings("tls://host:1", config="/nosuch.yml", tls_client="t"), "/nosuch.yml: can't be read"),
    ],
)
def test_options_that_do_not_say_where_to_connect(settings: Settings, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        settings.client()


def test_a_unix_socket_needs_no_configuration_file() -> None:
    Settings("/tmp/foo.sock", config="/nosuch.yml", tls_client="t").client()


def test_the_tls_client_of_a_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "receptor.yml"
    file.write_text("- tls-client: {name: t}")
    Settings("tls://host:1", config=str(file), tls_client="t").client()


def test_the_command_line_to_copy_leads_to_the_same_node() -> None:
    settings = Settings("/tmp/my sock", "c.yml", "t", insecureskipverify=True)
    assert settings.command_line("work", "results", "a1") == (
        "receptorctl --socket '/tmp/my sock' --config c.yml --tls-client t --insecureskipverify true work results a1"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(), "receptorctl status"),
        (Settings("/s", origin="from RECEPTORCTL_SOCKET"), "receptorctl --socket /s status"),
        (Settings(context="lab"), "receptorctl --context lab status"),
    ],
)
def test_a_command_to_copy_repeats_what_was_said_and_not_what_was_found(settings: Settings, said: str) -> None:
    assert settings.command_line("status") == said


def test_the_socket_of_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "receptor.conf"
    file.write_text("- control-service: {filename: /tmp/foo.sock}")
    settings = Settings(config=str(file))
    assert settings.resolved.socket == "/tmp/foo.sock"
    settings.client()
    assert settings.command_line("status") == f"receptorctl --config {file} status"


def test_the_default_context_is_not_repeated() -> None:
    write_contexts(Contexts({"lab": Settings("/tmp/lab.sock")}, default="lab"))
    assert Settings().resolved.socket == "/tmp/lab.sock"
    assert Settings().command_line("status") == "receptorctl status"
