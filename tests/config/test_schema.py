from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from receptor.config.actions import ACTIONS
from receptor.config.certificate_actions import BITS, COMMON_NAME, DATE, DNS_NAMES, IP_ADDRESSES
from receptor.config.keys import Action, keys_of
from receptor.config.kind import Kind
from receptor.config.schema import schema_text

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "receptor-configuration.schema.json"
SCHEMA = json.loads(schema_text())
VALIDATOR = Draft202012Validator(SCHEMA)
PAGES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = [
    pytest.param(example, id=f"{page.name} {number}")
    for page in PAGES
    for number, example in enumerate(re.findall(r"```ya?ml\n(.*?)```", page.read_text(), re.DOTALL), start=1)
]


def accepts(text: str) -> bool:
    return VALIDATOR.is_valid(yaml.safe_load(text))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_file_for_editors_is_up_to_date() -> None:
    advice = f"receptor --schema > {FILE.relative_to(ROOT)}"
    assert FILE.read_text() == schema_text() + "\n", advice


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_documentation_are_right(example: str) -> None:
    VALIDATOR.validate(yaml.safe_load(example))


@pytest.mark.parametrize("file", sorted((ROOT / "examples").rglob("*.yml")), ids=lambda file: file.name)
def test_the_files_of_the_examples_are_right(file: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_the_example_of_each_action_is_right_in_both_shapes(action: type[Action]) -> None:
    (item,) = yaml.safe_load(action.about.example)
    VALIDATOR.validate([item])
    content = None if isinstance(item, str) else item[action.about.name]
    VALIDATOR.validate({"version": 2, action.about.map_key: content if action.about.once else [content]})


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_wrong_keys_and_missing_ones_are_refused(action: type[Action]) -> None:
    (item,) = yaml.safe_load(action.about.example)
    content = item[action.about.name] if isinstance(item, dict) and isinstance(item[action.about.name], dict) else {}
    for wrong in ("nonsense", "Nonsense"):
        assert not VALIDATOR.is_valid([{action.about.name: {**content, wrong: 1}}])
    for key in keys_of(action):
        if key.required:
            without = {name: value for name, value in content.items() if name != key.name}
            assert not VALIDATOR.is_valid([{action.about.name: without}])


@pytest.mark.parametrize(
    "text",
    [
        "- node: 123\n- local-only\n",
        "- NODE: foo\n- Local-Only:\n- log-level: INFO\n- tcp-listener: 2222\n- tcp-listener: '2223'\n",
        "- work-command: {workType: echo, command: echo}\n- trace\n- trace: yes\n- local-only: {local: true}\n",
        "- tcp-listener: {port: 1, allowedpeers: [bar, 7], nodecost: {bar: 2.5, baz: '3'}}\n",
        "- tcp-peer: {address: 'bar:2', redial: no, allowedpeers: 'bar, baz'}\n",
        "- control-service: {permissions: 0660, tcplisten: 7777}\n",
        "- node: {maxidleconnectiontimeout: 1m, firewallrules: [{Action: Reject, fromnode: a}, {action: drop}]}\n",
        "version: 2\nnode: {id: foo}\nlog-level: debug\ntcp-listeners: [2222, {port: 1}]\nlocal-only: true\n",
        "Version: '2'\nTCP-Peers: []\nws-peers: wss://a/b\nwork-commands: {workType: a, command: b}\ntcp-peers:\n",
    ],
)
def test_what_a_node_accepts_is_accepted(text: str) -> None:
    VALIDATOR.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "just words",
        "7",
        "- 7",
        "- nonsense",
        "- nonsense: 1",
        "- tcp-peer",
        "- node: foo\n  log-level: debug\n",
        "- {}",
        "- [node]",
        "- tcp-listener: many",
        "- tcp-listener: 65536",
        "- tcp-listener: {port: 1, cost: -1}",
        "- log-level: loud",
        "- node: {firewallrules: [{action: burn}]}",
        "- node: {firewallrules: [{fromnode: a}]}",
        "- control-service: {service: toolongname}",
        "- work-command: {worktype: a, command: ''}",
        "- work-signing: {privatekey: /k, tokenexpiration: 5}",
        "version: 3",
        "version: [2]",
        "node: foo",
        "version: 2\nnode: [foo]\n",
        "version: 2\ntcp-peer: a:1\n",
        "version: 2\ntcp-peers: [1, a]\n",
    ],
)
def test_what_no_node_accepts_is_refused(text: str) -> None:
    assert not accepts(text)


def test_defaults_are_as_people_write_them() -> None:
    def default(action: str, key: str) -> object:
        return SCHEMA["$defs"][action]["anyOf"][0]["properties"][key].get("default")

    assert default("tcp-peer", "redial") is True
    assert default("tcp-listener", "cost") == 1.0
    assert default("limits", "clients") == 20000
    assert default("limits", "controlline") == "1MiB"
    assert default("control-service", "permissions") == "0600"
    assert default("work-command", "grace") == "10s"
    assert default("node", "datadir") == "/tmp/receptor"
    assert default("node", "id") is None
    assert default("tcp-listener", "tls") is None


def test_every_key_is_described() -> None:
    for name, action in ACTIONS.items():
        described = SCHEMA["$defs"][name]["anyOf"][0]["properties"]
        for key in keys_of(action):
            assert described[key.name]["description"].startswith(key.help)
            assert key.default in described[key.name]["description"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (COMMON_NAME, "our mesh"),
        (BITS, "2048"),
        (DATE, "'2030-01-31T12:00:00Z'"),
        (DNS_NAMES, "foo.example.com"),
        (IP_ADDRESSES, "192.0.2.1"),
    ],
)
def test_what_certificates_have_in_them(kind: Kind, text: str) -> None:
    assert kind.value(text.strip("'"))
    assert Draft202012Validator(kind.schema).is_valid(yaml.safe_load(text))
