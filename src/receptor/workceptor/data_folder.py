"""The folder with all units of a node: made, checked to be ours, and claimed for one daemon. For a worker thread."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from pathlib import Path

from receptor.errors import OperatingError
from receptor.workceptor.files import Durability, settle_names

CLAIM_PATIENCE = 2.0
"""Seconds that a daemon which is ending, before a restart say, is waited for."""

_PAUSE = 0.02

logger = logging.getLogger("receptor.workceptor")


def claim_data_folder(data_folder: Path, durability: Durability, patience: float = CLAIM_PATIENCE) -> int:
    """Make the folder where it is missing, and have it for this daemon alone until the descriptor is closed.

    Two daemons on the same units would take each other's work for their own. The claim is a lock of flock(2) on the
    folder itself; it ends with the process, and commands don't inherit it. Raises OperatingError if another daemon has
    it for ``patience`` seconds, if the folder can't be used, or if somebody else could have put units there: they would
    run as the user of the node.
    """
    try:
        _make(data_folder.parent, 0o755, durability)
        _check_parent(data_folder.parent)
        _make(data_folder, 0o700, durability)
        _check_owned(data_folder)
        descriptor = os.open(data_folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise unusable(data_folder, error) from None
    try:
        _lock(descriptor, data_folder, patience)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, data_folder: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise OperatingError(
                    f"another node uses the data folder {data_folder}; stop it, or set another id or datadir"
                ) from None
            time.sleep(_PAUSE)
        except OSError as error:
            # Some file systems of the network lock no folders.
            return logger.warning(
                "%s can't be locked (%s): see that no other node ever uses it", data_folder, error.strerror
            )


def check_data_folder(data_folder: Path) -> None:
    """Whether a node of this user would take that folder, as far as it is there; logs what is odd about it.

    Raises OperatingError if it would not.
    """
    try:
        if data_folder.parent.exists():
            _check_parent(data_folder.parent)
        if data_folder.exists():
            _check_owned(data_folder)
    except OSError as error:
        raise unusable(data_folder, error) from None


def _make(folder: Path, mode: int, durability: Durability) -> None:
    """Make a folder where it is missing; its parents are never writable by others, whatever the umask."""
    if not folder.is_dir():
        _make(folder.parent, 0o755, durability)
        folder.mkdir(mode, exist_ok=True)
        if durability is Durability.POWER:
            settle_names(folder.parent)


def _check_parent(parent: Path) -> None:
    """Nobody else may put another folder into the place of the data folder."""
    trusted = (0, os.geteuid())
    status = parent.stat()
    if status.st_uid not in trusted or parent.lstat().st_uid not in trusted:
        raise _unsafe(parent, "belongs to another user", f"chown it to user {os.geteuid()}")
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        # A container may have it so, and nobody else in it.
        logger.warning("%s", _unsafe(parent, "can be written by everybody", f"chmod o-w {parent}"))


def _check_owned(data_folder: Path) -> None:
    status = data_folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise _unsafe(data_folder, "is a link", "move the folder that it leads to here")
    if status.st_uid != os.geteuid():
        raise _unsafe(data_folder, "belongs to another user", f"chown it to user {os.geteuid()} if its units are yours")
    if status.st_mode & stat.S_IWOTH:
        raise _unsafe(data_folder, "can be written by everybody", f"chmod 700 {data_folder} if its units are yours")
    if status.st_mode & stat.S_IWGRP:
        # What manages volumes for containers may make it so for their group.
        logger.warning("%s", _unsafe(data_folder, "can be written by its group", f"chmod 700 {data_folder}"))


def unusable(data_folder: Path, error: OSError) -> OperatingError:
    """The error for a data folder that the system does not let us use."""
    return OperatingError(
        f"the data folder {data_folder} can't be used: {error.strerror}; check its permissions or set datadir"
    )


def _unsafe(folder: Path, what: str, remedy: str) -> OperatingError:
    return OperatingError(
        f"the data folder is not safe, as others could put work there: {folder} {what}; {remedy}, or set datadir"
    )
