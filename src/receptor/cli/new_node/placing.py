"""Getting the files of a new node to their places: all of them or none, and nothing that was there is lost unasked."""

from __future__ import annotations

import enum
import errno
import os
import pwd
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

import msgspec

from receptor.errors import OperatingError

SYSTEM_USER = "receptor"
"""The user that ``receptor systemd`` has nodes run as."""


_ADVICE = {errno.ENOSPC: "free some space on that disk", errno.EDQUOT: "free some space or raise the quota"}


class Access(enum.Enum):
    """Who needs a file: its mode, whether it belongs to the node's user, and the mode of a new folder for it."""

    CONFIGURATION = (0o640, False, 0o750)
    PUBLIC = (0o644, False, 0o750)
    KEY = (0o600, True, 0o750)
    AUTHORITY = (0o600, False, 0o700)

    @property
    def mode(self) -> int:
        return self.value[0]

    @property
    def is_of_the_node(self) -> bool:
        return self.value[1]

    @property
    def folder_mode(self) -> int:
        return self.value[2]


class NewFile(msgspec.Struct, frozen=True):
    """A file and what is to be in it, which may be secret: it is not shown."""

    path: Path
    content: bytes
    access: Access

    def __repr__(self) -> str:
        return f"NewFile({str(self.path)!r}, {self.access.name})"


class Owner(msgspec.Struct, frozen=True):
    """The user that a node runs as, if that is another one than who sets it up."""

    user: int
    group: int


def owner_for(is_of_the_system: bool) -> Owner | None:
    """Who the files are for: the user of the systemd service where root sets up one of the system's nodes."""
    if not is_of_the_system or os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None
    return Owner(found.pw_uid, found.pw_gid)


def refuse_another(configuration: Path) -> None:
    """Raise OperatingError if there is a node's configuration already, before anybody is asked what it is to be."""
    if os.path.lexists(configuration):
        raise OperatingError(
            f"there is {configuration} already, for a node; --force makes it anew, --config FILE makes another node"
        )


def refuse_to_overwrite(files: Sequence[NewFile]) -> None:
    """Raise OperatingError if there is one of them already, and with another content."""
    there = [str(file.path) for file in files if os.path.lexists(file.path) and not _is_the_same(file)]
    if there:
        raise OperatingError(
            f"there is {' and '.join(there)} already; --force writes over configuration and certificates (authorities "
            "and keys that no bundle brings are kept), --config FILE makes another node"
        )


def _is_the_same(file: NewFile) -> bool:
    try:
        return file.path.read_bytes() == file.content
    except OSError:
        return False


def place(files: Sequence[NewFile], owner: Owner | None) -> None:
    """Write them all. Raises OperatingError if one can't be written; then, and on Ctrl-C, all is as it was."""
    made: list[Path] = []
    drafts: dict[Path, Path] = {}
    try:
        for file in files:
            _make_folder(file, owner, made)
            drafts[file.path] = _draft(file, owner)
        with _undisturbed():
            for path, draft in drafts.items():
                with _told_of(path):
                    draft.replace(path)
    except BaseException:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
        for folder in reversed(made):
            with suppress(OSError):  # It is somebody else's by now.
                folder.rmdir()
        raise


def _make_folder(file: NewFile, owner: Owner | None, made: list[Path]) -> None:
    folder = file.path.parent
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with _told_of(one):
            one.mkdir(file.access.folder_mode if one == folder else 0o755)
            made.append(one)
            if one == folder:
                one.chmod(file.access.folder_mode)  # whatever the umask
                _give(one, owner, of_the_node=False, to_group=file.access is not Access.AUTHORITY)


def _draft(file: NewFile, owner: Owner | None) -> Path:
    """The file beside its place; half of one is not left."""
    draft = file.path.with_name(f".receptor-{token_hex(8)}.new")
    with _told_of(file.path):
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(file.content)
                out.flush()
                os.fsync(descriptor)
            _give(draft, owner, of_the_node=file.access.is_of_the_node, to_group=file.access is not Access.AUTHORITY)
            draft.chmod(file.access.mode)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    return draft


def _give(path: Path, owner: Owner | None, *, of_the_node: bool, to_group: bool) -> None:
    if owner is not None and to_group:
        os.chown(path, owner.user if of_the_node else -1, owner.group)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and the like wait until the block is through, which takes no time to speak of."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "do it as a user who may, or choose another place with --config")
        raise OperatingError(f"{path}: can't be written: {error.strerror}; nothing was changed; {advice}") from error
