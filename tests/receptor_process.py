"""The command ``receptor`` of this tree as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import receptor

COMMAND = [sys.executable, "-m", "receptor"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(receptor.__file__).parents[1])}


def run_receptor(*words: str | bytes | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run([*COMMAND, *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=20)
