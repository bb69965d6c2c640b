"""Wheels, source archives and the recipe of the container image."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import click
import pytest

from receptor import __version__
from receptor.config.command_line import parse_command_line
from receptor.ctl.main import receptorctl
from receptor.errors import ConfigurationError

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = (ROOT / "packaging" / "Containerfile").read_text()
LONG_AGO = 1_000_000_000


def build(source: Path, out: Path) -> dict[str, bytes]:
    """Build source archive and wheel, with the backend that the environment has; each file by its name."""
    words = [sys.executable, "-m", "hatchling", "build", "--directory", str(out)]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built")
    build(ROOT, out)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(built / f"pyreceptor-{__version__}-py3-none-any.whl")


def test_the_same_source_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    """Wherever and whenever it is built, and whoever may read its files."""
    source = tmp_path / "elsewhere"
    for name in ("src", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "requirements.lock", ".gitignore"):
        shutil.copy(ROOT / name, source)
    for path in source.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert build(source, tmp_path / "out") == {path.name: path.read_bytes() for path in built.iterdir()}


def test_a_source_archive_holds_what_a_wheel_is_built_from(built: Path, tmp_path: Path) -> None:
    with tarfile.open(built / f"pyreceptor-{__version__}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    again = build(unpacked, tmp_path / "out")
    assert again[f"pyreceptor-{__version__}-py3-none-any.whl"] == next(built.glob("*.whl")).read_bytes()


def test_the_wheel_has_all_that_is_needed_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {f"receptor/system/{name}" for name in ("receptor.service", "sysusers.conf", "tmpfiles.conf")} <= names
    assert {"receptor/py.typed", f"pyreceptor-{__version__}.dist-info/licenses/LICENSE"} <= names
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs" / "man").glob("*/*")}
    assert {f"pyreceptor-{__version__}.data/data/share/{page}" for page in pages} <= names
    foreign = [name for name in names if not name.startswith(("receptor/", f"pyreceptor-{__version__}."))]
    assert foreign == []
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []


def test_the_metadata(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(wheel.read(f"pyreceptor-{__version__}.dist-info/METADATA").decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Version"] == __version__
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def instructions(name: str) -> list[str]:
    """What the recipe says after that word, its continued lines joined."""
    joined = RECIPE.replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_the_image_is_pinned_and_runs_as_an_ordinary_user() -> None:
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-\w+", instructions("ARG")[0])
    assert {image.split(" ")[0] for image in instructions("FROM")} == {"docker.io/library/python:${PYTHON}"}
    assert instructions("USER") == ["1000:0"]
    assert "--require-hashes" in RECIPE


def test_what_the_image_is_made_of_is_there() -> None:
    for copied in instructions("COPY"):
        if not copied.startswith("--from"):
            *sources, _ = copied.split()
            assert [one for one in sources if not (ROOT / one).exists()] == []


def test_what_the_image_runs_is_ours() -> None:
    (entry,), (words,) = ([json.loads(one) for one in instructions(name)] for name in ("ENTRYPOINT", "CMD"))
    assert entry[0] in PROJECT["scripts"]
    with pytest.raises(ConfigurationError, match=r"^/etc/receptor/receptor.conf: the configuration file can't be read"):
        parse_command_line(words)
    (check,) = instructions("HEALTHCHECK")
    program, verb, *options = json.loads(check.partition("CMD ")[2])
    assert program in PROJECT["scripts"]
    command = receptorctl.get_command(click.Context(receptorctl), verb)
    assert command is not None
    assert set(options) <= {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("lock", ["runtime.lock", "build.lock"])
def test_the_image_has_the_packages_that_the_tests_have(lock: str) -> None:
    def versions(text: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==\S+", text, re.MULTILINE))

    packages = versions((ROOT / "packaging" / lock).read_text())
    assert packages
    assert packages <= versions((ROOT / "requirements.lock").read_text())
