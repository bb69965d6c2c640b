"""``receptor systemd``: files that systemd itself takes, where it is at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from receptor.cli.systemd_files import run_systemd, system_files, this_program
from receptor.errors import ConfigurationError, OperatingError

SERVICE = "etc/systemd/system/receptor.service"
TEMPLATE = "etc/systemd/system/receptor@.service"
ROOT = Path(__file__).parents[2]

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def analyze(*words: str | Path) -> str:
    """What systemd-analyze has to say, on both outputs."""
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The service and an instance of the template, which start a program that is there."""
    files = system_files(sys.executable)
    service, instance = tmp_path / "receptor.service", tmp_path / "receptor@foo.service"
    service.write_text(files[SERVICE])
    instance.write_text(files[TEMPLATE])
    return [service, instance]


@needs_systemd
def test_systemd_finds_nothing_wrong_with_them(units: list[Path]) -> None:
    assert analyze("verify", "--man=no", *units) == ""


@needs_systemd
def test_they_leave_little_exposed(units: list[Path]) -> None:
    """The scale goes from 0, best, to 10; what is above 2 means that something was loosened by mistake."""
    analyze("security", "--offline=yes", "--no-pager", "--threshold=20", *units)


@needs_systemd
def test_what_the_page_loosens_is_right(units: list[Path], tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    drop_in = page.partition("```ini\n")[2].partition("```")[0]
    assert "NoNewPrivileges=no" in drop_in
    folder = tmp_path / "receptor.service.d"
    folder.mkdir()
    (folder / "override.conf").write_text(drop_in)
    assert analyze("verify", "--man=no", units[0]) == ""


def test_a_template_differs_from_the_service_only_in_its_names() -> None:
    files = system_files("/usr/bin/receptor")
    assert "ExecStart=/usr/bin/receptor --config /etc/receptor/receptor.conf\n" in files[SERVICE]
    assert "ExecStart=/usr/bin/receptor --config /etc/receptor/%i.conf\n" in files[TEMPLATE]
    service, template = (files[one].partition("[Unit]")[2].splitlines() for one in (SERVICE, TEMPLATE))
    differ = [one for one, other in zip(service, template, strict=True) if one != other]
    assert [line.partition("=")[0] for line in differ] == ["Description", "ExecStart"]


def test_work_outlives_the_service() -> None:
    """What would end the runner or take files from under its commands when the node stops."""
    lines = system_files("/usr/bin/receptor")[SERVICE].splitlines()
    assert {"KillMode=process", "OOMPolicy=continue", "RuntimeDirectoryPreserve=yes"} <= set(lines)
    assert not {"PrivateTmp=yes", "RemoveIPC=yes", "DynamicUser=yes"} & set(lines)


def test_another_user_has_all_that_the_node_writes_to() -> None:
    files = system_files("/usr/bin/receptor", "awx")
    assert {"User=awx", "Group=awx"} <= set(files[SERVICE].splitlines()) & set(files[TEMPLATE].splitlines())
    assert "\nu awx - " in files["etc/sysusers.d/receptor.conf"]
    folders = [line.split() for line in files["etc/tmpfiles.d/receptor.conf"].splitlines() if line[0] == "d"]
    assert {tuple(owner) for _, _, _, *owner, _ in folders[1:]} == {("awx", "awx")}
    assert folders[0] == ["d", "/etc/receptor", "0750", "root", "awx", "-"]


@pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("systemd-sysusers") and shutil.which("systemd-tmpfiles")),
    reason="needs root and systemd's tools",
)
def test_systemd_makes_the_user_and_its_folders(tmp_path: Path) -> None:
    run_systemd(["--install", "--root", str(tmp_path), "--program", "/usr/bin/receptor"])
    (tmp_path / "etc").mkdir()
    for tool in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        done = subprocess.run([*tool, f"--root={tmp_path}"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc/passwd").read_text().startswith("receptor:")
    modes = {name: (tmp_path / name).stat() for name in ("etc/receptor", "var/lib/receptor")}
    assert {name: (oct(one.st_mode & 0o7777), one.st_uid == 0) for name, one in modes.items()} == {
        "etc/receptor": ("0o750", True),
        "var/lib/receptor": ("0o750", False),
    }


def test_any_path_of_the_program_is_one_word() -> None:
    assert 'ExecStart="/opt/my %%h $$1/receptor" --config' in system_files("/opt/my %h $1/receptor")[SERVICE]


def test_they_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    run_systemd([])
    said = capsys.readouterr().out
    for path, content in system_files(this_program()).items():
        assert f"### /{path}\n{content}" in said


def test_they_are_written_for_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--install", "--root", str(tmp_path), "--program", "/usr/bin/receptor"]
    run_systemd(words)
    written = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == system_files("/usr/bin/receptor", folder="usr/lib")
    assert set(written) == {
        "usr/lib/systemd/system/receptor.service",
        "usr/lib/systemd/system/receptor@.service",
        "usr/lib/sysusers.d/receptor.conf",
        "usr/lib/tmpfiles.d/receptor.conf",
    }
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / path}: written" for path in system_files("", folder="usr/lib")
    ]
    run_systemd(words)  # once more changes nothing


def test_changes_of_others_are_not_written_over(tmp_path: Path) -> None:
    words = ["--install", "--root", str(tmp_path), "--program", "/usr/bin/receptor"]
    run_systemd(words)
    service = tmp_path / "usr/lib/systemd/system/receptor.service"
    service.write_text("mine")
    with pytest.raises(OperatingError, match="systemctl edit receptor"):
        run_systemd(words)
    assert service.read_text() == "mine"
    run_systemd([*words, "--force"])
    assert "ExecStart" in service.read_text()


def test_a_program_in_a_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/alice/.local/share/pipx/venvs/pyreceptor")
    with pytest.raises(OperatingError, match=r"in a user's home, which a service can't see; install it elsewhere"):
        run_systemd(["--install", "--root", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such option"):
        run_systemd(["--nonsense"])
    with pytest.raises(ConfigurationError, match="'a b' is not the name of a user, such as receptor or awx"):
        run_systemd(["--user", "a b"])
    (tmp_path / "usr").touch()
    with pytest.raises(OperatingError, match=r"can't be written: .*; do it as root, or name a --root"):
        run_systemd(["--install", "--root", str(tmp_path), "--program", "/usr/bin/receptor"])
