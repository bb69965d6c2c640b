"""Which tokens of signed work were used already, so that none does twice: in memory, and on disk for a restart."""

from __future__ import annotations

import heapq
import logging
import math
import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path

from receptor.errors import NotAllowed, OperatingError
from receptor.workceptor.files import Durability, operating_errors, settle_names

MOST_USED = 200_000
"""Unexpired tokens that are remembered, in about 50 MB; 660 commands a second for 5 minutes."""

TOKEN_ID = r"[A-Za-z0-9_-]{16,64}"
"""The form of a token's id: nothing in it can end a line of the file or fill the memory."""

_LINE = re.compile(rf"([0-9]{{1,16}}) ({TOKEN_ID})".encode())
_FEWEST_TO_REWRITE = 4096

logger = logging.getLogger("receptor.workceptor")


class UsedTokens:
    """The ids of used tokens until they expire; at most ``most``.

    ``path`` is their file, None for none: then they are forgotten with the process. Use ``reserve`` in one thread,
    the event loop's. ``load`` and ``save`` work on the file: call them in worker threads, ``load`` before the rest.

    The file has a line ``<unix seconds of the expiry> <id>`` for each. A line *begins* with its newline: whatever a
    full disk cut off before it can't become a part of it. Lines of expired tokens go when the file is rewritten: at
    the start, and whenever it has doubled. Unless the durability is ``POWER``, it is not synced: a use in the last
    seconds before a power cut may be lost.
    """

    def __init__(self, path: Path | None, most: int = MOST_USED, durability: Durability = Durability.PROCESS) -> None:
        self._path = path
        self._survives_power = durability is Durability.POWER
        self._name_is_settled = False
        self._most = most
        self._expires: dict[str, int] = {}
        self._by_expiry: list[tuple[int, str]] = []
        """A heap: the next to expire is first."""
        self._unsaved: list[str] = []
        self._saving = threading.Lock()
        self._lines = 0
        """How many the file has, about."""
        self._rewrite_at = _FEWEST_TO_REWRITE

    def load(self, now: float) -> None:
        """Remember what the file says of the time before a restart; ``now`` is in unix seconds.

        Damaged lines are passed over with a warning. Raises OperatingError if there is a file that can't be read.
        """
        if self._path is None:
            return
        damaged = 0
        lines = _read_lines(self._path)
        for line in lines:
            if match := _LINE.fullmatch(line):
                self._add(match[2].decode(), int(match[1]))
            else:
                damaged += 1
        self._forget_expired(now)
        if damaged:
            message = "%s: passed over %d damaged lines; until they expire, the signatures there could be used again"
            logger.warning(message, self._path, damaged)
        if lines:
            self._rewrite(self._path)

    def reserve(self, token_id: str, expires: float, now: float) -> None:
        """Count the token as used from now on. Times are in unix seconds. Reads and writes no file.

        ``token_id`` has the form TOKEN_ID. Raises NotAllowed if the token was used before, or none can be
        remembered until others expire.
        """
        self._forget_expired(now)
        if token_id in self._expires:
            raise NotAllowed("the signature was used before, and each is good for one command; sign again")
        if len(self._expires) >= self._most:
            raise NotAllowed(
                f"the signature can't be accepted now: {self._most} that were used have not expired yet;"
                " lower tokenexpiration where they are made"
            )
        expiry = math.ceil(expires)
        self._add(token_id, expiry)
        if self._path is not None:
            self._unsaved.append(_line(token_id, expiry))

    def save(self) -> None:
        """Write down every use that was reserved before this call. Blocks; may be called in several threads at once.

        Raises OperatingError if the disk doesn't take it; then the next call tries again.
        """
        # Under the lock, so that nobody returns while another thread still writes his line.
        with self._saving:
            count = len(self._unsaved)
            if self._path is None or not count:
                return
            with operating_errors(self._path):
                self._append(self._path, self._unsaved[:count])
            del self._unsaved[:count]
            self._lines += count
            if self._lines >= self._rewrite_at:
                self._rewrite(self._path)

    def _add(self, token_id: str, expiry: int) -> None:
        if token_id not in self._expires:
            self._expires[token_id] = expiry
            heapq.heappush(self._by_expiry, (expiry, token_id))

    def _forget_expired(self, now: float) -> None:
        while self._by_expiry and self._by_expiry[0][0] <= now:
            _, token_id = heapq.heappop(self._by_expiry)
            del self._expires[token_id]

    def _rewrite(self, path: Path) -> None:
        """Take the lines of forgotten tokens out of the file. That this fails, on a full disk say, harms nobody."""
        # The copy is made at one stroke, while the event loop may go on adding.
        expires = self._expires.copy()
        try:
            with operating_errors(path):
                self._replace(path, (_line(token_id, expiry) for token_id, expiry in expires.items()))
            self._lines = len(expires)
        except OperatingError as error:
            logger.warning("the list of used signatures can't be shortened: %s", error)
        self._rewrite_at = max(_FEWEST_TO_REWRITE, 2 * self._lines)

    def _append(self, path: Path, lines: Iterable[str]) -> None:
        self._write(path, "a", lines)
        if not self._name_is_settled:
            self._settle_name(path)

    def _replace(self, path: Path, lines: Iterable[str]) -> None:
        temporary = path.with_name(path.name + ".new")
        self._write(temporary, "w", lines)
        temporary.replace(path)
        self._settle_name(path)

    def _settle_name(self, path: Path) -> None:
        if self._survives_power:
            settle_names(path.parent)
        self._name_is_settled = True

    def _write(self, path: Path, mode: str, lines: Iterable[str]) -> None:
        with open(path, mode, encoding="ascii", opener=_private) as file:
            file.writelines(lines)
            if self._survives_power:
                file.flush()
                os.fsync(file.fileno())


def _line(token_id: str, expiry: int) -> str:
    return f"\n{expiry} {token_id}"


def _read_lines(path: Path) -> list[bytes]:
    with operating_errors(path):
        try:
            return [line for line in path.read_bytes().split(b"\n") if line]
        except FileNotFoundError:
            return []


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
