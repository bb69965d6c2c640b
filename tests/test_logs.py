from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from receptor.config.kinds import LOG_LEVELS
from receptor.errors import OperatingError
from receptor.logs import LEVELS, audit_file, set_up_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in (None, "receptor", "quic")]
    levels, handlers = [logger.level for logger in loggers], loggers[0].handlers
    yield
    loggers[0].handlers = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_every_level_that_can_be_configured_is_known() -> None:
    assert set(LEVELS) == set(LOG_LEVELS)


def test_a_line_holds_time_level_node_unit_peer_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "foo")
    logging.getLogger("receptor.node").info("%d bytes", 5, extra={"unit": "u1", "peer": "bar"})
    logging.getLogger("receptor.node").info("hello")
    first, second = capsys.readouterr().err.splitlines()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(f"{time} INFO node=foo unit=u1 peer=bar receptor.node: 5 bytes", first)
    assert re.fullmatch(f"{time} INFO node=foo receptor.node: hello", second)


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_less_severe_than_the_level_is_left_out(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level, "foo")
    for name, number in LEVELS.items():
        logging.getLogger("receptor.netceptor").log(number, "this is %s", name)
    shown = [line.rsplit(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert shown == list(LEVELS)[: list(LEVELS).index(level) + 1]


def test_libraries_speak_only_when_something_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("debug", "foo")
    logging.getLogger("asyncio").info("not for people")
    logging.getLogger("quic").error("a peer left")
    assert capsys.readouterr().err == ""
    logging.getLogger("asyncio").error("for people")
    assert "for people" in capsys.readouterr().err


@pytest.mark.parametrize("evil", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\x85b", "a\u2028b", "a\0b", "a\x0bb", "a\ud800b"])
def test_whatever_a_peer_calls_itself_stays_on_one_line(evil: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "foo")
    logging.getLogger("receptor.netceptor").info("link with %s", evil, extra={"peer": evil})
    line = capsys.readouterr().err.removesuffix("\n")
    assert line.isprintable()
    assert re.search(r"peer=a\\.*b receptor.netceptor: link with a\\.*b$", line)


def test_text_of_other_languages_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "foo")
    logging.getLogger("receptor.netceptor").info("link with Jörg 東京")
    assert "link with Jörg 東京" in capsys.readouterr().err


def test_a_backslash_can_be_told_from_an_escape(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "foo")
    logging.getLogger("receptor.netceptor").info("C:\\new")
    assert "C:\\\\new" in capsys.readouterr().err


def test_a_traceback_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "foo")
    try:
        raise KeyError("boom")
    except KeyError:
        logging.getLogger("asyncio").exception("went wrong")
    (line,) = capsys.readouterr().err.splitlines()
    assert "asyncio: went wrong: Traceback" in line
    assert line.endswith("\\nKeyError: 'boom'")


def test_setting_up_again_replaces_what_was_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("debug", "foo")
    set_up_logging("error", "bar")
    logging.getLogger("receptor.node").error("once")
    (line,) = capsys.readouterr().err.splitlines()
    assert "node=bar" in line


def lines(file: Path) -> list[str]:
    """The messages in a file of the audit, after the fields that every line begins with."""
    return [line.partition("receptor.audit: ")[2] for line in file.read_text().splitlines()]


@pytest.mark.parametrize("level", LEVELS)
def test_the_audit_s_file_holds_everything_whatever_the_level(
    level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(level, "foo")
    file = tmp_path / "audit.log"
    audit = logging.getLogger("receptor.audit")
    with audit_file(file, "foo"):
        audit.info("allowed %s", "a\nb", extra={"unit": "u1"})
        audit.warning("refused")
        logging.getLogger("receptor.node").error("something else")
    audit.error("too late")
    first, second = file.read_text().splitlines()
    assert re.fullmatch(r"\S+ \S+ INFO node=foo unit=u1 receptor\.audit: allowed a\\nb", first)
    assert second.endswith("WARNING node=foo receptor.audit: refused")
    shown = {line.partition("receptor.audit: ")[2] for line in capsys.readouterr().err.splitlines()}
    assert ("allowed a\\nb" in shown) is (level in ("info", "debug"))
    assert ("refused" in shown) is (level != "error")


def test_the_audit_s_file_is_its_owner_s_and_grows(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    before = os.umask(0)
    try:
        for message in ("one", "two"):
            with audit_file(file, "foo"):
                logging.getLogger("receptor.audit").info(message)
    finally:
        os.umask(before)
    assert lines(file) == ["one", "two"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_audit_s_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    file, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    with audit_file(file, "foo"):
        logging.getLogger("receptor.audit").info("before")
        file.rename(old)
        logging.getLogger("receptor.audit").info("after")
    assert (lines(old), lines(file)) == (["before"], ["after"])
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_audit_s_file_that_can_not_be_made_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OperatingError, match=r"the audit file .*/nosuch/audit\.log can't be written: No such file"):
        audit_file(tmp_path / "nosuch" / "audit.log", "foo").__enter__()


@pytest.mark.parametrize("hindrance", ["no room", "no folder"])
def test_an_audit_s_file_that_can_not_be_written_any_more_is_told_and_harms_nothing(
    hindrance: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("error", "foo")
    folder = tmp_path / "log"
    folder.mkdir()
    file = Path("/dev/full") if hindrance == "no room" else folder / "audit.log"
    with audit_file(file, "foo"):
        if hindrance == "no folder":
            folder.rename(tmp_path / "elsewhere")
        logging.getLogger("receptor.audit").info("lost")
        (line,) = capsys.readouterr().err.splitlines()
        assert f"ERROR node=foo receptor.node: the audit file {file} can't be written: " in line
        if hindrance == "no folder":
            (tmp_path / "elsewhere").rename(folder)
            logging.getLogger("receptor.audit").info("found")
            assert lines(file) == ["found"]
