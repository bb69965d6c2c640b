"""The units that an earlier daemon has left on the disk. Synchronous: for a worker thread."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from receptor.errors import OperatingError
from receptor.netceptor.messages import parse_time
from receptor.workceptor.data_folder import unusable
from receptor.workceptor.files import Durability
from receptor.workceptor.folder import UnitFolder, remove_leftovers, unit_ids
from receptor.workceptor.records import ExitRecord, Order, Submission
from receptor.workceptor.status import RemoteExtra, State, Status, decode_status

logger = logging.getLogger("receptor.workceptor")


class StoredUnit(msgspec.Struct, frozen=True):
    """What the folder of a unit holds. One whose files are damaged counts as failed, with the reason."""

    folder: UnitFolder
    status: Status
    stdout_size: int
    submission: Submission
    order: Order | None
    end: ExitRecord | None
    created: float
    """When the unit was made, in unix seconds."""
    ended: float | None
    """When it has ended, in unix seconds, if it has."""
    environment: str = ""
    """Variables for the command, until it runs."""


def load_units(data_folder: Path, durability: Durability) -> list[StoredUnit]:
    """Every unit that is there, after what a crash left half done was tidied up.

    The data folder must be claimed. Raises OperatingError if it can't be used.
    """
    try:
        remove_leftovers(data_folder)
        names = unit_ids(data_folder)
    except OSError as error:
        raise unusable(data_folder, error) from None
    return [_load(UnitFolder(data_folder / name, durability)) for name in names]


def _load(folder: UnitFolder) -> StoredUnit:
    size, submission, order, environment = 0, Submission(), None, ""
    try:
        size = folder.stdout_size()
        order = folder.read_order()
        submission = folder.read_submission()
        status = decode_status(folder.read_status())
        if isinstance(status.extra, RemoteExtra):
            parse_time(status.extra.expiration)
        if submission.has_environment:
            environment = _environment(folder, status)
    except (ValueError, OperatingError) as error:
        reason = f"the status on disk can't be read: {error}"
        logger.error("%s", reason, extra={"unit": folder.unit_id})
        status = Status(state=State.FAILED, detail=reason, stdout_size=size, work_type="")
        _drop_environment(folder)  # It is never started, but may have been given one.
    has_ended = status.state.is_final
    created, ended = _times(folder)
    return StoredUnit(
        folder,
        status,
        size,
        submission,
        order,
        _end(folder) if has_ended else None,
        created,
        ended if has_ended else None,
        environment,
    )


def _environment(folder: UnitFolder, status: Status) -> str:
    """What the command is to find in its environment if it is still to be started; else it is of no use any more."""
    if status.state is State.PENDING:
        return folder.read_environment()
    _drop_environment(folder)
    return ""


def _drop_environment(folder: UnitFolder) -> None:
    """Nobody needs it any more. A disk that does not let it go is no reason to lose sight of the unit."""
    try:
        folder.drop_environment()
    except OperatingError as error:
        logger.error("variables for its command are still there: %s", error, extra={"unit": folder.unit_id})


def _times(folder: UnitFolder) -> tuple[float, float]:
    """When the unit was made, and when its status was written last."""
    try:
        return folder.created(), folder.ended()
    except OperatingError as error:
        logger.warning("%s", error, extra={"unit": folder.unit_id})
        return 0.0, 0.0


def _end(folder: UnitFolder) -> ExitRecord | None:
    try:
        return folder.read_exit()
    except OperatingError as error:
        logger.warning("%s", error, extra={"unit": folder.unit_id})
        return None
