"""docs/receptorctl.md says what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from receptor.ctl.finding import PLACES
from receptor.ctl.main import receptorctl
from receptor.ctl.program import with_all_below
from receptor.ctl.terminal import EXIT_CODES

PAGE = (Path(__file__).parents[2] / "docs" / "receptorctl.md").read_text()
VERBS = [path for path, command in with_all_below(receptorctl, "") if path and not isinstance(command, click.Group)]


def test_the_page_has_the_exit_codes() -> None:
    table = PAGE.partition("## Exit codes")[2].partition("\n\nData goes")[0]
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", table, re.MULTILINE)
    assert {int(code): text.replace("\\|", "|") for code, text in rows} == EXIT_CODES


@pytest.mark.parametrize("verb", VERBS)
def test_the_page_tells_of_every_verb(verb: str) -> None:
    headings = ", ".join(re.findall(r"^### (.*)$", PAGE, re.MULTILINE)).split(", ")
    assert verb in headings, f"docs/receptorctl.md has no heading '### {verb}'"


def test_the_page_tells_of_every_option_before_the_verb() -> None:
    table = PAGE.partition("## Which node")[2].partition("\n\nThese options")[0]
    for param in receptorctl.params:
        if isinstance(param, click.Option) and param.name != "version":
            assert f"`{param.opts[0]}" in table
            assert f"`{param.envvar}`" in table or param.envvar is None


@pytest.mark.parametrize("place", [*PLACES.configurations, *PLACES.sockets])
def test_the_page_tells_where_a_node_is_looked_for(place: str) -> None:
    folder = place.removeprefix("/var").rpartition("/")[0]
    assert f"`{folder}`" in PAGE or f"`{place}`" in PAGE or place.startswith("/etc/receptor/*.")
