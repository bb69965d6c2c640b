"""Make a virtual environment that holds what a lock file pins; do nothing if it is there already.

    environment.py FOLDER LOCK [PROJECT]

The project in the folder PROJECT, if given, is installed too, as an editable package. Several runs at a time
wait for one another, and what an interrupted run left is made anew. Exit code 3: packages can't be had.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_PACKAGES = 3


def main(folder: Path, lock: Path, project: Path | None) -> int:
    stamp = folder / "made-from"
    wanted = fingerprint(folder, lock, project)
    with one_at_a_time(lock):
        if is_ready(folder, stamp, wanted):
            return 0
        version = ".".join(map(str, sys.version_info[:3]))
        print(f"Setting up {folder} with Python {version}: once, about a minute ...", flush=True)
        stamp.unlink(missing_ok=True)
        venv.create(folder, clear=True, symlinks=True, with_pip=True)
        install: list[str | Path] = [folder / "bin/python", "-m", "pip", "install"]
        install += ["--quiet", "--disable-pip-version-check"]
        if subprocess.run([*install, "--require-hashes", "--requirement", lock]).returncode:
            print(
                f"The packages that {lock} names could not be installed; pip's reasons are above.\n"
                "This first set-up needs the network, or a package index that pip is configured to use.",
                file=sys.stderr,
            )
            return NO_PACKAGES
        if project:
            offline = ["--no-index", "--no-deps", "--no-build-isolation"]
            subprocess.run([*install, *offline, "--editable", project], check=True)
        stamp.write_text(wanted)
    return 0


def fingerprint(folder: Path, lock: Path, project: Path | None) -> str:
    """Changes with everything that the environment depends on; its place too, which its scripts name."""
    parts = [str(folder.resolve()).encode(), lock.read_bytes()]
    if project:
        parts.append((project / "pyproject.toml").read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    with lock.open("rb+") as held:  # open for writing, since flock on NFS asks for that
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another set-up that is under way ...", flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def is_ready(folder: Path, stamp: Path, wanted: str) -> bool:
    if not stamp.exists() or stamp.read_text() != wanted:
        return False
    version = "import sys; print(*sys.version_info[:2])"
    try:
        inside = subprocess.run([folder / "bin/python", "-c", version], capture_output=True, text=True)
    except OSError:  # the Python that it was made with has been removed
        return False
    asked_for_another = os.environ.get("PYTHON") and inside.stdout.split() != [str(n) for n in sys.version_info[:2]]
    return inside.returncode == 0 and not asked_for_another


if __name__ == "__main__":
    arguments = [Path(word) for word in sys.argv[1:]]
    try:
        sys.exit(main(arguments[0], arguments[1], arguments[2] if arguments[2:] else None))
    except subprocess.CalledProcessError as error:
        sys.exit(f"Setting up failed: {error}\nIts output is above; running the same command again starts afresh.")
    except KeyboardInterrupt:
        sys.exit("Interrupted; run the same command again to finish.")
