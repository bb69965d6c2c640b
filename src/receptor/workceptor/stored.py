"""The units that an earlier daemon has left on the disk. Synchronous: for a worker thread."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from receptor.errors import OperatingError
from receptor.netceptor.messages import parse_time
from receptor.workceptor.folder import Durability, UnitFolder, remove_leftovers, unit_ids
from receptor.workceptor.records import ExitRecord, Order, Submission
from receptor.workceptor.status import RemoteExtra, State, Status, decode_status

logger = logging.getLogger("receptor.workceptor")


@dataclass(frozen=True, slots=True)
class StoredUnit:
    """What the folder of a unit holds. One whose files are damaged counts as failed, with the reason."""

    folder: UnitFolder
    status: Status
    stdout_size: int
    submission: Submission
    order: Order | None
    end: ExitRecord | None


def load_units(data_folder: Path, durability: Durability) -> list[StoredUnit]:
    """Every unit that is there, after what a crash left half done was tidied up.

    Makes the data folder where it is missing. Raises OperatingError if it can't be used.
    """
    try:
        data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_leftovers(data_folder)
        names = unit_ids(data_folder)
    except OSError as error:
        raise OperatingError(
            f"the data folder {data_folder} can't be used: {error.strerror}; check its permissions or set datadir"
        ) from None
    return [_load(UnitFolder(data_folder / name, durability)) for name in names]


def _load(folder: UnitFolder) -> StoredUnit:
    size, submission, order = 0, Submission(), None
    try:
        size = folder.stdout_size()
        order = folder.read_order()
        submission = folder.read_submission()
        status = decode_status(folder.read_status())
        if isinstance(status.extra, RemoteExtra):
            parse_time(status.extra.expiration)
    except (ValueError, OperatingError) as error:
        reason = f"the status on disk can't be read: {error}"
        logger.error("%s", reason, extra={"unit": folder.unit_id})
        status = Status(state=State.FAILED, detail=reason, stdout_size=size, work_type="")
    return StoredUnit(folder, status, size, submission, order, _end(folder) if status.state.is_final else None)


def _end(folder: UnitFolder) -> ExitRecord | None:
    try:
        return folder.read_exit()
    except OperatingError as error:
        logger.warning("%s", error, extra={"unit": folder.unit_id})
        return None
