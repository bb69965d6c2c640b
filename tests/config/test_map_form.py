from __future__ import annotations

from pathlib import Path

import pytest

from receptor.config.actions import ACTIONS, ControlService, WorkCommand
from receptor.config.backend_actions import TcpListener, TcpPeer, WsPeer
from receptor.config.files import load_file, read_file
from receptor.config.kinds import Address
from receptor.config.list_form import FORM
from receptor.config.written import WrittenAction
from receptor.errors import ConfigurationError

WHOLE = """---
version: 2
node:
  id: foo
  datadir: /data
log-level:
  level: Debug
tcp-listeners:
  - port: 2222
    allowedpeers: bar, baz
tcp-peers:
  - address: bar:2222
    redial: false
  - baz:2222
ws-peers:
  - address: wss://hub/mesh
control-services:
  - service: control
    filename: /tmp/foo.sock
work-commands:
  - workType: echo
    command: echo
    params: "hi there"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The relative path of a file in the test's own folder, so that messages are short."""
    monkeypatch.chdir(tmp_path)
    return Path("c.yml")


def problems_of(file: Path, content: str) -> list[str]:
    file.write_text(content)
    with pytest.raises(ConfigurationError) as told:
        load_file(file)
    return str(told.value).splitlines()


def test_a_whole_map(file: Path) -> None:
    file.write_text(WHOLE)
    made = load_file(file)
    assert (made.node.id, made.node.data_dir, made.log_level) == ("foo", Path("/data"), "debug")
    assert made.listeners == (TcpListener(port=2222, allowed_peers=frozenset({"bar", "baz"})),)
    assert made.peers == (
        TcpPeer(address=Address("bar", 2222), redial=False),
        TcpPeer(address=Address("baz", 2222)),
        WsPeer(address="wss://hub/mesh"),
    )
    assert made.control_services == (ControlService("control", Path("/tmp/foo.sock")),)
    assert made.work_commands == (WorkCommand("echo", "echo", "hi there"),)


def test_it_says_what_the_list_says(file: Path) -> None:
    file.write_text(WHOLE)
    as_map = load_file(file)
    file.write_text(
        "- node: {id: foo, datadir: /data}\n- log-level: debug\n"
        "- tcp-listener: {port: 2222, allowedpeers: [bar, baz]}\n"
        "- tcp-peer: {address: 'bar:2222', redial: false}\n- tcp-peer: baz:2222\n- ws-peer: wss://hub/mesh\n"
        "- control-service: {filename: /tmp/foo.sock}\n"
        "- work-command: {worktype: echo, command: echo, params: hi there}\n"
    )
    assert load_file(file) == as_map


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_every_action_has_its_key(file: Path, action: type[object]) -> None:
    about = ACTIONS[next(name for name, one in ACTIONS.items() if one is action)].about
    file.write_text(f"version: 2\n{about.map_key}:\n")
    names = [one.name for one in read_file(file)]
    assert names == ([about.name] if about.once else [])
    file.write_text(f"{about.map_key.upper()}: {{a: b}}\nVersion: '2'\n")
    assert [one.name for one in read_file(file)] == [about.name]


@pytest.mark.parametrize(
    "text",
    ["local-only: true", "local-only:", "local-only: {}", "local-only: {local: true}", "local-only:\n  local: yes"],
)
def test_a_node_on_its_own(file: Path, text: str) -> None:
    file.write_text(f"version: 2\nnode: foo\n{text}\n")
    assert load_file(file).local_only


@pytest.mark.parametrize("text", ["local-only: false", "local-only: {local: false}"])
def test_a_node_that_is_not(file: Path, text: str) -> None:
    file.write_text(f"version: 2\nnode: foo\ntcp-listeners: [1]\n{text}\n")
    assert not load_file(file).local_only


@pytest.mark.parametrize("text", ["2222", "[2222]", "{port: 2222}", "\n  - 2222", "\n  - port: 2222", "\n  port: 2222"])
def test_a_list_of_one(file: Path, text: str) -> None:
    file.write_text(f"version: 2\nnode: foo\ntcp-listeners: {text}\n")
    assert load_file(file).listeners == (TcpListener(port=2222),)


@pytest.mark.parametrize("text", ["", "[]", "~"])
def test_a_list_of_none(file: Path, text: str) -> None:
    file.write_text(f"version: 2\nnode: foo\nlocal-only: true\ntcp-listeners: {text}\n")
    assert load_file(file).listeners == ()


def test_each_action_has_the_line_where_it_begins(file: Path) -> None:
    file.write_text(
        "version: 2\nnode:\n  id: foo\ntcp-listeners:\n  - port: 1\n  -\n    port: 2\ntcp-peers:\n  address: a:1\n"
    )
    assert [(one.name, one.place) for one in read_file(file)] == [
        ("node", "c.yml:2"),
        ("tcp-listener", "c.yml:5"),
        ("tcp-listener", "c.yml:7"),
        ("tcp-peer", "c.yml:8"),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("---\nnode: foo\n", f"c.yml:2: this is no list, and a map must have the key 'version: 2'; {FORM}"),
        ("{}", f"c.yml:1: this is no list, and a map must have the key 'version: 2'; {FORM}"),
        (
            "node: foo\nversion: 3\n",
            "c.yml:2: there is no version '3' of the configuration; "
            "a map has 'version: 2', and older ones are lists of actions",
        ),
        ("version: [2]\n", "c.yml:1: there must be a single value here, such as a name or a number"),
        ("version:\n", "c.yml:1: there must be a single value here, such as a name or a number"),
        ("version: 2\nnode: a\nNode: b\n", "c.yml:3: 'node' is there twice, first in line 2"),
        ("version: 2\n? [a]\n: b\n", "c.yml:2: there must be a single value here, such as a name or a number"),
        ("version: 2\nnode: [foo]\n", "c.yml:2: node takes a value or keys with values, not a list"),
        ("version: 2\ntcp-peers:\n  - [a]\n", "c.yml:3: tcp-peer takes a value or keys with values, not a list"),
        ("version: 2\ntcp-listeners:\n  - 1\n  -\n", "c.yml:4: tcp-listener needs 'port'"),
        (
            "version: 2\ntcp-peer:\n  address: a:1\n",
            "c.yml:2: a configuration that is a map has no key 'tcp-peer'; write 'tcp-peers', with a list",
        ),
        (
            "version: 2\ntcp-lsteners: []\n",
            "c.yml:2: a configuration that is a map has no key 'tcp-lsteners'; did you mean 'tcp-listeners'?",
        ),
        (
            "version: 2\nLog-Levels: debug\n",
            "c.yml:2: a configuration that is a map has no key 'log-levels'; did you mean 'log-level'?",
        ),
        (
            "version: 2\nxyz: 1\n",
            "c.yml:2: a configuration that is a map has no key 'xyz'; 'receptor --help' lists the actions",
        ),
        (
            "version: 2\nwork-commands:\n  - worktype: a\n    comand: b\n",
            "c.yml:4: work-command has no key 'comand'; did you mean 'command'?",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(file: Path, content: str, problem: str) -> None:
    assert problems_of(file, content) == [problem]


def test_all_that_is_wrong_is_told_at_once(file: Path) -> None:
    content = "version: 2\nnodes: 1\ntcp-peers: [[1], [2]]\ntcp-listener: 1\n"
    assert [problem.partition(": ")[0] for problem in problems_of(file, content)] == [
        "c.yml:2",
        "c.yml:3",
        "c.yml:3",
        "c.yml:4",
    ]


def test_the_version_goes_with_no_action(file: Path) -> None:
    file.write_text("version: 2\nnode: foo\n")
    (written,) = read_file(file)
    assert isinstance(written, WrittenAction)
    assert written.name == "node"
