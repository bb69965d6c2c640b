"""docs/testing.md says what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2].joinpath("docs/testing.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
IMPORTS = """
import asyncio
import unittest

import pytest

from receptor.client import CommandError, UnitState
from receptor.testing import Mesh
"""


def test_the_examples_run_in_a_project_of_their_own(tmp_path: Path) -> None:
    tests = "\n\n".join([IMPORTS, *BLOCKS])
    (tmp_path / "test_examples.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{tests.count('def test_')} passed" in ended.stdout
