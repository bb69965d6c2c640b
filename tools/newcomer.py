"""Do what README.md says, as a new user with nothing but Python would, and tell how long it took.

    python -m tools.newcomer

What is committed is laid out in a folder of its own, with a home and an environment that know nothing of this machine
but its Python. Every command of the page is typed there, also those that install. It needs the network.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parents[1]
LONGEST = 300.0
"""Seconds that it may take."""
RESULT = "HELLO BAR"


def main() -> int:
    """Try it; 0 if the page is true and did not take too long."""
    with tempfile.TemporaryDirectory(prefix="n-") as name:
        folder = Path(name)
        for part in ("home", "tmp", "pyreceptor"):
            (folder / part).mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=PROJECT, check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "--extract", "--directory", folder / "pyreceptor"], input=archive.stdout, check=True)
        script = script_of((PROJECT / "README.md").read_text(), folder)
        start = time.monotonic()
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=folder / "pyreceptor",
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * LONGEST,
        )
        took = time.monotonic() - start
    if done.returncode or RESULT not in done.stdout.splitlines():
        print(done.stdout, file=sys.stderr)
        print("README.md does not lead to remote work; what it led to is above.", file=sys.stderr)
        return 1
    print(f"README.md leads from nothing to remote work in {took:.0f} s")
    return 0 if took < LONGEST else 1


def script_of(page: str, folder: Path) -> str:
    """The commands of the page, with a port and a folder of this run.

    A ping is repeated: nobody waits here for the second that the nodes need.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    lines = []
    for block in re.findall(r"^```console.*?\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^[$>] (.*)$", block, re.MULTILINE):
            lines.append(f"until {line}; do sleep 1; done" if line.startswith("receptorctl ping") else line)
    text = "\n".join(["trap 'kill $(jobs -p); wait' EXIT", *lines])
    return text.replace("/tmp/", f"{folder}/tmp/").replace("2222", port)


def environment(folder: Path) -> dict[str, str]:
    """That of somebody who has just come; what pip is told of where packages are stays."""
    python = Path(sys.executable).resolve().parent
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")}
    if (settings := Path.home() / ".config/pip/pip.conf").exists():
        kept.setdefault("PIP_CONFIG_FILE", str(settings))
    return kept | {"HOME": str(folder / "home"), "PATH": f"{python}:/usr/bin:/bin", "TERM": "dumb"}


if __name__ == "__main__":
    sys.exit(main())
