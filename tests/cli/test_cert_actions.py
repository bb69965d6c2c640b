from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from msgspec.structs import replace

from receptor.certificates.node_names import node_ids
from receptor.certificates.reading import is_authority, read_certificates, read_private_key
from receptor.cli.cert_actions import carry_out
from receptor.config.certificate_actions import CertInit, CertMakeReq, CertSignReq
from receptor.errors import ConfigurationError, OperatingError, ReceptorError


class Terminal(io.StringIO):
    """Standard input, with somebody at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", Terminal(text))


CA = CertInit("our mesh", 2048, Path("ca.crt"), Path("ca.key"))
REQUEST = CertMakeReq(
    "foo",
    Path("foo.req"),
    node_ids=frozenset({"foo", "edge:1"}),
    dns_names=frozenset({"foo.example.com"}),
    ip_addresses=frozenset({ip_address("192.0.2.1")}),
    out_key=Path("foo.key"),
)
SIGN = CertSignReq(Path("foo.req"), Path("ca.crt"), Path("ca.key"), Path("foo.crt"), verified=True)
ASK = replace(SIGN, verified=False)


@pytest.mark.usefixtures("in_folder")
def test_an_authority_a_request_and_its_certificate_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    carry_out([CA, REQUEST, SIGN])
    (ca,), (foo,) = read_certificates(Path("ca.crt")), read_certificates(Path("foo.crt"))
    assert is_authority(Path("ca.crt"), ca)
    assert ca.subject.rfc4514_string() == "CN=our mesh"
    foo.verify_directly_issued_by(ca)
    assert node_ids(foo) == ("edge:1", "foo")
    assert foo.public_key() == read_private_key(Path("foo.key")).public_key()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("in_folder")
def test_how_long_certificates_are_valid_by_default() -> None:
    carry_out([CA, REQUEST, SIGN])
    now = datetime.now(UTC)
    for path, days in (("ca.crt", 3650), ("foo.crt", 365)):
        (made,) = read_certificates(Path(path))
        assert made.not_valid_before_utc < now
        assert abs(made.not_valid_after_utc - now - timedelta(days=days)) < timedelta(minutes=5)


@pytest.mark.usefixtures("in_folder")
def test_times_are_taken_as_they_are_given() -> None:
    begin, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    expired = replace(SIGN, not_before=begin, not_after=end)
    carry_out([replace(CA, not_before=begin), REQUEST, expired])
    (foo,) = read_certificates(Path("foo.crt"))
    assert (foo.not_valid_before_utc, foo.not_valid_after_utc) == (begin, end)
    (ca,) = read_certificates(Path("ca.crt"))
    assert ca.not_valid_before_utc == begin


@pytest.mark.usefixtures("in_folder")
def test_a_key_that_is_there_serves_for_another_request() -> None:
    carry_out([CA, REQUEST, SIGN])
    key = Path("foo.key").read_bytes()
    carry_out([CertMakeReq("foo", Path("foo.req"), node_ids=frozenset({"bar"}), in_key=Path("foo.key")), SIGN])
    (renewed,) = read_certificates(Path("foo.crt"))
    assert node_ids(renewed) == ("bar",)
    assert Path("foo.key").read_bytes() == key


@pytest.mark.parametrize("action", [CA, REQUEST])
def test_no_key_is_overwritten(in_folder: Path, action: CertInit | CertMakeReq) -> None:
    carry_out([action])
    before = {path: path.read_bytes() for path in in_folder.iterdir()}
    with pytest.raises(OperatingError, match="the file exists already and is not overwritten"):
        carry_out([action])
    assert {path: path.read_bytes() for path in in_folder.iterdir()} == before


@pytest.mark.parametrize("by", ["request", "certificate"])
def test_no_authority_is_overwritten_by_whatever_name(in_folder: Path, by: str) -> None:
    """Its certificate can't be made again: every node trusts just that one."""
    carry_out([CA, REQUEST])
    before = Path("ca.crt").read_bytes()
    other_name = in_folder / "ca.crt"
    again = CertMakeReq("foo", other_name, node_ids=frozenset({"foo"}), in_key=Path("foo.key"))
    with pytest.raises(OperatingError, match="this is an authority's certificate, which is never overwritten"):
        carry_out([again if by == "request" else replace(SIGN, out_cert=other_name)])
    assert Path("ca.crt").read_bytes() == before


def test_mistakes_are_told_before_anything_is_made(in_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^cert-makereq needs 'outkey'"):
        carry_out([CertMakeReq("foo", Path("foo.req"))])
    assert list(in_folder.iterdir()) == []


@pytest.mark.usefixtures("in_folder")
def test_the_operator_sees_all_names_before_a_request_is_signed(
    answer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answer("yes\n")
    carry_out([CA, REQUEST, ASK])
    shown = capsys.readouterr().out
    for text in (
        "foo.req:",
        "CN=foo",
        "node id foo",
        "node id edge:1",
        "DNS name foo.example.com",
        "192.0.2.1",
        "2048",
    ):
        assert text in shown
    assert "(yes/no)?" in shown
    assert Path("foo.crt").exists()


@pytest.mark.usefixtures("in_folder")
def test_what_is_signed_is_what_the_operator_has_seen(
    answer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if the request is changed in the meantime: here each who reads it gets another one."""
    harmless = CertMakeReq("foo", Path("harmless.req"), node_ids=frozenset({"harmless"}), in_key=Path("foo.key"))
    carry_out([CA, REQUEST, harmless])
    requests = [Path(name).read_bytes() for name in ("foo.req", "harmless.req")]
    Path("foo.req").unlink()
    os.mkfifo("foo.req")
    writer = threading.Thread(target=write_in_turn, args=(Path("foo.req"), requests))
    writer.start()
    answer("yes\n")
    try:
        carry_out([ASK])
    finally:
        os.close(os.open("foo.req", os.O_RDONLY | os.O_NONBLOCK))  # so that the writer ends
        writer.join()
    (foo,) = read_certificates(Path("foo.crt"))
    shown = capsys.readouterr().out
    assert all(f"node id {node_id}" in shown for node_id in node_ids(foo))


def write_in_turn(path: Path, contents: list[bytes]) -> None:
    with suppress(BrokenPipeError):
        for content in contents:
            path.write_bytes(content)


@pytest.mark.parametrize("text", ["no\n", "\n", "", "certainly\n"])
@pytest.mark.usefixtures("in_folder")
def test_nothing_is_signed_unless_the_answer_is_yes(answer: Callable[[str], None], text: str) -> None:
    answer(text)
    with pytest.raises(OperatingError, match=r"foo.req: the request is not signed"):
        carry_out([CA, REQUEST, ASK])
    assert not Path("foo.crt").exists()


@pytest.mark.usefixtures("in_folder")
def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    with pytest.raises(ConfigurationError, match="add verify=true to cert-signreq"):
        carry_out([CA, REQUEST, ASK])
    assert not Path("foo.crt").exists()


@pytest.mark.usefixtures("in_folder")
def test_without_any_standard_input_nobody_is_asked_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigurationError, match="add verify=true to cert-signreq"):
        carry_out([CA, REQUEST, ASK])


def test_a_missing_file_is_named(in_folder: Path) -> None:
    with pytest.raises(ReceptorError, match=r"^ca.crt: there is no such file for the certificate"):
        carry_out([SIGN])
    assert list(in_folder.iterdir()) == []


@pytest.mark.usefixtures("in_folder")
def test_serial_numbers_of_an_authority_s_certificates_differ() -> None:
    carry_out([CA, REQUEST, SIGN])
    first = x509.load_pem_x509_certificate(Path("foo.crt").read_bytes())
    carry_out([SIGN])
    assert read_certificates(Path("foo.crt"))[0].serial_number != first.serial_number
