"""The files of one unit of work (work-units, "On disk").

``{data folder}/{unit id}/`` holds ``status``, ``status.lock``, ``stdin`` and ``stdout``, which existing tools know.
These have no room for more, so when the unit was made and has ended are the times of the lock and of the last status.
Files of ours are (``records.py``): ``status.new`` is kept for the next status, ``submission`` says whose work it is,
``order`` that it is to be cancelled or released, ``environment`` holds variables for its command until that runs;
``process``, which process the command is, and ``exit``, how it ended, are the runner's.

Everything here is synchronous: call it in a worker thread. Errors of the disk become OperatingError.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from receptor.errors import OperatingError
from receptor.identifiers import is_unit_id
from receptor.workceptor.files import (
    Durability,
    locked,
    operating_errors,
    private,
    read_file,
    settle_names,
    time_of,
    write_file,
)
from receptor.workceptor.pods.log import LogPosition
from receptor.workceptor.records import ExitRecord, Order, StartRecord, Submission
from receptor.workceptor.status import LARGEST_STATUS

_LARGEST_RECORD = 64 * 1024
_REMOVED = ".removed-"
_DRAFT = ".new-"
_Record = TypeVar("_Record", StartRecord, ExitRecord, Submission, LogPosition)

logger = logging.getLogger("receptor.workceptor")


class _File:
    """The path of a file in the folder: made when it is needed, as thousands of units would keep nine each."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: UnitFolder, _: type[UnitFolder] | None = None) -> Path:
        return folder.path / self._name


class UnitFolder:
    """The folder of one unit. Nothing is read or made before a method is called.

    One writer at a time is the caller's duty. The lock is a courtesy towards other tools, which write in place: our
    replacement is whole with or without it, and a tool that hangs must not hold up a unit for ever.
    """

    status_file = _File("status")
    lock_file = _File("status.lock")
    kept_file = _File("status.new")
    stdin_file = _File("stdin")
    stdout_file = _File("stdout")
    process_file = _File("process")
    exit_file = _File("exit")
    submission_file = _File("submission")
    order_file = _File("order")
    log_file = _File("log")
    environment_file = _File("environment")

    def __init__(self, path: Path, durability: Durability = Durability.PROCESS) -> None:
        self.path = path
        self.survives_power = durability is Durability.POWER

    @property
    def unit_id(self) -> str:
        return self.path.name

    def create(
        self,
        status: bytes,
        submission: Submission | None = None,
        created: float | None = None,
        environment: str = "",
    ) -> None:
        """Make the folder (mode 0700) with a status, an empty payload and an empty output.

        A crash leaves it whole or not at all. ``created``, in unix seconds, is when the unit was made; ``environment``
        the secret one of its command. Raises FileExistsError if the id is taken: pick another.
        """
        with operating_errors(self.path):
            is_taken = self.path.exists()
        if is_taken:
            raise FileExistsError(f"{self.path} exists")
        draft = self.path.with_name(_DRAFT + self.path.name)
        contents = {self.status_file: status, self.lock_file: b"", self.stdin_file: b"", self.stdout_file: b""}
        if submission:
            contents[self.submission_file] = msgspec.json.encode(submission)
        if environment:
            contents[self.environment_file] = environment.encode()
        try:
            with operating_errors(self.path):
                draft.mkdir(mode=0o700)
                for path, content in contents.items():
                    self._write(draft / path.name, content, created if path == self.lock_file else None)
                self._settle_names(draft)
                draft.rename(self.path)
                self._settle_names(self.path.parent)
        except OperatingError:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def write_status(
        self, raw: bytes, payload: bytes | None = None, end: ExitRecord | None = None, ended: float | None = None
    ) -> None:
        """Replace the status; a crash at any instant leaves the old or the new one, whole.

        A short payload and the end of the command are written before it, so that all takes one turn of the disk's
        thread. The status goes on without that end where the disk does not take it. ``ended`` is when the unit has
        ended, in unix seconds.
        """
        if payload is not None:
            self.write_payload(payload)
        if end is not None:
            try:
                self.write_exit(end)
            except OperatingError as error:
                logger.error("how the command ended can't be noted: %s", error, extra={"unit": self.unit_id})
        with operating_errors(self.status_file), locked(self.lock_file, fcntl.LOCK_EX):
            self._exchange_status(raw, ended)

    def read_status(self) -> bytes:
        """The status, empty if there is none; at most one byte more than ``decode_status`` takes."""
        with operating_errors(self.status_file), locked(self.lock_file, fcntl.LOCK_SH):
            return read_file(self.status_file, LARGEST_STATUS)

    def created(self) -> float:
        """When the unit was made, in unix seconds: the time of the lock, which nobody writes to.

        Existing nodes set that with each status, but that of the payload only once. 0 if both are gone.
        """
        return min(filter(None, map(time_of, (self.lock_file, self.stdin_file))), default=0.0)

    def ended(self) -> float:
        """When a unit that has ended did so, in unix seconds: the time of its status. 0 if there is none."""
        return time_of(self.status_file)

    def stdout_size(self) -> int:
        """Bytes of output so far."""
        with operating_errors(self.stdout_file):
            try:
                return self.stdout_file.stat().st_size
            except FileNotFoundError:
                return 0

    def payload_size(self) -> int:
        """Bytes of the payload so far."""
        with operating_errors(self.stdin_file):
            return self.stdin_file.stat().st_size

    def write_payload(self, payload: bytes) -> None:
        """Write a short payload, all of it."""
        with operating_errors(self.stdin_file):
            self._write(self.stdin_file, payload)

    def open_stdin_for_writing(self) -> BinaryIO:
        """The payload's file, empty; write to it with ``write_through``."""
        with operating_errors(self.stdin_file):
            return open(self.stdin_file, "wb", opener=private)

    def open_stdin_for_reading(self) -> BinaryIO:
        """The payload's file, at its beginning."""
        with operating_errors(self.stdin_file):
            return open(self.stdin_file, "rb", buffering=0)

    def open_stdout_append(self) -> BinaryIO:
        """The output's file, at its end; write to it with ``write_through``."""
        with operating_errors(self.stdout_file):
            return open(self.stdout_file, "ab", opener=private)

    def settle_payload(self) -> None:
        """All of the payload so far survives a loss of power, where that was asked for.

        Takes long after much payload: not for the thread that serves all units.
        """
        self._settle(self.stdin_file)

    def settle_output(self) -> None:
        """As ``settle_payload``, all of the output so far."""
        self._settle(self.stdout_file)

    def _settle(self, path: Path) -> None:
        if self.survives_power:
            with operating_errors(path), suppress(FileNotFoundError), path.open("rb") as file:
                os.fsync(file.fileno())

    def was_begun(self) -> bool:
        """Whether the runner ever set about to start the command; if not, it certainly never ran."""
        with operating_errors(self.process_file):
            return self.process_file.exists()

    def read_start(self) -> StartRecord | None:
        """Which process the command is; None if it wasn't started, or the runner died in that very instant.

        Raises OperatingError if the record is damaged.
        """
        return _decode_record(self.process_file, read_file(self.process_file, _LARGEST_RECORD), StartRecord)

    def read_exit(self) -> ExitRecord | None:
        """How the command ended; None if it hasn't, or nobody saw its end.

        Raises OperatingError if the record is damaged.
        """
        *lines, _ = read_file(self.exit_file, _LARGEST_RECORD).split(b"\n")
        return _decode_record(self.exit_file, lines[-1] if lines else b"", ExitRecord)

    def write_start(self, record: StartRecord) -> None:
        """Note the process of a command in the place of a runner that died before it could."""
        with operating_errors(self.process_file):
            self._replace(self.process_file, msgspec.json.encode(record))

    def write_exit(self, record: ExitRecord) -> None:
        """Note the end of a command in the place of a runner that died before it; the last note counts."""
        with operating_errors(self.exit_file), open(self.exit_file, "ab", opener=private) as file:
            file.write(msgspec.json.encode(record) + b"\n")

    def read_submission(self) -> Submission:
        """Whose work it is. Raises OperatingError if the record is damaged."""
        raw = read_file(self.submission_file, _LARGEST_RECORD)
        return _decode_record(self.submission_file, raw, Submission) or Submission()

    def read_environment(self) -> str:
        """The environment of the command, as it was given. Raises OperatingError if it is gone."""
        with operating_errors(self.environment_file):
            return self.environment_file.read_text("utf-8")

    def drop_environment(self) -> None:
        """The environment has served; it is no error if it is gone."""
        with operating_errors(self.environment_file):
            self.environment_file.unlink(missing_ok=True)

    def read_order(self) -> Order | None:
        """What is to become of the unit, if a user has said so. Raises OperatingError if that can't be read."""
        raw = read_file(self.order_file, _LARGEST_RECORD)
        with suppress(ValueError):
            return Order(raw.decode(errors="replace"))
        return None

    def write_order(self, order: Order) -> None:
        """Note what is to become of the unit."""
        with operating_errors(self.order_file):
            self._replace(self.order_file, order.encode())

    def read_log_position(self) -> LogPosition:
        """How far the log of the unit's pod has been read. Raises OperatingError if the record is damaged."""
        return _decode_record(self.log_file, read_file(self.log_file, _LARGEST_RECORD), LogPosition) or LogPosition()

    def write_log_position(self, position: LogPosition) -> None:
        """Note how far the log has been read; all before it must have been written."""
        with operating_errors(self.log_file):
            self._replace(self.log_file, msgspec.json.encode(position))

    def remove(self) -> None:
        """Make the unit no unit any more, half-made or whole; it is no error if it is gone.

        At no instant does a part of it look like a unit: the folder gets another name, with all that is in it.
        ``clear_away`` deletes that.
        """
        with operating_errors(self.path):
            if self.path.exists():
                shutil.rmtree(self._removed, ignore_errors=True)
                self.path.rename(self._removed)
                self._settle_names(self.path.parent)

    def clear_away(self) -> None:
        """Delete what ``remove`` has left. Takes long after much output: not for the thread that serves all units."""
        with operating_errors(self._removed), suppress(FileNotFoundError):  # Another thread may do it just now.
            shutil.rmtree(self._removed)

    @property
    def _removed(self) -> Path:
        return self.path.with_name(_REMOVED + self.path.name)

    def _replace(self, path: Path, raw: bytes) -> None:
        temporary = path.with_name(path.name + ".new")
        self._write(temporary, raw)
        temporary.replace(path)
        self._settle_names(path.parent)

    def _exchange_status(self, raw: bytes, time_of_it: float | None) -> None:
        """Replace the status, and keep the file of the old one for the next time.

        ext4 takes a millisecond to make a file where many were deleted in the last minutes, and this makes none.
        """
        old = self.path / "status.old"
        self._write(self.kept_file, raw, time_of_it)
        try:
            old.unlink(missing_ok=True)  # a crash may have left it
            os.link(self.status_file, old)
        except OSError:  # There is no old status yet, or no second name for a file on this file system.
            os.rename(self.kept_file, self.status_file)
        else:
            os.rename(self.kept_file, self.status_file)
            os.rename(old, self.kept_file)
        self._settle_names(self.path)

    def _write(self, path: Path, raw: bytes, time_of_it: float | None = None) -> None:
        write_file(path, raw, survives_power=self.survives_power, time_of_it=time_of_it)

    def _settle_names(self, folder: Path) -> None:
        if self.survives_power:
            settle_names(folder)


def unit_ids(data_folder: Path) -> list[str]:
    """The ids of the units that have a folder there, sorted; none if there is no such data folder.

    Only real directories count, and only with names that are unit ids.
    """
    with operating_errors(data_folder):
        try:
            with os.scandir(data_folder) as entries:
                return sorted(
                    entry.name for entry in entries if is_unit_id(entry.name) and entry.is_dir(follow_symlinks=False)
                )
        except FileNotFoundError:
            return []


def remove_leftovers(data_folder: Path) -> None:
    """Finish the removals that a crash interrupted, and undo half-made units. For the start of the node.

    What can't be removed is logged, and stays: it harms no unit.
    """
    for beginning in (_REMOVED, _DRAFT):
        for doomed in data_folder.glob(f"{beginning}*"):
            try:
                with operating_errors(doomed):
                    shutil.rmtree(doomed)
            except OperatingError as error:
                logger.error("the rest of a unit can't be removed: %s", error)


def _decode_record(path: Path, raw: bytes, kind: type[_Record]) -> _Record | None:
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise OperatingError(f"{path}: it is damaged ({error}); release the unit and submit it again") from error
