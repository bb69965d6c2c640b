"""The reference on the site has everything that the definitions have."""

from __future__ import annotations

import re
from typing import get_args

import msgspec
import pytest

from receptor.config.actions import ACTIONS
from receptor.config.keys import keys_of
from receptor.control.commands import Command, Multiplex
from tools.reference import pages_of_the_reference
from tools.reference.control import EXAMPLES, field_of, parsed

PAGES = pages_of_the_reference()
RECORDS: list[type[msgspec.Struct]] = [*get_args(Command), Multiplex]


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_has_a_table_of_its_keys(name: str) -> None:
    section = PAGES["reference/configuration.md"].partition(f"### `{name}`\n")[2].partition("###")[0]
    keys = keys_of(ACTIONS[name])
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == [key.name for key in keys]
    assert ACTIONS[name].about.example in section


@pytest.mark.parametrize("record", RECORDS)
def test_every_control_command_is_shown_with_all_its_keys(record: type[msgspec.Struct]) -> None:
    """A command has a new field: give its key an example in tools/reference/control.py."""
    examples = [example for example in EXAMPLES if type(parsed(example)) is record]
    assert examples
    keys = [(example, key) for example in examples for key in example if key not in ("command", "subcommand")]
    fields = {field_of(example, key) for example, key in keys}
    said_by_the_name = {"force"}
    assert fields == set(record.__struct_fields__) - said_by_the_name


@pytest.mark.parametrize("command", ["receptorctl work submit", "receptorctl connect", "receptor certs node"])
def test_the_help_of_commands_is_there(command: str) -> None:
    page = PAGES[f"reference/{command.split()[0]}.md"]
    assert f"## `{command}`\n\n```text\nUsage: {command} [OPTIONS]" in page
