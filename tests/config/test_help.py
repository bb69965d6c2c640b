from __future__ import annotations

from pathlib import Path

import pytest

from receptor.config.actions import ACTIONS
from receptor.config.files import read_file
from receptor.config.help import help_text
from receptor.config.keys import Action, keys_of
from receptor.config.written import read_action
from receptor.errors import ConfigurationError


def test_the_general_help_names_every_action() -> None:
    text = help_text(None)
    assert "receptor --config FILE" in text
    for name, action in ACTIONS.items():
        assert f"\n  {name} " in text
        assert f" {name} {action.about.help}" in " ".join(text.split())


@pytest.mark.parametrize("action", ACTIONS.values())
def test_the_help_of_an_action_names_every_key(action: type[Action]) -> None:
    text = " ".join(help_text(action.about.name).split())
    assert action.about.help in text
    for key in keys_of(action):
        assert f"{key.name} {key.help}" in text
        assert key.kind.expects in text
        assert key.default in text


def test_the_help_of_an_action_reads_well() -> None:
    assert help_text("Log-Level") == (
        "log-level (given once at most)\n"
        "  Says how much the node logs.\n"
        "\n"
        "Keys:\n"
        "  level              The least severe messages to log.\n"
        "                     Value: error, warning, info or debug (default: info)\n"
        "\n"
        "A value without a key is that of 'level'.\n"
        "\n"
        "Example, in a file:\n"
        "  - log-level: info\n"
    )


@pytest.mark.parametrize("action", [None, *ACTIONS])
def test_help_fits_a_terminal(action: str | None) -> None:
    text = help_text(action)
    assert all(len(line) <= 88 and line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("action", ACTIONS.values())
def test_examples_are_right(action: type[Action], tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text(action.about.example)
    (written,) = read_file(file)
    assert isinstance(read_action(written), action)


def test_help_for_an_unknown_action() -> None:
    with pytest.raises(ConfigurationError, match=r"^--help: there is no action 'nod'; did you mean 'node'\?$"):
        help_text("nod")
