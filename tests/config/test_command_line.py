from __future__ import annotations

from pathlib import Path

import pytest

from receptor.config.actions import ControlService, WorkCommand
from receptor.config.backend_actions import TcpListener, TcpPeer
from receptor.config.certificate_actions import CertInit
from receptor.config.command_line import (
    Check,
    MakeCertificates,
    RunNode,
    RunTool,
    ShowHelp,
    ShowSample,
    ShowSchema,
    ShowVersion,
    node_configuration,
    parse_command_line,
)
from receptor.config.configuration import Configuration
from receptor.config.kinds import Address
from receptor.errors import ConfigurationError
from receptor.netceptor.firewall import FirewallRule, Verdict


def configuration(*words: str) -> Configuration:
    asked = parse_command_line(words)
    assert isinstance(asked, RunNode)
    return asked.configuration


def problems_of(*words: str) -> list[str]:
    with pytest.raises(ConfigurationError) as told:
        parse_command_line(words)
    return str(told.value).splitlines()


def test_actions_on_the_command_line() -> None:
    made = configuration(
        *("--node", "id=cli", "datadir=/data"),
        *("--log-level", "level=info"),
        *("--tcp-listener", "port=2222", "bindaddr=127.0.0.1"),
        *("--work-command", "worktype=echo", "command=echo", "params=hello there=1"),
        *("--control-service", "service=control", "filename=/s", "permissions=0660"),
    )
    assert (made.node.id, made.node.data_dir, made.log_level) == ("cli", Path("/data"), "info")
    assert made.listeners == (TcpListener(port=2222, bind_address="127.0.0.1"),)
    assert made.work_commands == (WorkCommand("echo", "echo", "hello there=1"),)
    assert made.control_services == (ControlService("control", Path("/s"), 0o660),)


def test_bare_values_and_letter_case() -> None:
    made = configuration("--Node", "foo", "--TCP-peer", "bar:1", "Redial=no", "--local-only", "--log-level=debug")
    assert (made.node.id, made.local_only, made.log_level) == ("foo", True, "debug")
    assert made.peers == (TcpPeer(address=Address("bar", 1), redial=False),)


def test_lists_and_maps_are_json() -> None:
    made = configuration("--tcp-listener", "1", 'allowedpeers=["a", "b"]', 'nodecost={"a": 2.5}')
    assert made.listeners == (TcpListener(port=1, allowed_peers=frozenset({"a", "b"}), node_cost={"a": 2.5}),)


@pytest.mark.parametrize("option", ["--config", "-c", "--CONFIG"])
def test_a_file_and_further_actions_make_one_configuration(tmp_path: Path, option: str) -> None:
    file = tmp_path / "c.yml"
    file.write_text("- node: foo\n- tcp-listener: 1\n")
    made = configuration(option, str(file), "--tcp-listener", "2")
    assert made.node.id == "foo"
    assert made.listeners == (TcpListener(port=1), TcpListener(port=2))
    assert problems_of(option, str(file), "--node", "bar") == [
        f"--node: the action 'node' is given twice, first at {file}:1"
    ]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], ShowHelp()),
        (["--schema"], ShowSchema()),
        (["--sample"], ShowSample()),
        (["init", "--id", "foo"], RunTool("init", ("--id", "foo"))),
        (["systemd"], RunTool("systemd", ())),
        (["certs"], RunTool("certs", ())),
        (["certs", "node", "foo", "--help"], RunTool("certs", ("node", "foo", "--help"))),
        (["--help"], ShowHelp()),
        (["-h"], ShowHelp()),
        (["--help", "node"], ShowHelp("node")),
        (["--help", "--node"], ShowHelp("node")),
        (["--node", "foo", "--help"], ShowHelp()),
        (["--version"], ShowVersion()),
        (["--node", "foo", "--Version"], ShowVersion()),
    ],
)
def test_questions(words: list[str], asked: object) -> None:
    assert parse_command_line(words) == asked


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["c.yml"],
            "command line: 'c.yml' is no command, and actions begin with '--'; to read a file write --config c.yml "
            "('receptor --help' shows all)",
        ),
        (["--config"], "--config: needs one file after it, not 0"),
        (["-c", "a", "b"], "-c: needs one file after it, not 2"),
        (["--check", "a", "b"], "--check: needs one file after it, not 2"),
        (["--config-v2", "a"], "--config-v2: takes nothing after it; to read a file write --config a"),
        (["--tcp-listner", "1"], "--tcp-listner: there is no action 'tcp-listner'; did you mean 'tcp-listener'?"),
        (["--tcp-listener", "prot=1"], "--tcp-listener: tcp-listener has no key 'prot'; did you mean 'port'?"),
        (["--tcp-listener", "1", "2"], "--tcp-listener: tcp-listener has 'port' twice"),
        (["--node", "\udcff"], "command line: '\\udcff' is not UTF-8 text"),
    ],
)
def test_mistakes_are_told_with_their_word(words: list[str], problem: str) -> None:
    assert problems_of(*words) == [problem]


def test_a_list_may_be_given_in_several_ways() -> None:
    peers = frozenset({"a", "b"})
    for words in (['allowedpeers=["a", "b"]'], ["allowedpeers=a, b"], ["allowedpeers=a", "AllowedPeers=b"]):
        assert configuration("--tcp-listener", "1", *words).listeners == (TcpListener(port=1, allowed_peers=peers),)


def test_firewall_rules_are_json() -> None:
    made = configuration("--node", "foo", 'firewallrules=[{"action": "drop", "fromnode": "a"}]', "--local-only")
    assert made.node.firewall_rules == (FirewallRule(Verdict.DROP, from_node="a"),)


CERT_INIT = ["--cert-init", "commonname=us", "bits=2048", "outcert=ca.crt", "outkey=ca.key"]


def test_certificates_are_made_by_actions() -> None:
    made = parse_command_line(CERT_INIT)
    assert made == MakeCertificates((CertInit("us", 2048, Path("ca.crt"), Path("ca.key")),), "command line")


def test_certificates_are_made_by_a_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text("version: 2\ncert-init: {commonname: us, bits: 2048, outcert: a, outkey: b}\n")
    assert parse_command_line(["-c", str(file)]) == MakeCertificates(
        (CertInit("us", 2048, Path("a"), Path("b")),), str(file)
    )


@pytest.mark.parametrize("words", [["--check", "FILE"], ["--config", "FILE", "--check"], ["--CHECK", "-c", "FILE"]])
def test_all_that_can_be_done_can_be_checked_instead(tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "c.yml"
    file.write_text("- node: foo\n- local-only\n")
    words = [word.replace("FILE", str(file)) for word in words]
    asked = parse_command_line(words)
    assert isinstance(asked, Check)
    assert isinstance(asked.work, RunNode)
    assert (asked.work.source, asked.work.configuration.node.id) == (str(file), "foo")
    more = parse_command_line([*words, "--tcp-peer", "bar:1"])
    assert isinstance(more, Check)
    assert isinstance(more.work, RunNode)
    assert more.work.configuration.peers == (TcpPeer(address=Address("bar", 1)),)
    made = parse_command_line(["--check", *CERT_INIT])
    assert isinstance(made, Check)
    assert isinstance(made.work, MakeCertificates)


def test_the_shape_of_a_file_need_not_be_told(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text("version: 2\nnode: {id: foo}\nlocal-only:\n")
    assert configuration("--config-v2", "--config", str(file)).node.id == "foo"


def test_a_node_reads_its_configuration_again(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text("- node: foo\n- local-only\n")
    assert node_configuration(["-c", str(file)]).local_only
    file.write_text("- cert-init: {commonname: us, bits: 2048, outcert: a, outkey: b}\n")
    with pytest.raises(ConfigurationError, match=r"no longer that of a node: it makes certificates$"):
        node_configuration(["-c", str(file)])


def test_a_missing_backend_is_told_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text("- node: foo\n")
    assert problems_of("--config", str(file))[0].startswith(f"{file}: nothing to do")
    assert problems_of("--node", "foo")[0].startswith("command line: nothing to do")


def test_a_mistyped_key_does_not_show_its_value() -> None:
    assert "hush" not in problems_of("--work-command", "parms=hush")[0]
