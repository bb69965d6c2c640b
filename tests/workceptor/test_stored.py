from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from receptor.workceptor.files import Durability
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.records import ExitRecord, Order, Submission
from receptor.workceptor.status import State, Status, encode_status
from receptor.workceptor.stored import StoredUnit, load_units

SUBMISSION = Submission(submitter="node foo", idempotency_key="key-1", request_digest="d")
PENDING = encode_status(Status(state=State.PENDING, detail="Starting Worker", stdout_size=0, work_type="cat"))
RUNNING = Status(state=State.RUNNING, detail="Running: PID 7", stdout_size=0, work_type="cat")
SUCCEEDED = Status(state=State.SUCCEEDED, detail="exit status 0", stdout_size=6, work_type="cat")
EXIT = ExitRecord(
    exit_code=0, signal=None, started=1.5, ended=2.5, user_seconds=0.1, system_seconds=0.2, peak_memory=4096
)


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def store(data_folder: Path, status: Status = SUCCEEDED) -> UnitFolder:
    """A unit with all that there can be."""
    data_folder.mkdir(exist_ok=True)
    folder = UnitFolder(data_folder / "unit0001")
    folder.create(encode_status(status), SUBMISSION)
    folder.stdout_file.write_bytes(b"output")
    folder.write_order(Order.RELEASE)
    folder.write_exit(EXIT)
    return folder


def load(data_folder: Path) -> list[StoredUnit]:
    return load_units(data_folder, Durability.PROCESS)


def load_one(data_folder: Path) -> StoredUnit:
    (unit,) = load(data_folder)
    return unit


def with_environment(data_folder: Path, status: bytes) -> Path:
    data_folder.mkdir()
    UnitFolder(data_folder / "unit0001").create(status, Submission(has_environment=True), None, "{}")
    return data_folder


class TestWhatIsThere:
    def test_all_that_is_known_of_a_unit(self, data_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        folder = store(data_folder)
        unit = load_one(data_folder)
        assert unit.folder.path == folder.path
        assert (unit.status, unit.stdout_size) == (SUCCEEDED, 6)
        assert (unit.submission, unit.order, unit.end) == (SUBMISSION, Order.RELEASE, EXIT)
        assert caplog.records == []

    def test_only_the_status(self, data_folder: Path) -> None:
        """As of a local client's unit, or one that an existing daemon has left."""
        data_folder.mkdir()
        UnitFolder(data_folder / "unit0001").create(encode_status(SUCCEEDED))
        unit = load_one(data_folder)
        assert (unit.submission, unit.order, unit.end) == (Submission(), None, None)

    def test_how_the_command_ended_counts_once_the_status_says_that_it_has(self, data_folder: Path) -> None:
        """Until then the runner's client finds out."""
        store(data_folder, RUNNING)
        assert load_one(data_folder).end is None

    def test_variables_of_a_command_that_is_to_be_started_still(self, data_folder: Path) -> None:
        assert load_one(with_environment(data_folder, PENDING)).environment == "{}"

    @pytest.mark.parametrize("status", [encode_status(RUNNING), encode_status(SUCCEEDED), b"damaged"])
    def test_variables_that_nobody_needs_any_more_are_deleted(self, data_folder: Path, status: bytes) -> None:
        unit = load_one(with_environment(data_folder, status))
        assert unit.environment == ""
        assert not unit.folder.environment_file.exists()

    def test_a_disk_that_lets_no_variables_go_costs_no_unit(
        self, data_folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = UnitFolder(with_environment(data_folder, encode_status(SUCCEEDED)) / "unit0001")
        folder.environment_file.unlink()
        folder.environment_file.mkdir()
        assert load_one(data_folder).status == SUCCEEDED
        (line,) = caplog.messages
        assert line.startswith("variables for its command are still there: ")


class TestDamage:
    def test_a_folder_without_anything(self, data_folder: Path) -> None:
        (data_folder / "unit0001").mkdir(parents=True)
        unit = load_one(data_folder)
        assert unit.status.state is State.FAILED
        assert unit.status.detail == "the status on disk can't be read: it is empty"
        assert (unit.submission, unit.order, unit.end) == (Submission(), None, None)

    @pytest.mark.parametrize("damage", [b"{", b"null", b"[]", b"\xff", b'{"submitter":7}', b"x" * 100_000], ids=len)
    def test_it_is_not_known_whose_the_unit_is(
        self, data_folder: Path, damage: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = store(data_folder)
        folder.submission_file.write_bytes(damage)
        unit = load_one(data_folder)
        assert unit.status.state is State.FAILED
        assert str(folder.submission_file) in unit.status.detail
        assert "release the unit and submit it again" in unit.status.detail
        assert unit.status.detail in caplog.text
        assert unit.submission == Submission()
        assert unit.order is Order.RELEASE, "what a user wants of it is still known"
        assert unit.stdout_size == 6

    @pytest.mark.parametrize("damage", [b"", b"canc", b"\xff", b"cancel\n", b"x" * 100_000], ids=len)
    def test_an_order_that_is_none_is_passed_over(self, data_folder: Path, damage: bytes) -> None:
        folder = store(data_folder)
        folder.order_file.write_bytes(damage)
        unit = load_one(data_folder)
        assert (unit.status, unit.order) == (SUCCEEDED, None)

    @pytest.mark.parametrize("record", ["status", "submission", "order"])
    def test_a_record_that_can_not_even_be_read(self, data_folder: Path, record: str) -> None:
        folder = store(data_folder)
        (folder.path / record).unlink()
        (folder.path / record).mkdir()
        unit = load_one(data_folder)
        assert unit.status.state is State.FAILED
        assert f"{folder.path / record}: Is a directory" in unit.status.detail

    @pytest.mark.parametrize(
        "damage",
        [
            b"{\n",
            b"null\n",
            msgspec.json.encode(EXIT).replace(b"1.5", b"1e300") + b"\n",
            msgspec.json.encode(EXIT).replace(b'"signal":null', b'"signal":99') + b"\n",
        ],
        ids=repr,
    )
    def test_it_is_not_known_what_the_command_used(
        self, data_folder: Path, damage: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = store(data_folder)
        folder.exit_file.write_bytes(damage)
        unit = load_one(data_folder)
        assert (unit.status, unit.end) == (SUCCEEDED, None)
        assert f"{folder.exit_file}: it is damaged" in caplog.text

    def test_harms_no_other_unit(self, data_folder: Path) -> None:
        store(data_folder).status_file.write_bytes(b"\0")
        UnitFolder(data_folder / "unit0002").create(encode_status(RUNNING), SUBMISSION)
        damaged, whole = load(data_folder)
        assert damaged.status.state is State.FAILED
        assert (whole.status, whole.submission) == (RUNNING, SUBMISSION)


class TestLeftovers:
    @pytest.mark.parametrize("name", [".new-unit0002", ".removed-unit0002"])
    def test_of_a_crash_are_removed(self, data_folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
        store(data_folder)
        (data_folder / name / "deep").mkdir(parents=True)
        (data_folder / name / "status").write_bytes(encode_status(RUNNING))
        assert [unit.folder.unit_id for unit in load(data_folder)] == ["unit0001"]
        assert [path.name for path in data_folder.iterdir()] == ["unit0001"]
        assert caplog.records == []

    @pytest.mark.parametrize("name", [".new-unit0002", ".removed-unit0002"])
    def test_that_can_not_be_removed_keep_no_node_from_starting(
        self, data_folder: Path, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        store(data_folder)
        (data_folder / name).write_text("a file")
        assert [unit.folder.unit_id for unit in load(data_folder)] == ["unit0001"]
        assert f"the rest of a unit can't be removed: {data_folder / name}: Not a directory" in caplog.text
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    def test_of_a_status_that_was_being_replaced_do_not_count(self, data_folder: Path) -> None:
        folder = store(data_folder)
        folder.path.joinpath("status.new").write_bytes(b'{"State":')
        assert load_one(data_folder).status == SUCCEEDED
        folder.write_status(encode_status(SUCCEEDED))
        assert load_one(data_folder).status == SUCCEEDED
