"""What the pages of docs/ and README.md show is true: commands are typed, configurations are read, code is compiled.

A block that can't be run here has a title that begins with "Not run by the tests" and says why; how many of each page
there are is told below. The examples, and pages that need packages of their own, have tests of their own.
"""

from __future__ import annotations

import ast
import json
import os
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from example_stories import play, write_programs
from page_blocks import Block, Command, blocks_of, indented_code, steps_of

from receptor.config.files import read_file
from receptor.config.written import read_action

PROJECT = Path(__file__).parents[1]
EXAMPLES = PROJECT / "examples"
PAGES = {
    str(page.relative_to(PROJECT)): page.read_text()
    for page in sorted([PROJECT / "README.md", *PROJECT.glob("docs/*.md")])
    if page.name != "plan.md"
}
BLOCKS = {name: blocks_of(text) for name, text in PAGES.items()}

PLAYED_ELSEWHERE = {"docs/ansible-runner.md", "docs/python.md", "docs/testing.md"}
NOT_RUN = {
    "README.md": 1,
    "docs/ansible-runner.md": 1,
    "docs/benchmarks.md": 2,
    "docs/coming-from-go.md": 1,
    "docs/contributing.md": 1,
    "docs/kubernetes.md": 2,
    "docs/operating.md": 10,
    "docs/receptorctl.md": 4,
    "docs/tutorial.md": 1,
}
"""How many blocks of each page are not run."""

LANGUAGES_TO_READ = {"text", "ini", "dockerfile"}
SESSIONS = {"docs/control-protocol.md"}
"""Pages whose indented blocks are sessions with a node, which a test of their own plays."""

COMMANDS = {name: sum(isinstance(step, Command) for step in steps_of(blocks)) for name, blocks in BLOCKS.items()}
WITH_STORY = [name for name in COMMANDS if COMMANDS[name] and name not in PLAYED_ELSEWHERE]
"""The pages with commands that are played here."""


def blocks_to_read(*languages: str) -> dict[str, Block]:
    """The blocks in these languages that are run, by page and number; files are left to the story of their page."""
    return {
        f"{name}-{number}": block
        for name, blocks in BLOCKS.items()
        for number, block in enumerate(blocks)
        if block.language in languages and block.is_run and not block.file
    }


def one_a_line(text: str) -> list[str]:
    """The JSON texts of a block: one on each line, or one in all."""
    lines = text.splitlines()
    return lines if all(line.startswith("{") and line.endswith("}") for line in lines) else [text]


CONFIGURATIONS = blocks_to_read("yaml")


@pytest.fixture(scope="module")
def plays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """The stories that are wanted, the longest first, and some at once, since most of the time nodes are starting."""
    programs = tmp_path_factory.mktemp("bin")
    write_programs(programs)
    wanted = [name for name in WITH_STORY if any(f"[{name}]" in item.name for item in request.session.items)]
    wanted.sort(key=COMMANDS.__getitem__, reverse=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {name: pool.submit(play, PROJECT / name, EXAMPLES, [programs]) for name in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", WITH_STORY)
def test_the_commands_show_what_the_page_says(name: str, plays: dict[str, Future[None]]) -> None:
    plays[name].result()


@pytest.mark.parametrize("block", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_configurations_can_be_read(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "receptor.conf"
    file.write_text(block.text)
    for action in read_file(file):
        read_action(action)


def test_code_can_be_read() -> None:
    for place, block in blocks_to_read("json", "toml", "python").items():
        match block.language:
            case "json":
                for text in one_a_line(block.text):
                    json.loads(text)
            case "toml":
                tomllib.loads(block.text)
            case _:
                compile(block.text, place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("name", PAGES)
def test_it_is_known_how_many_blocks_are_not_run(name: str) -> None:
    assert sum(not block.is_run for block in BLOCKS[name]) == NOT_RUN.get(name, 0)
    known = {"console", "yaml", "json", "toml", "python"} | LANGUAGES_TO_READ
    assert {block.language for block in BLOCKS[name] if block.is_run and not block.file} <= known


@pytest.mark.parametrize("name", sorted(PAGES.keys() - SESSIONS))
def test_no_code_escapes_by_being_indented(name: str) -> None:
    assert indented_code(PAGES[name]) == []
