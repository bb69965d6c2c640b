"""``make demo`` (examples/seed/demo.py), with the commands of this tree or with broken ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
DEMO = PROJECT / "examples/seed/demo.py"
OURS = """#!{python}
from receptor.{module} import run
run()
"""


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with a Python and, beside it as the demo expects, receptor and receptorctl of this tree."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(Path(sys.executable).resolve())
    for name, module in (("receptor", "cli.main"), ("receptorctl", "ctl.main")):
        write_command(folder / name, OURS.format(python=sys.executable, module=module))
    return folder


def write_command(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o700)


def run_demo(commands: Path, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [commands / "python", DEMO],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src"), "TMPDIR": str(tmp_path), **environment},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=90,
    )


def test_the_story_is_told_to_its_end(commands: Path, tmp_path: Path) -> None:
    done = run_demo(commands, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("HI\nI AM FOO\nWHAT IS YOUR NAME\n", "\n9\n10\n", "Cancelled:", "Released:", "SIGNED BY FOO"):
        assert shown in done.stdout
    assert "receptor --config examples/seed/foo.yml" in done.stdout.split("Now you.")[1]
    assert_nothing_left(done.stdout)


def test_a_node_that_ends_is_shown_with_the_end_of_its_log(commands: Path, tmp_path: Path) -> None:
    write_command(commands / "receptor", "#!/bin/sh\necho no room on the disk\nexit 3\n")
    done = run_demo(commands, tmp_path)
    assert done.returncode == 1
    assert re.search(r"node (foo|bar) ended with exit code 3", done.stderr)
    assert "no room on the disk" in done.stderr
    assert_nothing_left(done.stdout)


def test_without_bash_it_says_what_to_install(commands: Path, tmp_path: Path) -> None:
    done = run_demo(commands, tmp_path, PATH=str(commands))
    assert done.returncode == 1
    assert "bash 4 or later" in done.stderr
    assert "apt install bash" in done.stderr


def assert_nothing_left(said: str) -> None:
    """No process names the folder of a run, which its output tells; a node's helper may take a moment to end."""
    found = re.search(r"logs of this run: (\S+)", said)
    assert found
    end = time.monotonic() + 5
    while left := [line for line in processes() if found[1] in line]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def processes() -> list[str]:
    return subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout.splitlines()
