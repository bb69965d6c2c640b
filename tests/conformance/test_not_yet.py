from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conformance import not_yet

PROJECT = Path(__file__).parents[2]

CHECKS = """
import pytest

@pytest.mark.parametrize("text", ["a b", "{"])
def test_passes(text): pass

def test_fails(): assert False

@pytest.fixture
def broken(): raise OSError

def test_does_not_start(broken): pass
"""


@pytest.mark.parametrize(
    ("listed", "summary"),
    [
        ("", "1 failed, 2 passed, 1 error"),
        ("# known\n\ntest_it.py::test_fails\ntest_it.py::test_does_not_start\n", "2 passed, 2 xfailed"),
        ("test_it.py::test_passes[a b]", "2 failed, 1 passed, 1 error"),
        ("test_it.py::test_gone", "2 failed, 2 passed, 1 error"),
    ],
    ids=["nothing listed", "failures listed", "a pass listed", "nothing of that name"],
)
def test_only_listed_checks_may_fail_and_only_they(tmp_path: Path, listed: str, summary: str) -> None:
    plugin = shutil.copy(not_yet.__file__, tmp_path)
    (tmp_path / "not-yet.txt").write_text(listed)
    (tmp_path / "test_it.py").write_text(CHECKS)
    run = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={tmp_path}", "-p", Path(plugin).stem]
    done = subprocess.run(
        [*run, "-p", "no:cacheprovider", tmp_path],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert summary in done.stdout.splitlines()[-1], done.stdout
    assert (done.returncode == 0) == ("fail" not in summary.replace("xfailed", ""))


def test_the_list_only_shrinks() -> None:
    """Every version that git knows of the list holds all that it holds now."""
    now = set(not_yet.listed_checks(not_yet.LIST.read_text()))
    path = not_yet.LIST.relative_to(PROJECT)
    for commit in git("log", "--format=%H", "--diff-filter=AM", "--", str(path)).split():
        before = set(not_yet.listed_checks(git("show", f"{commit}:{path}")))
        assert now <= before, f"these were added to {path} since commit {commit[:10]}"


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
