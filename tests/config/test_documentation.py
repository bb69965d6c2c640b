"""docs/configuration.md says what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from receptor.config.actions import ACTIONS, Action, keys_of
from receptor.config.files import load_file

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_are_right(number: int, tmp_path: Path, key_folder: Path) -> None:
    example = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[number]
    file = tmp_path / "receptor.conf"
    file.write_text(example.replace("/etc/receptor", str(key_folder)))
    assert load_file(file).node.id == "foo"


def test_the_full_example_shows_every_action_but_one() -> None:
    example = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
    assert {name for name in ACTIONS if f"\n- {name}:" not in example} == {"local-only"}


@pytest.mark.parametrize("action", ACTIONS.values())
def test_the_tables_are_those_of_the_definitions(action: type[Action]) -> None:
    section = PAGE.partition(f"### `{action.about.name}`\n")[2].partition("###")[0]
    rows = []
    for key in keys_of(action):
        name = f"`{key.name}` (main)" if key.main else f"`{key.name}`"
        default = "**required**" if key.required else key.default or "none"
        rows.append(f"| {name} | {key.kind.expects} | {default} | {key.help} |")
    assert action.about.help in section
    assert re.findall(r"^\| .*`.*$", section, re.MULTILINE) == rows
