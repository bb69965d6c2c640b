"""The examples do what their pages say."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from example_stories import play, write_programs

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
        yield {example: pool.submit(play, EXAMPLES / example / "README.md", EXAMPLES, [programs]) for example in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("example", STORIES)
def test_the_story_is_true(example: str, plays: dict[str, Future[None]]) -> None:
    if example == "tcp-proxy" and shutil.which("curl") is None:
        pytest.skip("its story needs curl")
    plays[example].result()


def test_the_overview_has_all_stories() -> None:
    overview = (EXAMPLES / "README.md").read_text()
    assert sorted(re.findall(r"^\| \[[\w-]+\]\(([\w-]+)/README.md\)", overview, re.MULTILINE)) == STORIES
