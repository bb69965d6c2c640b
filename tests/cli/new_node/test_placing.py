"""Files get to their places all together, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from receptor.cli.new_node.placing import Access, NewFile, Owner, place, refuse_to_overwrite
from receptor.errors import OperatingError


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def new(path: Path, content: bytes = b"new", access: Access = Access.PUBLIC) -> NewFile:
    return NewFile(path, content, access)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_are_right_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        place([new(tmp_path / access.name / "f", access=access) for access in Access], None)
    finally:
        os.umask(before)
    found = {
        path.parent.name: f"{path.parent.stat().st_mode & 0o777:o} {path.stat().st_mode & 0o777:o}"
        for path in tmp_path.glob("*/f")
    }
    assert found == {"CONFIGURATION": "750 640", "PUBLIC": "750 644", "KEY": "750 600", "AUTHORITY": "700 600"}


def test_if_one_fails_all_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "file").write_bytes(b"")
    before = everything(tmp_path)
    with pytest.raises(OperatingError, match=r"file/x: can't be written: Not a directory; nothing was changed"):
        place([new(tmp_path / "old"), new(tmp_path / "a" / "b" / "c"), new(tmp_path / "file" / "x")], None)
    assert everything(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "old"]


def test_files_that_are_there_are_told_unless_they_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"new")
    (tmp_path / "other").write_bytes(b"old")
    refuse_to_overwrite([new(tmp_path / "same"), new(tmp_path / "none")])
    with pytest.raises(OperatingError, match=rf"^there is {tmp_path}/other already; --force"):
        refuse_to_overwrite([new(tmp_path / "same"), new(tmp_path / "other")])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_gives_a_node_its_keys_and_no_more(tmp_path: Path) -> None:
    """It reads its configuration, and can't change it; the authority's key is none of its business."""
    place([new(tmp_path / access.name / "f", access=access) for access in Access], Owner(4321, 5432))
    found = {path.parent.name: (path.stat().st_uid, path.stat().st_gid) for path in tmp_path.glob("*/f")}
    assert found == {
        "CONFIGURATION": (0, 5432),
        "PUBLIC": (0, 5432),
        "KEY": (4321, 5432),
        "AUTHORITY": (0, 0),
    }
    assert (tmp_path / "KEY").stat().st_uid == 0
    assert (tmp_path / "KEY").stat().st_gid == 5432


def test_contents_are_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(new(tmp_path, b"secret"))
