from __future__ import annotations

import click
import pytest
from receptorctl_runs import Receptorctl

from receptor.ctl.main import receptorctl
from receptor.ctl.pages import contexts_of, laid_out, page_of, short_help

COMMANDS = {context.command_path: context for context in contexts_of(receptorctl, "receptorctl")}


@click.command(short_help="Sort names.")
@click.argument("file", metavar="FILE")
@click.option("--reverse", "-r", is_flag=True, help="The last one first.")
def sort(file: str, reverse: bool) -> None:
    """Sort the names that are in FILE, and print them
    one a line.

    \b
    Examples:
      sort names.txt |
        head
      sort -r names.txt

    A name may be there twice, which
    is no mistake.

    \b
    kept  as it
    is
    """


def page(width: int = 60) -> str:
    return laid_out(page_of(click.Context(sort, info_name="sort")), width)


def test_usage_comes_first_then_examples_then_the_rest() -> None:
    assert page() == (
        "Usage: sort [OPTIONS] FILE\n"
        "\n"
        "  Sort the names that are in FILE, and print them one a\n"
        "  line.\n"
        "\n"
        "Examples:\n"
        "  sort names.txt |\n"
        "    head\n"
        "  sort -r names.txt\n"
        "\n"
        "  A name may be there twice, which is no mistake.\n"
        "\n"
        "  kept  as it\n"
        "  is\n"
        "\n"
        "Options:\n"
        "  -r, --reverse  The last one first.\n"
        "  --help         Show this message and exit."
    )


def test_headings_stand_out_on_a_terminal() -> None:
    shown = laid_out(page_of(click.Context(sort, info_name="sort")), 60, coloured=True)
    assert click.unstyle(shown) == page()
    assert "\x1b[1mExamples:\x1b[0m\n" in shown


def test_the_program_s_page_has_every_verb_under_a_heading(ctl: Receptorctl) -> None:
    lines = ctl.bare("--help").lines
    headings = ["Examples:", "The mesh:", "Units of work:", "This tool:", "Options:", "Exit codes:"]
    assert [line for line in lines if line in headings] == headings
    verbs = [path for path, context in COMMANDS.items() if not isinstance(context.command, click.Group)]
    for verb in verbs:
        name = verb.removeprefix("receptorctl ")
        assert any(line.startswith(f"  {name} ") for line in lines), f"{name} is in no section of main.py"


@pytest.mark.parametrize("columns", ["60", "200"])
def test_help_fits_the_terminal(columns: str, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    parts = ctl.bare("work", "submit", "--help").output.decode().split("\n\n")
    texts = [line for part in parts if not part.startswith("Examples:") for line in part.splitlines()]
    assert max(map(len, texts)) <= min(int(columns), 100)
    assert max(map(len, texts)) > min(int(columns), 100) - 20


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_is_described_in_one_line_and_has_an_example(path: str) -> None:
    text = short_help(COMMANDS[path].command)
    assert text.endswith("."), f"the short help of {path} is no sentence"
    assert len(text) <= 75, f"the short help of {path} is too long for a line"
    examples = page_of(COMMANDS[path]).examples
    assert examples, f"{path} has no example: begin a part of its docstring with \\b and 'Examples:'"
    assert any(path in line for line in examples), f"no example of {path} shows it"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_is_explained(path: str) -> None:
    for param in COMMANDS[path].command.params:
        if isinstance(param, click.Option):
            assert param.help, f"{param.opts} of {path} has no help"
            assert param.help.rstrip()[-1] in ".)", f"the help of {param.opts} of {path} is no sentence"
