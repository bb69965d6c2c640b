"""ansible-runner, as people have it from PyPI, runs playbooks through two nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from environments import PROJECT, commands_of_environment
from example_stories import play, write_programs


@pytest.fixture
def ansible_runner() -> Path:
    """The folder of its commands."""
    return commands_of_environment("ansible_runner")


def test_the_page_on_it_is_true(ansible_runner: Path, tmp_path: Path) -> None:
    write_programs(tmp_path)
    play(PROJECT / "docs/ansible-runner.md", PROJECT / "examples", [tmp_path, ansible_runner])
