"""The examples do what their pages say."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from example_stories import Command, commands_of, play, write_programs

EXAMPLES = Path(__file__).parents[1] / "examples"
STORIES = sorted(page.parent.name for page in EXAMPLES.glob("*/README.md"))


@pytest.fixture(scope="module")
def plays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """The stories that are wanted, some at once, since most of the time nodes are starting."""
    programs = tmp_path_factory.mktemp("bin")
    write_programs(programs)
    wanted = [example for example in STORIES if any(f"[{example}]" in item.name for item in request.session.items)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {example: pool.submit(play, EXAMPLES / example, programs) for example in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("example", STORIES)
def test_the_story_is_true(example: str, plays: dict[str, Future[None]]) -> None:
    if example == "tcp-proxy" and shutil.which("curl") is None:
        pytest.skip("its story needs curl")
    plays[example].result()


def test_the_overview_has_all_stories() -> None:
    overview = (EXAMPLES / "README.md").read_text()
    assert sorted(re.findall(r"^\| \[[\w-]+\]\(([\w-]+)/README.md\)", overview, re.MULTILINE)) == STORIES


def test_commands_and_what_they_show_are_read_from_a_page() -> None:
    page = "```console\n$ one &\n$ two 'a'\nfirst\n\nsecond $ 5\n```\n\nText.\n\n```console\n$ three\n```\n"
    assert commands_of(page) == [
        Command("one &", ""),
        Command("two 'a'", "first\n\nsecond $ 5\n"),
        Command("three", ""),
    ]


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("a.c\n", "a.c\n"),
        ("in ...s\n", "in 3.5 µs\n"),
        ("...\nlast\n", "1\n2\nlast\n"),
        ("first\n...\n", "first\n"),
    ],
)
def test_dots_stand_for_anything(page: str, shown: str) -> None:
    assert Command("it", page).is_told_by(shown)


@pytest.mark.parametrize(
    ("page", "shown"), [("a.c\n", "abc\n"), ("one\n", "one\ntwo\n"), ("in ...s\n", "in\n3 s\n"), ("", "a mistake\n")]
)
def test_all_else_must_be_as_the_page_has_it(page: str, shown: str) -> None:
    with pytest.raises(AssertionError, match="The page has instead"):
        Command("it", page).check(shown)
