"""docs/compared.md has every verb and option of the existing tool, and ours takes them all; and the verbs of ours."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from environments import PROJECT, commands_of_environment

from receptor.config.actions import ACTIONS
from receptor.config.keys import keys_of
from receptor.ctl.main import receptorctl

PAGE = (PROJECT / "docs" / "compared.md").read_text()
EXISTING, _, ONLY_OURS = PAGE.partition("## receptorctl\n")[2].partition("\n## ")[0].partition("### Only ours\n")

Options = dict[str, list[str]]
"""The options of each verb; the verb is in words, without the program."""

DESCRIBE = """
import click, json, sys
from receptorctl.cli import cli
def verbs(command, path, parent):
    context = click.Context(command, parent)
    yield path, [name for param in command.params if isinstance(param, click.Option) for name in param.opts]
    for name in getattr(command, "commands", {}):
        yield from verbs(command.commands[name], [*path, name], context)
print(json.dumps({" ".join(path): options for path, options in verbs(cli, [], None)}))
"""


@pytest.fixture(scope="module")
def existing() -> Options:
    """What the tool from PyPI has."""
    python = commands_of_environment("upstream_client") / "python"
    described: Options = json.loads(subprocess.run([python, "-c", DESCRIBE], check=True, capture_output=True).stdout)
    return described


def ours() -> Options:
    """What our tool has."""
    return dict(verbs_below(receptorctl, "", None))


def verbs_below(command: click.Command, verb: str, parent: click.Context | None) -> Iterator[tuple[str, list[str]]]:
    context = click.Context(command, parent, info_name=command.name)
    yield verb, [name for param in command.params if isinstance(param, click.Option) for name in param.opts]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from verbs_below(below, f"{verb} {name}".strip(), context)


def told(table: str) -> Options:
    """The verbs in a table and the options in the rows after each."""
    found: Options = {}
    options: list[str] = []
    for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        if verb := re.match(r"`receptorctl((?: [a-z-]+)*)", row):
            options = found.setdefault(verb[1].strip(), [])
        options += re.findall(r"(?<=[` ])--?[a-z][a-z_-]*", row)
    return found


def test_the_page_has_all_of_the_existing_tool(existing: Options) -> None:
    on_the_page = told(EXISTING)
    for verb, options in existing.items():
        if verb != "work":
            assert sorted(options) == sorted(set(on_the_page[verb]) - {"--help"}), verb


def test_ours_takes_all_of_the_existing_tool(existing: Options) -> None:
    taken = ours()
    for verb, options in existing.items():
        assert set(options) <= set(taken[verb]), verb


def test_the_page_has_every_verb_that_only_ours_has(existing: Options) -> None:
    assert ours().keys() - existing.keys() <= told(ONLY_OURS).keys()


def test_the_keys_of_actions_on_the_page_are_those_that_are_accepted() -> None:
    rows = re.findall(r"^\| `([a-z][a-z-]+)`(?:: (.*?))? \| the same", PAGE, re.MULTILINE)
    assert len(rows) > 20
    for name, keys in rows:
        known = [key.name for key in keys_of(ACTIONS[name])]
        assert [key for key in re.findall("`(.*?)`", keys) if key not in known] == []


def test_every_action_is_on_the_page() -> None:
    assert [name for name in ACTIONS if f"\n| `{name}`" not in PAGE] == []


def test_the_version_that_is_compared_is_the_one_of_the_tests() -> None:
    (version,) = re.findall(r"receptorctl==(\S+)", Path(PROJECT, "tests/upstream_client.in").read_text())
    assert f"`receptorctl` {version}" in PAGE
