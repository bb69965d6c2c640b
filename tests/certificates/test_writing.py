from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from receptor.certificates.making import Authority, common_name, make_request
from receptor.certificates.node_names import alternative_names, node_name
from receptor.certificates.reading import read_certificates, read_private_key, read_signing_request
from receptor.certificates.writing import new_private_key, refuse_existing, write_new_certificate, write_over
from receptor.errors import OperatingError


@pytest.fixture(autouse=True)
def careless_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_for_its_owner_only(tmp_path: Path, ec_key: ec.EllipticCurvePrivateKey) -> None:
    path = tmp_path / "foo.key"
    with new_private_key(path, ec_key):
        pass
    assert mode(path) == 0o600
    assert read_private_key(path).public_key() == ec_key.public_key()


def test_a_key_is_never_overwritten(tmp_path: Path, ec_key: ec.EllipticCurvePrivateKey) -> None:
    path = tmp_path / "foo.key"
    path.write_text("precious")
    with (
        pytest.raises(OperatingError, match=r"foo.key: the file exists already and is not overwritten"),
        new_private_key(path, ec_key),
    ):
        pass
    assert path.read_text() == "precious"


def test_a_key_whose_certificate_can_t_be_written_is_not_left(
    tmp_path: Path, ec_key: ec.EllipticCurvePrivateKey, authority: Authority
) -> None:
    path = tmp_path / "foo.key"
    with pytest.raises(OperatingError, match=r"nosuch/foo.crt: can't be written"), new_private_key(path, ec_key):
        write_over(tmp_path / "nosuch" / "foo.crt", authority.certificate)
    assert list(tmp_path.iterdir()) == []


def test_a_new_certificate_is_for_everybody(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "ca.crt"
    write_new_certificate(path, authority.certificate)
    assert mode(path) == 0o644
    with pytest.raises(OperatingError, match="exists already"):
        write_new_certificate(path, authority.certificate)


def test_what_can_be_made_again_is_replaced(
    tmp_path: Path, authority: Authority, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    path = tmp_path / "foo.pem"
    write_over(path, make_request(common_name("foo"), [], ec_key))
    write_over(path, authority.certificate)
    assert read_certificates(path) == [authority.certificate]
    assert [one.name for one in tmp_path.iterdir()] == ["foo.pem"]


def test_a_link_goes_on_pointing_to_the_file(tmp_path: Path, authority: Authority) -> None:
    target, link = tmp_path / "target.crt", tmp_path / "link.crt"
    link.symlink_to(target)
    write_over(link, authority.certificate)
    assert link.is_symlink()
    assert read_certificates(target) == [authority.certificate]


def test_no_key_is_replaced_by_mistake(
    tmp_path: Path, authority: Authority, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    path = tmp_path / "foo.key"
    with new_private_key(path, ec_key):
        pass
    with pytest.raises(OperatingError, match="the file holds a private key, which is never overwritten"):
        write_over(path, authority.certificate)
    assert read_private_key(path).public_key() == ec_key.public_key()


@pytest.mark.parametrize("name", [".", "fifo"])
def test_only_files_are_replaced(tmp_path: Path, authority: Authority, name: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OperatingError, match="this is no regular file"):
        write_over(tmp_path / name, authority.certificate)


def test_names_in_use_are_refused_beforehand(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    refuse_existing(tmp_path / "new")
    with pytest.raises(OperatingError, match="dangling: the file exists already"):
        refuse_existing(tmp_path / "new", tmp_path / "dangling")


def test_what_is_written_as_a_request_can_be_signed(tmp_path: Path, ec_key: ec.EllipticCurvePrivateKey) -> None:
    write_over(tmp_path / "foo.req", make_request(common_name("foo"), [node_name("foo")], ec_key))
    assert alternative_names(read_signing_request(tmp_path / "foo.req")) == (node_name("foo"),)
