from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from receptor.certificates.making import Authority, Request, Validity, certify, common_name, make_authority
from receptor.certificates.node_files import (
    Pair,
    authority_files,
    has_authority,
    make_authority_files,
    make_node_files,
    node_files,
    read_authority_files,
)
from receptor.certificates.node_names import alternative_names, node_ids, node_name
from receptor.certificates.reading import read_certificates, read_private_key
from receptor.certificates.writing import new_private_key, write_over
from receptor.errors import ConfigurationError, OperatingError

DAY = timedelta(days=1)
HALF_A_DAY = timedelta(hours=12)


def files_of(path: Path) -> Pair:
    return node_files(path, "foo")


def make_foo(path: Path, authority: Authority, now: datetime, *names: x509.GeneralName) -> x509.Certificate:
    return make_node_files(files_of(path), "foo", names, authority, now, HALF_A_DAY)


@pytest.mark.parametrize(
    ("node_id", "stem"),
    [
        ("foo", "foo"),
        ("Foo.example-1_2", "Foo.example-1_2"),
        ("edge:1", "edge%3A1"),
        ("käse", "k%C3%A4se"),
        ("-rf", "%2Drf"),
        (".hidden", "%2Ehidden"),
        ("~foo", "%7Efoo"),
        ("a\\b", "a%5Cb"),
        ("ca", "%63a"),
    ],
)
def test_files_are_called_like_the_node(node_id: str, stem: str) -> None:
    folder = Path("some")
    assert node_files(folder, node_id) == Pair(folder / f"{stem}.crt", folder / f"{stem}.key")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255))
def test_every_node_id_makes_a_safe_file_name(node_id: str) -> None:
    files = node_files(Path("some"), node_id)
    for path in (files.certificate, files.key):
        assert path.parent == Path("some")
        assert len(path.name) <= 210
        assert path.name.isascii()
        assert path.name.isprintable()
        assert not path.name.startswith(("-", ".", "~"))
    assert files != authority_files(Path("some"))


def test_long_ids_that_begin_alike_have_files_of_their_own() -> None:
    assert node_files(Path("some"), "n" * 250) != node_files(Path("some"), "n" * 251)


def test_a_new_authority_can_sign(tmp_path: Path, now: datetime) -> None:
    assert not has_authority(tmp_path)
    files = make_authority_files(tmp_path, "our mesh", now, DAY)
    assert files == authority_files(tmp_path)
    assert has_authority(tmp_path)
    found = read_authority_files(tmp_path, now)
    assert found.certificate.subject.rfc4514_string() == "CN=our mesh"
    assert found.certificate.not_valid_after_utc == now + DAY
    with pytest.raises(OperatingError, match=r"ca.crt: the file exists already"):
        make_authority_files(tmp_path, "our mesh", now, DAY)


def test_an_authority_that_lost_its_key_is_not_replaced(tmp_path: Path, now: datetime) -> None:
    (tmp_path / "ca.crt").touch()
    assert has_authority(tmp_path)
    with pytest.raises(OperatingError, match=r"ca.crt: the file exists already"):
        make_authority_files(tmp_path, "our mesh", now, DAY)


def test_a_node_s_certificate_has_its_id_and_names(tmp_path: Path, authority: Authority, now: datetime) -> None:
    made = make_foo(tmp_path, authority, now, x509.DNSName("foo.example.com"))
    assert read_certificates(tmp_path / "foo.crt") == [made]
    assert alternative_names(made) == (node_name("foo"), x509.DNSName("foo.example.com"))
    assert made.public_key() == read_private_key(tmp_path / "foo.key").public_key()
    assert made.not_valid_after_utc == now + HALF_A_DAY
    made.verify_directly_issued_by(authority.certificate)


def test_a_certificate_is_renewed_with_the_same_key_and_names(
    tmp_path: Path, authority: Authority, now: datetime
) -> None:
    first = make_foo(tmp_path, authority, now, x509.DNSName("foo.example.com"))
    second = make_foo(tmp_path, authority, now + timedelta(hours=1), x509.DNSName("foo"), node_name("alias"))
    assert second.public_key() == first.public_key()
    assert second.not_valid_after_utc > first.not_valid_after_utc
    assert alternative_names(second) == (
        *(node_name("foo"), x509.DNSName("foo.example.com")),
        *(x509.DNSName("foo"), node_name("alias")),
    )


def test_a_key_without_its_certificate_is_used(
    tmp_path: Path, authority: Authority, now: datetime, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    with new_private_key(tmp_path / "foo.key", ec_key):
        pass
    assert make_foo(tmp_path, authority, now).public_key() == ec_key.public_key()


def test_names_of_another_node_are_not_taken_over(tmp_path: Path, authority: Authority, now: datetime) -> None:
    """As when the disk knows no letter case: Foo.crt is foo.crt then."""
    make_node_files(files_of(tmp_path), "Foo", [], authority, now, HALF_A_DAY)
    with pytest.raises(ConfigurationError, match=r"foo.crt: this is not a certificate of node 'foo'"):
        make_foo(tmp_path, authority, now)
    (kept,) = read_certificates(tmp_path / "foo.crt")
    assert node_ids(kept) == ("Foo",)


def test_names_that_the_authority_has_not_signed_are_not_taken_over(
    tmp_path: Path, authority: Authority, now: datetime, ec_key: ec.EllipticCurvePrivateKey, day: Validity
) -> None:
    """Who can write the file, as the node itself may, would become any other node at its next renewal."""
    make_foo(tmp_path, authority, now)
    for subject in ("another CA", "test CA"):
        other = make_authority(common_name(subject), ec_key, day)
        request = Request(common_name("foo"), ec_key.public_key(), (node_name("foo"), node_name("controller")))
        write_over(tmp_path / "foo.crt", certify(other, request, day))
        with pytest.raises(ConfigurationError, match="this certificate is not of this authority"):
            make_foo(tmp_path, authority, now)


def test_no_key_is_left_of_what_could_not_be_made(tmp_path: Path, authority: Authority, now: datetime) -> None:
    files = Pair(tmp_path / "nosuch" / "foo.crt", tmp_path / "foo.key")
    with pytest.raises(OperatingError, match=r"nosuch/foo.crt: can't be written"):
        make_node_files(files, "foo", [], authority, now, HALF_A_DAY)
    assert list(tmp_path.iterdir()) == []
