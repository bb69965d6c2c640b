from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from receptor.errors import OperatingError
from receptor.workceptor.data_folder import claim_data_folder
from receptor.workceptor.files import Durability


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def claim(data_folder: Path) -> None:
    """Claim it, and give it up."""
    os.close(claim_data_folder(data_folder, Durability.PROCESS))


def test_a_missing_folder_is_made(data_folder: Path) -> None:
    claim(data_folder / "deep")
    assert (data_folder / "deep").is_dir()


@pytest.mark.parametrize("made", ["folder", "folder/unit"])
def test_a_data_folder_that_can_not_be_used(data_folder: Path, made: str) -> None:
    data_folder.write_text("a file")
    with pytest.raises(OperatingError, match=r"can't be used: .*; check its permissions or set datadir"):
        claim(data_folder / made)


@pytest.mark.parametrize("durability", Durability)
def test_a_new_data_folder_survives_a_loss_of_power_if_its_units_are_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(os.readlink(f"/proc/self/fd/{file}"))))
    os.close(claim_data_folder(tmp_path / "a" / "node", durability))
    assert synced == ([] if durability is Durability.PROCESS else [tmp_path, tmp_path / "a"])
    os.close(claim_data_folder(tmp_path / "a" / "node", durability))
    assert len(synced) in (0, 2)


class TestWhoseDataFolder:
    """Units in it run as the user of the node."""

    def test_what_is_missing_is_made_so_that_nobody_else_can_write_there(self, tmp_path: Path) -> None:
        data_folder = tmp_path / "a" / "b" / "node"
        umask = os.umask(0)
        try:
            claim(data_folder)
        finally:
            os.umask(umask)
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (data_folder, data_folder.parent, tmp_path / "a")]
        assert modes == [0o700, 0o755, 0o755]

    def test_that_everybody_can_write_to(self, data_folder: Path) -> None:
        data_folder.mkdir()
        data_folder.chmod(0o702)
        with pytest.raises(OperatingError, match=r"not safe, .*: .*data can be written by everybody; chmod 700 .*data"):
            claim(data_folder)

    def test_volumes_of_containers_are_only_warned_of(
        self, data_folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data_folder.mkdir()
        data_folder.chmod(0o770)
        data_folder.parent.chmod(0o777)
        claim(data_folder)
        assert "can be written by everybody; chmod o-w" in caplog.text
        assert "can be written by its group; chmod 700" in caplog.text
        caplog.clear()
        data_folder.chmod(0o700)
        data_folder.parent.chmod(0o1777)
        claim(data_folder)
        assert caplog.text == ""

    def test_a_link(self, data_folder: Path) -> None:
        data_folder.mkdir()
        link = data_folder.with_name("link")
        link.symlink_to(data_folder)
        with pytest.raises(OperatingError, match="link is a link"):
            claim(link)
        claim(link / "of" / "a" / "parent")  # Those of ours lead astray nobody.

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may give folders away")
    @pytest.mark.parametrize("given", ["", ".."])
    def test_of_somebody_else(self, data_folder: Path, given: str) -> None:
        data_folder.mkdir()
        os.chown(data_folder / given, 65534, 65534)
        with pytest.raises(OperatingError, match=r"belongs to another user; chown it to user 0.*, or set datadir"):
            claim(data_folder)


class TestOneDaemonAtATime:
    def test_another_one_is_refused_and_told_what_to_do(self, data_folder: Path) -> None:
        held = claim_data_folder(data_folder, Durability.PROCESS)
        with pytest.raises(OperatingError, match=r"another node uses the data folder .*data; stop it, or set another"):
            claim_data_folder(data_folder, Durability.PROCESS, patience=0)
        os.close(held)
        claim(data_folder)

    def test_one_that_is_ending_is_waited_for(self, data_folder: Path) -> None:
        held = claim_data_folder(data_folder, Durability.PROCESS)
        ending = threading.Timer(0.05, os.close, [held])
        ending.start()
        os.close(claim_data_folder(data_folder, Durability.PROCESS, patience=20))
        ending.join()

    def test_commands_of_units_do_not_hold_it(self, data_folder: Path) -> None:
        held = claim_data_folder(data_folder, Durability.PROCESS)
        command = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
        os.close(held)
        claim(data_folder)
        command.communicate(b"\n")

    def test_a_file_system_that_locks_no_folders_is_warned_of(
        self, data_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def no_locks(descriptor: int, operation: int) -> None:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(fcntl, "flock", no_locks)
        claim(data_folder)
        assert "can't be locked (Operation not supported): see that no other node ever uses it" in caplog.text
