from __future__ import annotations

from pathlib import Path

import pytest

from receptor.config.actions import ACTIONS, Node
from receptor.config.backend_actions import TcpListener
from receptor.config.keys import Action, Key, keys_of

ALL_KEYS = [pytest.param(key, id=f"{name} {key.name}") for name, action in ACTIONS.items() for key in keys_of(action)]


def key_of(action: type[Action], name: str) -> Key:
    return next(key for key in keys_of(action) if key.name == name)


@pytest.mark.parametrize("key", ALL_KEYS)
def test_every_key_is_described_in_one_short_sentence(key: Key) -> None:
    assert key.name == key.name.lower()
    assert key.help[0].isupper()
    assert key.help.endswith(".")
    assert len(key.help) < 80


@pytest.mark.parametrize("action", ACTIONS.values())
def test_every_action_is_described_and_has_one_main_key_at_most(action: type[Action]) -> None:
    assert action.about.help.endswith(".")
    assert action.about.example.startswith(f"- {action.about.name}")
    assert sum(key.main for key in keys_of(action)) <= 1


@pytest.mark.parametrize(
    ("action", "key", "default"),
    [
        ("node", "id", "this machine's host name"),
        ("node", "datadir", "/tmp/receptor"),
        ("node", "maxidleconnectiontimeout", "21s"),
        ("node", "durability", "process"),
        ("log-level", "level", "info"),
        ("tcp-listener", "cost", "1.0"),
        ("tcp-peer", "redial", "true"),
        ("control-service", "permissions", "0600"),
        ("work-command", "params", ""),
        ("work-command", "verifysignature", "false"),
        ("work-command", "grace", "10s"),
        ("work-signing", "tokenexpiration", "5m0s"),
        ("access-rule", "worktypes", "all but 'remote'"),
        ("limits", "controlline", "1MiB"),
        ("limits", "clients", "20000"),
    ],
)
def test_defaults_are_shown_as_people_write_them(action: str, key: str, default: str) -> None:
    assert key_of(ACTIONS[action], key).default == default


def test_actions_are_plain_values() -> None:
    assert Node("foo") == Node(id="foo", data_dir=Path("/tmp/receptor"), max_idle_connection_timeout=None)
    assert TcpListener(port=2222).node_cost == {}
