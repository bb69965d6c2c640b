from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from receptor.errors import OperatingError
from receptor.workceptor import files
from receptor.workceptor.files import Durability
from receptor.workceptor.folder import UnitFolder, remove_leftovers, unit_ids
from receptor.workceptor.records import ExitRecord, Order, StartRecord, Submission
from receptor.workceptor.status import LARGEST_STATUS

START = StartRecord(pid=7, start_time=99, boot_id="b", folder="/d/n/unit0001", started=1.5)
EXIT = ExitRecord(
    exit_code=3, signal=None, started=1.5, ended=2.5, user_seconds=0.1, system_seconds=0.2, peak_memory=4096
)


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    unit = UnitFolder(tmp_path / "unit0001")
    unit.create(b"")
    return unit


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def held_lock(unit: UnitFolder, kind: int) -> Iterator[None]:
    """What a foreign tool does that reads or writes the status."""
    with unit.lock_file.open("rb") as file:
        fcntl.flock(file, kind)
        yield


def test_only_the_owner_gets_in(unit: UnitFolder) -> None:
    unit.write_status(b"{}\n")
    assert mode(unit.path) == 0o700
    assert {file.name: mode(file) for file in unit.path.iterdir()} == dict.fromkeys(
        ("status", "status.lock", "status.new", "stdin", "stdout"), 0o600
    )


def test_when_it_was_made_and_when_it_ended(tmp_path: Path) -> None:
    unit = UnitFolder(tmp_path / "unit0001")
    unit.create(b"", created=1700000000.123456)
    unit.write_payload(b"payload")
    unit.write_status(b"running")
    with held_lock(unit, fcntl.LOCK_SH):
        unit.write_status(b"ended", None, None, 1700000001.654321)
    unit.read_status()
    assert (unit.created(), unit.ended()) == (1700000000.123456, 1700000001.654321)
    unit.write_status(b"ended", None, None, 1700000001.654321)
    assert unit.ended() == 1700000001.654321
    unit.lock_file.unlink()
    assert abs(unit.created() - time.time()) < 60, "the time of the payload"
    for file in (unit.stdin_file, unit.status_file):
        file.unlink()
    assert (unit.created(), unit.ended()) == (0.0, 0.0)


def test_a_taken_id_is_told(unit: UnitFolder) -> None:
    unit.write_status(b"kept")
    with pytest.raises(FileExistsError):
        UnitFolder(unit.path).create(b"")
    assert unit.read_status() == b"kept"


def test_a_crash_while_it_is_made_leaves_nothing_that_looks_like_a_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one step by which a unit comes into being is the renaming of its folder, which has its status by then."""

    def crash(draft: Path, _: Path) -> None:
        assert (draft / "status").read_bytes() == b"status"
        raise SystemExit

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(SystemExit):
        UnitFolder(tmp_path / "unit0001").create(b"status", Submission(submitter="node foo"))
    assert unit_ids(tmp_path) == []
    assert list(tmp_path.iterdir())
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_while_it_is_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path, __: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OperatingError, match="unit0001: No space left on device; free some space"):
        UnitFolder(tmp_path / "unit0001").create(b"status")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("durability", Durability)
def test_what_is_acknowledged_reaches_the_disk_itself_if_it_is_to_survive_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(os.readlink(f"/proc/self/fd/{file}")).name))
    unit = UnitFolder(tmp_path / "unit0001", durability)
    unit.create(b"old")
    unit.settle_payload()
    unit.settle_output()
    unit.write_status(b"new")
    unit.remove()
    made = ["status", "status.lock", "stdin", "stdout", ".new-unit0001", tmp_path.name]
    later = ["stdin", "stdout", "status.new", "unit0001", tmp_path.name]
    assert synced == ([] if durability is Durability.PROCESS else [*made, *later])


def test_there_is_no_output_to_settle(tmp_path: Path) -> None:
    unit = UnitFolder(tmp_path / "unit0001", Durability.POWER)
    unit.create(b"")
    unit.stdout_file.unlink()
    unit.settle_output()


def test_no_data_folder(tmp_path: Path) -> None:
    with pytest.raises(OperatingError, match="unit0001: No such file"):
        UnitFolder(tmp_path / "missing" / "unit0001").create(b"")


def test_a_data_folder_that_can_not_even_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(OperatingError, match="File name too long"):
        UnitFolder(tmp_path / ("long" * 100) / "unit0001").create(b"")


def test_payload_and_output(unit: UnitFolder) -> None:
    with unit.open_stdin_for_writing() as stdin:
        stdin.write(b"payload")
    for part in (b"one ", b"two"):
        with unit.open_stdout_append() as stdout:
            stdout.write(part)
    assert unit.stdin_file.read_bytes() == b"payload"
    assert unit.stdout_file.read_bytes() == b"one two"
    assert unit.stdout_size() == 7
    unit.stdout_file.unlink()
    assert unit.stdout_size() == 0


class TestStatus:
    def test_the_last_one_is_read(self, unit: UnitFolder) -> None:
        assert unit.read_status() == b""
        for raw in (b"old and long\n", b"new\n"):
            unit.write_status(raw)
        assert unit.read_status() == b"new\n"

    def test_no_file_is_made_or_deleted_by_later_ones(self, unit: UnitFolder) -> None:
        """ext4 takes long to make files where many were deleted lately."""

        def files() -> dict[int, list[str]]:
            return {inode: sorted(names) for inode, names in inodes(unit.path).items()}

        def inodes(folder: Path) -> dict[int, list[str]]:
            found: dict[int, list[str]] = {}
            for file in folder.iterdir():
                found.setdefault(file.stat().st_ino, []).append(file.name.removesuffix(".new"))
            return found

        unit.write_status(b"first")
        before = files()
        for number in range(10):
            unit.write_status(b"%d" % number)
        assert files() == before
        assert unit.read_status() == b"9"

    @pytest.mark.parametrize("dies_at", ["open", "link", "rename", "second rename"])
    def test_a_crash_at_any_step_leaves_the_old_or_the_new_one(
        self, unit: UnitFolder, monkeypatch: pytest.MonkeyPatch, dies_at: str
    ) -> None:
        unit.write_status(b"old and long")
        steps: list[str] = []

        def or_die(name: str, step: Callable[[str, str], None]) -> Callable[[object, object], None]:
            def stepping(source: object, target: object) -> None:
                steps.append(name)
                if dies_at in (name, f"second {name}" if steps.count(name) > 1 else ""):
                    raise SystemExit
                step(str(source), str(target))

            return stepping

        def dying_write(path: str | Path, raw: bytes, time_of_it: float | None = None) -> None:
            Path(path).write_bytes(raw[:1])
            raise SystemExit

        with monkeypatch.context() as patched:
            patched.setattr(os, "link", or_die("link", os.link))
            patched.setattr(os, "rename", or_die("rename", os.rename))
            if dies_at == "open":
                patched.setattr(unit, "_write", dying_write)
            with pytest.raises(SystemExit):
                unit.write_status(b"new")
        assert unit.read_status() == (b"new" if dies_at == "second rename" else b"old and long")
        unit.write_status(b"newer")
        assert unit.read_status() == b"newer"
        assert not unit.path.joinpath("status.old").exists()

    def test_where_files_can_have_no_second_name(self, unit: UnitFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(source: object, target: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        for raw in (b"old and long", b"new"):
            unit.write_status(raw)
            assert unit.read_status() == raw

    def test_payload_and_end_come_before_it(self, unit: UnitFolder) -> None:
        unit.write_payload(b"a longer one before")
        unit.write_status(b"status", b"payload", EXIT)
        assert unit.stdin_file.read_bytes() == b"payload"
        assert unit.read_exit() == EXIT
        unit.stdin_file.unlink()
        unit.stdin_file.symlink_to("/dev/full")
        with pytest.raises(OperatingError, match="stdin: No space left"):
            unit.write_status(b"later", b"payload")
        assert unit.read_status() == b"status"

    def test_it_is_whole_for_who_takes_the_lock(self, unit: UnitFolder) -> None:
        texts = [json.dumps({"Detail": letter * 20_000}).encode() for letter in "ab"]
        unit.write_status(texts[0])
        seen: set[bytes] = set()
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.add(unit.read_status())

        reader = threading.Thread(target=read)
        reader.start()
        for turn in range(300):
            unit.write_status(texts[turn % 2])
        done.set()
        reader.join()
        assert seen <= set(texts)

    def test_a_failed_replacement_leaves_the_old_one(self, unit: UnitFolder) -> None:
        unit.write_status(b"old")
        unit.path.joinpath("status.new").unlink()
        unit.path.joinpath("status.new").symlink_to("/dev/full")
        with pytest.raises(OperatingError, match="status: No space left on device; free some space"):
            unit.write_status(b"new")
        assert unit.read_status() == b"old"

    def test_a_damaged_file_can_not_fill_the_memory(self, unit: UnitFolder) -> None:
        with unit.status_file.open("wb") as file:
            file.truncate(10 * LARGEST_STATUS)
        assert len(unit.read_status()) == LARGEST_STATUS + 1

    def test_a_writer_waits_for_a_reader(self, unit: UnitFolder) -> None:
        unit.write_status(b"old")
        with held_lock(unit, fcntl.LOCK_SH):
            writer = threading.Thread(target=unit.write_status, args=(b"new",))
            writer.start()
            assert unit.status_file.read_bytes() == b"old"
        writer.join()
        assert unit.read_status() == b"new"

    def test_a_reader_that_hangs_is_not_waited_for_for_ever(
        self, unit: UnitFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "LOCK_PATIENCE", 0.05)
        with held_lock(unit, fcntl.LOCK_EX):
            unit.write_status(b"new")
            assert unit.read_status() == b"new"

    def test_what_must_be_done_is_told(self, unit: UnitFolder) -> None:
        unit.status_file.unlink()
        unit.status_file.mkdir()
        with pytest.raises(OperatingError, match=rf"{unit.status_file}: .*; look at the disk"):
            unit.read_status()


class TestRecords:
    def test_none_yet(self, unit: UnitFolder) -> None:
        assert unit.read_start() is None
        assert unit.read_exit() is None
        assert not unit.was_begun()

    def test_whose_work_it_is(self, tmp_path: Path) -> None:
        submission = Submission(submitter="node foo", idempotency_key="k", request_digest="d")
        for name, given in (("unit0002", None), ("unit0003", submission)):
            unit = UnitFolder(tmp_path / name)
            unit.create(b"", given)
            assert unit.read_submission() == (given or Submission())

    def test_orders(self, unit: UnitFolder) -> None:
        assert unit.read_order() is None
        for order in (Order.CANCEL, Order.RELEASE):
            unit.write_order(order)
            assert unit.read_order() is order
        unit.order_file.write_bytes(b"canc\xff")
        assert unit.read_order() is None

    def test_begun_but_not_known_which_process(self, unit: UnitFolder) -> None:
        unit.process_file.touch()
        assert unit.read_start() is None
        assert unit.was_begun()

    def test_they_are_read_again(self, unit: UnitFolder) -> None:
        unit.write_start(START)
        unit.write_exit(EXIT)
        assert (unit.read_start(), unit.read_exit()) == (START, EXIT)
        assert mode(unit.process_file) == mode(unit.exit_file) == 0o600

    def test_the_last_whole_line_tells_the_end(self, unit: UnitFolder) -> None:
        used = msgspec.structs.replace(EXIT, peak_memory=99)
        unit.write_exit(EXIT)
        unit.write_exit(used)
        with unit.exit_file.open("ab") as file:
            file.write(b'{"exit_code')
        assert unit.read_exit() == used
        unit.exit_file.write_bytes(b'{"exit_code')
        assert unit.read_exit() is None

    @pytest.mark.parametrize("damage", [b"{", b"null", b"\xff", b'{"pid":"x"}', b"{}", b"x" * 100_000])
    def test_damage_is_told(self, unit: UnitFolder, damage: bytes) -> None:
        unit.process_file.write_bytes(damage)
        unit.exit_file.write_bytes(damage[:1000] + b"\n")
        with pytest.raises(OperatingError, match="process: it is damaged"):
            unit.read_start()
        with pytest.raises(OperatingError, match="exit: it is damaged"):
            unit.read_exit()

    @pytest.mark.parametrize(
        ("code", "signal", "detail", "succeeded"),
        [
            (0, None, "exit status 0", True),
            (3, None, "exit status 3", False),
            (None, 9, "signal: killed", False),
            (None, 2, "signal: interrupt", False),
            (None, 15, "signal: terminated", False),
            (None, 6, "signal: aborted", False),
        ],
    )
    def test_the_detail_that_clients_look_for(
        self, code: int | None, signal: int | None, detail: str, succeeded: bool
    ) -> None:
        record = ExitRecord(
            exit_code=code, signal=signal, started=0, ended=0, user_seconds=0, system_seconds=0, peak_memory=0
        )
        assert (record.detail, record.succeeded) == (detail, succeeded)


class TestRemoval:
    def test_with_all_that_is_in_it(self, unit: UnitFolder) -> None:
        (unit.path / "deep" / "er").mkdir(parents=True)
        unit.remove()
        assert unit_ids(unit.path.parent) == []
        unit.clear_away()
        assert list(unit.path.parent.iterdir()) == []

    def test_half_made(self, tmp_path: Path) -> None:
        unit = UnitFolder(tmp_path / "unit0001")
        unit.path.mkdir()
        for _ in range(2):
            unit.remove()
            unit.clear_away()
            assert list(tmp_path.iterdir()) == []

    def test_after_a_crash_in_the_middle(self, unit: UnitFolder, tmp_path: Path) -> None:
        (tmp_path / ".removed-unit0001").mkdir()
        (tmp_path / ".removed-unit0001" / "stdout").touch()
        unit.remove()
        unit.clear_away()
        assert list(tmp_path.iterdir()) == []

    def test_leftovers_are_finished_and_units_kept(self, unit: UnitFolder, tmp_path: Path) -> None:
        (tmp_path / ".removed-unit0002").mkdir()
        (tmp_path / ".removed-unit0002" / "stdout").touch()
        remove_leftovers(tmp_path)
        remove_leftovers(tmp_path / "missing")
        assert list(tmp_path.iterdir()) == [unit.path]


class TestUnitIds:
    def test_only_folders_that_can_be_units(self, unit: UnitFolder, tmp_path: Path) -> None:
        UnitFolder(tmp_path / "AB-c_9").create(b"")
        (tmp_path / "file0001").touch()
        (tmp_path / "link0001").symlink_to(unit.path)
        for name in (".removed-unit0002", ".runner", "a b", "ü", "x" * 65):
            (tmp_path / name).mkdir()
        assert unit_ids(tmp_path) == ["AB-c_9", "unit0001"]

    def test_no_data_folder(self, tmp_path: Path) -> None:
        assert unit_ids(tmp_path / "missing") == []

    def test_a_data_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OperatingError, match="Not a directory"):
            unit_ids(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OperatingError, match="give the user"):
        UnitFolder(tmp_path / "unit0001").create(b"")
