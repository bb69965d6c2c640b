"""Bundles: all that a node needs, in one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from receptor.certificates.bundles import Bundle, bundle_of, read_bundle, write_bundle
from receptor.certificates.node_files import Pair
from receptor.errors import ConfigurationError, OperatingError

PEM = "-----BEGIN X-----\nMIIE+/==\n-----END X-----\n"
BUNDLE = Bundle(
    node="edge: 1", authority=PEM, certificate=PEM + PEM, key=PEM, peers=("foo:1", "wss://a/b"), verification_key=PEM
)


@pytest.mark.parametrize("bundle", [BUNDLE, Bundle(node="foo", authority=PEM, certificate=PEM, key=PEM)])
def test_what_is_written_is_read_again(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "a.bundle"
    write_bundle(file, bundle)
    assert read_bundle(file) == bundle
    assert file.stat().st_mode & 0o777 == 0o600


def test_it_is_made_of_files(tmp_path: Path) -> None:
    for name in ("ca.crt", "foo.crt", "foo.key"):
        (tmp_path / name).write_text(f"{name}\n")
    files = Pair(tmp_path / "foo.crt", tmp_path / "foo.key")
    assert bundle_of("foo", files, tmp_path / "ca.crt", ["a:1"]) == Bundle(
        node="foo", authority="ca.crt\n", certificate="foo.crt\n", key="foo.key\n", peers=("a:1",)
    )
    with pytest.raises(OperatingError, match=r"no\.pem: can't be put into the bundle: No such file"):
        bundle_of("foo", files, tmp_path / "ca.crt", [], tmp_path / "no.pem")


def test_none_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "a.bundle"
    file.write_text("mine")
    with pytest.raises(OperatingError, match="exists already"):
        write_bundle(file, BUNDLE)
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    "content", ["", "- a", "node: foo", "node: [", "node: foo\nextra: 1", "\0", "a: &a [*a, *a]", "x" * 2_000_000]
)
def test_what_is_no_bundle_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "a.bundle"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"a\.bundle: this is no bundle, or it is damaged; name a file that"):
        read_bundle(file)


def test_its_secrets_are_not_shown() -> None:
    assert "MIIE" not in repr(BUNDLE)
