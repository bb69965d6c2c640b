from __future__ import annotations

import pytest

from receptor.config.actions import ControlService, LocalOnly, WorkCommand
from receptor.config.backend_actions import TcpListener
from receptor.config.kind import Written
from receptor.config.written import WrittenAction, WrittenValue, find_action, read_action
from receptor.errors import ConfigurationError


def action(name: str, *values: tuple[str | None, Written]) -> WrittenAction:
    """An action in line 1, with its values in the lines after it."""
    placed = (WrittenValue(key, value, f"c.yml:{line}") for line, (key, value) in enumerate(values, start=2))
    return WrittenAction(name, "c.yml:1", tuple(placed))


def problems_of(written: WrittenAction) -> list[str]:
    with pytest.raises(ConfigurationError) as told:
        read_action(written)
    return str(told.value).splitlines()


def test_keys_and_names_are_read_in_any_letter_case() -> None:
    written = action("Work-Command", ("workType", "echo"), ("COMMAND", "echo"), ("params", "Hello"))
    assert read_action(written) == WorkCommand("echo", "echo", "Hello")


def test_a_bare_value_is_the_main_one() -> None:
    assert read_action(action("tcp-listener", (None, "2222"))) == TcpListener(port=2222)


def test_without_values_all_is_default() -> None:
    assert read_action(action("control-service")) == ControlService()
    assert read_action(action("local-only")) == LocalOnly()


def test_an_unknown_action_is_told_with_the_nearest_name() -> None:
    assert problems_of(action("tcp-listner", ("port", "2"))) == [
        "c.yml:1: there is no action 'tcp-listner'; did you mean 'tcp-listener'?"
    ]
    assert problems_of(action("xyz")) == ["c.yml:1: there is no action 'xyz'; 'receptor --help' lists the actions"]


def test_an_unknown_key_is_told_with_the_nearest_name() -> None:
    assert problems_of(action("work-command", ("worktype", "w"), ("comand", "bash"))) == [
        "c.yml:3: work-command has no key 'comand'; did you mean 'command'?"
    ]
    assert problems_of(action("log-level", ("xyz", "1"))) == ["c.yml:2: log-level has no key 'xyz'; its keys: level"]


def test_missing_keys_are_told() -> None:
    assert problems_of(action("work-command")) == ["c.yml:1: work-command needs 'worktype' and 'command'"]
    assert problems_of(action("tcp-listener", ("bindaddr", "::"))) == ["c.yml:1: tcp-listener needs 'port'"]


def test_a_wrong_value_is_told_with_what_it_must_be() -> None:
    assert problems_of(action("tcp-listener", ("port", "many"), ("cost", "-1"))) == [
        "c.yml:2: port must be a whole number from 0 to 65535, not 'many'",
        "c.yml:3: cost must be a number above 0, not '-1'",
    ]


def test_a_key_given_twice_is_told() -> None:
    assert problems_of(action("tcp-listener", ("port", "1"), ("Port", "2"))) == [
        "c.yml:3: tcp-listener has 'port' twice"
    ]


def test_a_bare_value_where_none_fits_is_told() -> None:
    assert problems_of(action("control-service", (None, "control"))) == [
        "c.yml:2: control-service takes no value without a key; its keys: "
        "service, filename, permissions, tcplisten, tls, tcptls"
    ]


def test_an_action_is_found_by_its_name() -> None:
    assert find_action("TCP-Listener", "here") is TcpListener
