"""The pictures of terminals in the documentation are what the program shows."""

from __future__ import annotations

import html
import re

from tools.pictures import FOLDER, PICTURES, drawn


def text_of(svg: str) -> list[str]:
    """What is to be read in a picture, without the widths of columns."""
    return " ".join(html.unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", svg, re.DOTALL)).split()


def test_they_are_as_the_program_shows_it_now() -> None:
    """If not: make pictures, look at them, and commit them."""
    for name, svg in drawn(PICTURES):
        assert text_of((FOLDER / f"{name}.svg").read_text()) == text_of(svg), name


def test_there_is_one_for_each_name_and_no_other() -> None:
    assert {file.stem for file in FOLDER.glob("*.svg")} == {picture.name for picture in PICTURES}


def test_they_need_nothing_from_elsewhere() -> None:
    for file in FOLDER.glob("*.svg"):
        assert re.findall("url\\((?!#)", file.read_text()) == []
