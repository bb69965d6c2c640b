"""docs/configuration.md says what the program does."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import pytest
from page_blocks import blocks_of

from receptor.config.actions import GROUPS, LogLevel, Node
from receptor.config.backend_actions import TcpListener, TcpPeer
from receptor.config.files import load_file
from receptor.config.keys import Action
from receptor.config.kinds import Right
from receptor.config.tls_actions import TlsClient, TlsServer

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()


EXAMPLES = [block.text for block in blocks_of(PAGE) if block.language == "yaml"]
NODES = ["foo", "foo", "foo", "worker", "foo"]


@pytest.mark.parametrize(("example", "node_id"), list(zip(EXAMPLES, NODES, strict=True)))
def test_the_examples_are_right(example: str, node_id: str, tmp_path: Path, key_folder: Path) -> None:
    file = tmp_path / "receptor.conf"
    file.write_text(example.replace("/etc/receptor", str(key_folder)))
    assert load_file(file).node.id == node_id


def test_the_most_open_rule_is_right(tmp_path: Path) -> None:
    (keys,) = re.findall(r"as open as without\s+rules: (.*?)\.\n", PAGE, re.DOTALL)
    file = tmp_path / "receptor.conf"
    file.write_text(f"- node: foo\n- local-only\n- access-rule: {{{', '.join(re.findall('`(.*?)`', keys))}}}\n")
    (rule,) = load_file(file).access_rules
    assert rule.nodes == {"*"}
    assert rule.allow == {Right.ALL}
    assert rule.work_types == frozenset({"*", "remote"})
    assert rule.any_units
    assert all(any(ip_address(host) in network for network in rule.tcp_clients) for host in ("192.0.2.7", "::1"))


def test_the_page_tells_of_every_right() -> None:
    section = PAGE.partition("| `allow` | commands |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z]+)`", section, re.MULTILINE) == list(Right)


def test_the_full_example_shows_what_most_nodes_have() -> None:
    most: list[type[Action]] = [Node, LogLevel, TcpListener, TcpPeer, TlsServer, TlsClient]
    most += [*GROUPS["Control and work"], *GROUPS["Protection"]]
    assert [action.about.name for action in most if f"\n- {action.about.name}:" not in EXAMPLES[0]] == []
