"""Environments with packages that only some tests need, made once and then kept beside that of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
NO_PACKAGES = 3  # the exit code of tools/environment.py for that


def commands_of_environment(name: str) -> Path:
    """The folder of commands of the environment that ``tests/NAME.lock`` describes.

    Without it and without the network, the test is skipped, but not in CI.
    """
    folder, lock = Path(sys.prefix) / name.replace("_", "-"), PROJECT / f"tests/{name}.lock"
    maker: list[str | Path] = [sys.executable, PROJECT / "tools/environment.py", folder, lock]
    made = subprocess.run(maker, capture_output=True, text=True)
    if made.returncode == NO_PACKAGES and os.environ.get("CI") != "true":
        pytest.skip(f"the packages of {lock.name} can't be downloaded; run the tests once with the network there")
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "bin"
