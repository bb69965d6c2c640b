"""Making all files of a new node, and checking them, before the first one gets to its place."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from receptor.certificates.bundles import Bundle
from receptor.certificates.making import AUTHORITY_LASTS, NODE_LASTS, new_key
from receptor.certificates.node_files import (
    Pair,
    authority_files,
    has_authority,
    make_authority_files,
    make_node_files,
    node_files,
    read_authority_files,
)
from receptor.certificates.node_names import alternative_names_of
from receptor.cli.checking import Verdict, verdict
from receptor.cli.new_node.placing import Access, NewFile
from receptor.cli.new_node.text import configuration_text
from receptor.cli.new_node.wanted import OwnAuthority, Wanted
from receptor.config.command_line import RunNode, parse_command_line
from receptor.errors import ConfigurationError, OperatingError, ReceptorError

AUTHORITY_NAME = "Receptor CA"
SIGNING_BITS = 3072


class Made(msgspec.Struct, frozen=True):
    """A node's files, which are in no place yet, the text of its configuration, and what a check says of it."""

    files: tuple[NewFile, ...]
    configuration: str
    verdict: Verdict


def make(wanted: Wanted) -> Made:
    """Keys, certificates and configuration of the node; takes a second or so. Nothing stays on the disk.

    Keys that are in their places already are kept, and so are authorities. Raises ConfigurationError if the node
    would not start, a line for each reason, and whatever stands in the way of making its files.
    """
    with tempfile.TemporaryDirectory(prefix="receptor-init-") as name:
        # Made and checked there: a check wants the files that a configuration names.
        stage = Path(name)
        staged = _moved(wanted, stage)
        with _told_without(stage):
            files = tuple(_keys_and_certificates(staged, wanted))
            found = _check(staged, wanted)
        text = configuration_text(wanted)
        first = NewFile(wanted.place.configuration, text.encode(), Access.CONFIGURATION)
        placed = (first, *(msgspec.structs.replace(file, path=_without(stage, file.path)) for file in files))
        texts = tuple(warning.replace(str(stage), "") for warning in found.warnings)
        return Made(placed, text, Verdict(found.text.replace(str(stage), ""), texts))


def _moved(wanted: Wanted, stage: Path) -> Wanted:
    """The same node, with its configuration, keys and certificates on the stage."""
    place = wanted.place
    configuration = stage / place.configuration.relative_to("/")
    configuration.parent.mkdir(parents=True)
    return msgspec.structs.replace(wanted, place=msgspec.structs.replace(place, configuration=configuration))


def _keys_and_certificates(staged: Wanted, wanted: Wanted) -> Iterator[NewFile]:
    place = staged.place
    if isinstance(wanted.security, Bundle):
        yield from _of_a_bundle(wanted.security, staged)
    elif isinstance(wanted.security, OwnAuthority):
        yield from _of_an_authority(wanted.security.folder, staged, wanted)
    if wanted.signs and not wanted.place.signing_key.exists():
        key = new_key(SIGNING_BITS)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        yield _written(place.signing_key, private.decode(), Access.KEY)
        if not wanted.verification_key:
            yield _written(place.verification_key, public.decode(), Access.PUBLIC)
    elif wanted.signs:
        _copy(wanted.place.signing_key, place.signing_key)
    if wanted.verification_key:
        yield _written(place.verification_key, wanted.verification_key, Access.PUBLIC)


def _of_a_bundle(bundle: Bundle, staged: Wanted) -> Iterator[NewFile]:
    files = node_files(staged.place.certificates, staged.node_id)
    yield _written(authority_files(staged.place.certificates).certificate, bundle.authority, Access.PUBLIC)
    yield _written(files.certificate, bundle.certificate, Access.PUBLIC)
    yield _written(files.key, bundle.key, Access.KEY)


def _of_an_authority(folder: Path, staged: Wanted, wanted: Wanted) -> Iterator[NewFile]:
    now = datetime.now(UTC)
    if has_authority(folder):
        authority_certificate = authority_files(folder).certificate
        authority = read_authority_files(folder, now)
    else:
        stage = staged.place.folder.joinpath("new-authority")
        stage.mkdir()
        made = make_authority_files(stage, AUTHORITY_NAME, now, AUTHORITY_LASTS)
        authority_certificate = made.certificate
        authority = read_authority_files(stage, now)
        for name in (made.certificate, made.key):
            yield NewFile(folder / name.name, name.read_bytes(), Access.AUTHORITY)
    files = node_files(staged.place.certificates, wanted.node_id)
    files.certificate.parent.mkdir(exist_ok=True)
    kept = _keep(node_files(wanted.place.certificates, wanted.node_id), files)
    make_node_files(files, wanted.node_id, alternative_names_of((), wanted.dns, wanted.ip), authority, now, NODE_LASTS)
    trusted = authority_files(staged.place.certificates).certificate
    yield _written(trusted, authority_certificate.read_text(), Access.PUBLIC)
    yield NewFile(files.certificate, files.certificate.read_bytes(), Access.PUBLIC)
    if not kept:
        yield NewFile(files.key, files.key.read_bytes(), Access.KEY)


def _keep(old: Pair, files: Pair) -> bool:
    """Whether the node has a key already, which is used on then: others may have pinned it."""
    if not old.key.exists():
        return False
    _copy(old.key, files.key)
    return True


def _copy(old: Path, new: Path) -> None:
    try:
        new.touch(Access.KEY.mode)
        new.write_bytes(old.read_bytes())
    except OSError as error:
        raise OperatingError(f"{old}: the key can't be read: {error.strerror}; do it as a user who may") from error


def _written(path: Path, text: str, access: Access) -> NewFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(access.mode)
    path.write_text(text)
    return NewFile(path, text.encode(), access)


def _check(staged: Wanted, wanted: Wanted) -> Verdict:
    """What ``receptor --check`` says. Keys and certificates are those on the stage, all else is as it will be."""
    staged.place.configuration.write_text(configuration_text(staged))
    work = parse_command_line(["--config", str(staged.place.configuration)])
    assert isinstance(work, RunNode)
    return verdict(work, coming={wanted.place.folder, wanted.place.socket.parent})


@contextmanager
def _told_without(stage: Path) -> Iterator[None]:
    """Errors name files by the places that they will have."""
    try:
        yield
    except ReceptorError as error:
        raise ConfigurationError(str(error).replace(str(stage), "")) from None


def _without(stage: Path, path: Path) -> Path:
    return Path("/", path.relative_to(stage)) if path.is_relative_to(stage) else path
