"""The payload of a new unit: where it comes from, and how it gets to the node."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, BinaryIO

from receptor.ctl import terminal
from receptor.ctl.following import come_back
from receptor.errors import OperatingError, ReceptorError

if TYPE_CHECKING:
    from receptor.client.control_client import Upload
    from receptor.client.unit_replies import Submitted
    from receptor.ctl.settings import Settings


def open_payload(file: str, literal: str) -> AbstractContextManager[bytes | BinaryIO]:
    """The payload that the options mean: a file's content, standard input for ``-``, a text, or nothing."""
    if literal:
        return nullcontext(literal.encode(errors="surrogateescape") + b"\n")
    if not file:
        return nullcontext(b"")
    if file == "-":
        if sys.stdin is None:
            raise OperatingError("standard input is closed, so there is no payload; use --no-payload for none")
        return nullcontext(sys.stdin.buffer)
    try:
        return open(file, "rb", buffering=0)
    except OSError as error:
        raise OperatingError(f"can't read the payload file {file}: {error.strerror}; correct --payload") from error


def send_payload(settings: Settings, upload: Upload, payload: bytes | BinaryIO) -> Submitted | None:
    """Send the payload, and wait until the unit is started; None if Ctrl-C came in between."""
    try:
        _send(upload, payload)
    except OperatingError as error:
        raise OperatingError(f"{error}. {_abandon(settings, upload)}") from error
    except KeyboardInterrupt:
        terminal.tell_after_interrupt(f"Interrupted while sending the payload. {_abandon(settings, upload)}")
        return None
    try:
        return _finish(upload)
    except KeyboardInterrupt:
        terminal.tell_after_interrupt(
            f"No longer waiting for the start of unit {upload.unit_id}. {come_back(settings, upload.unit_id)}"
        )
        return None


def _send(upload: Upload, payload: bytes | BinaryIO) -> None:
    size = 0 if isinstance(payload, bytes) or not terminal.is_terminal(sys.stderr) else _size_left(payload.fileno())
    if isinstance(payload, bytes) or not size:
        upload.send(payload)
        return
    from receptor.client.control_client import read_chunks
    from receptor.ctl.live_line import LiveLine, Transfer

    transfer = Transfer("Sending", size)
    with LiveLine(transfer.line):
        for chunk in read_chunks(payload.fileno(), "the payload"):
            upload.send(chunk)
            transfer.done += len(chunk)


def _finish(upload: Upload) -> Submitted:
    if not terminal.is_terminal(sys.stderr):
        return upload.finish()
    from receptor.ctl.live_line import spinner

    with spinner(lambda: f"Waiting for the start of unit {upload.unit_id}"):
        return upload.finish()


def _size_left(descriptor: int) -> int:
    """The bytes that are left to read of a regular file; 0 if nobody can know."""
    try:
        status = os.fstat(descriptor)
        return status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR) if stat.S_ISREG(status.st_mode) else 0
    except OSError:
        return 0


def _abandon(settings: Settings, upload: Upload) -> str:
    try:
        upload.abandon()
    except ReceptorError as error:
        command = settings.command_line("work", "release", upload.unit_id)
        return f"Unit {upload.unit_id} has only part of it and could not be released ({error}): {command}"
    if upload.has_key:
        return (
            f"Nothing was started now, but unit {upload.unit_id} may run since an earlier submission with its key; "
            "submit again with the same key"
        )
    return f"Unit {upload.unit_id}, which had only part of it, is released; nothing was run"
