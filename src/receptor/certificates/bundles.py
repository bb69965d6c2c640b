"""Bundles: one file with all that a node needs to join a mesh, made where the authority is.

It is YAML: the node's id, its certificate and private key, the authority's certificate, and if they are known addresses
of nodes to dial and the key that signed work is checked with. There is a key in it, so it is its owner's only.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml

from receptor.certificates.node_files import Pair
from receptor.certificates.writing import write_private
from receptor.errors import ConfigurationError, OperatingError

_LARGEST = 1024 * 1024

_HEAD = """\
# All that node {node} needs to join its mesh: on its machine, receptor init --bundle FILE
# Its private key is in here: copy the file by a safe way such as scp, and delete it when it was used.
"""


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"verification_key": "verification-key"}):
    """What is in a bundle; certificates and keys as PEM. Holds a secret: never show it."""

    node: str
    authority: str
    certificate: str
    key: str
    peers: tuple[str, ...] = ()
    verification_key: str = ""

    def __repr__(self) -> str:
        return f"Bundle(node={self.node!r}, peers={self.peers!r})"


def bundle_of(
    node_id: str, files: Pair, authority: Path, peers: Iterable[str], verification_key: Path | None = None
) -> Bundle:
    """A bundle of these files. Raises OperatingError if one can't be read."""
    return Bundle(
        node=node_id,
        peers=tuple(peers),
        authority=_text(authority),
        certificate=_text(files.certificate),
        key=_text(files.key),
        verification_key=_text(verification_key) if verification_key else "",
    )


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write it to a new file for its owner only. Raises OperatingError if there is one or it can't be written."""
    lines = [_HEAD.format(node=bundle.node), yaml.safe_dump({"node": bundle.node}, allow_unicode=True)]
    if bundle.peers:
        lines.append(yaml.safe_dump({"peers": list(bundle.peers)}))
    texts = {"authority": bundle.authority, "certificate": bundle.certificate, "key": bundle.key}
    if bundle.verification_key:
        texts["verification-key"] = bundle.verification_key
    for name, text in texts.items():
        lines.append(f"{name}: |\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    write_private(path, "".join(lines).encode())


def read_bundle(path: Path) -> Bundle:
    """The bundle in that file. Raises ConfigurationError if there is none that can be read."""
    advice = "name a file that 'receptor certs bundle' has made"
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: the bundle can't be read: {error.strerror}; {advice}") from error
    try:
        if len(content) > _LARGEST:
            raise ValueError("it is far too large")
        return msgspec.convert(yaml.safe_load(content), Bundle)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError):
        raise ConfigurationError(f"{path}: this is no bundle, or it is damaged; {advice}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no PEM file"
        raise OperatingError(f"{path}: can't be put into the bundle: {reason}") from error
