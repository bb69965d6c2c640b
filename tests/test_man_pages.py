"""docs/man is what the program's definitions say, and ``man`` can read it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import roff
from tools.man_pages import pages, write

FOLDER = Path(__file__).parents[1] / "docs" / "man"
PAGES = sorted(path for path in FOLDER.glob("man?/*"))


def test_the_pages_are_current() -> None:
    found = {str(path.relative_to(FOLDER)): path.read_text("utf-8") for path in PAGES}
    assert found == pages(), "run 'make man'"


def test_a_page_that_is_no_longer_made_goes(tmp_path: Path) -> None:
    (tmp_path / "man1").mkdir()
    (tmp_path / "man1" / "stale.1").touch()
    write(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.glob("man?/*")} == set(pages())


@pytest.mark.skipif(not shutil.which("man") or not shutil.which("groff"), reason="there is no man here")
def test_man_has_nothing_to_warn_of() -> None:
    done = subprocess.run(
        ["man", "--warnings", "--encoding=UTF-8", "--local-file", *PAGES],
        env={**os.environ, "MAN_KEEP_FORMATTING": "", "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.decode() == ""
    assert "receptorctl --context lab status" in done.stdout.decode()


@pytest.mark.skipif(not shutil.which("mandoc"), reason="there is no mandoc here")
def test_mandoc_has_nothing_to_warn_of() -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *PAGES], capture_output=True, text=True, timeout=60, check=False
    )
    # Pages have no date, so that they change only with what they say.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []


def test_text_that_looks_like_a_command_is_text() -> None:
    assert roff.filled(".SH isn't \\fBone") == "\\&.SH isn\\(aqt \\efBone\n"
    assert roff.literal(["'x --y"]) == ".PP\n.RS 4\n.EX\n\\(aqx \\-\\-y\n.EE\n.RE\n"


def test_options_and_values_stand_out() -> None:
    assert roff.item("-p, --payload FILE", "x") == ".TP\n\\fB\\-p\\fR, \\fB\\-\\-payload\\fR \\fIFILE\\fR\nx\n"
    assert roff.item("tcp-peer", "x") == ".TP\ntcp\\-peer\nx\n"


def test_the_first_paragraph_after_a_heading_has_no_command() -> None:
    assert roff.page(roff.heading("name"), roff.paragraph("x")) == ".SH NAME\nx\n"
