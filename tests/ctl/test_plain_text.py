from __future__ import annotations

import pytest

from receptor.ctl.plain_text import counted, printable, shortened, text_width


def test_what_would_steer_a_terminal_becomes_spaces() -> None:
    assert printable("a\x1b[2Jb\nc\udcffé") == "a [2Jb c é"


@pytest.mark.parametrize(("text", "width"), [("", 0), ("node-1", 6), ("é", 1), ("e\u0301", 1), ("日本", 4)])
def test_width_on_a_terminal(text: str, width: int) -> None:
    assert text_width(text) == width


@pytest.mark.parametrize(
    ("text", "width", "kept"),
    [("exit", 4, "exit"), ("exit status 1", 6, "exit …"), ("日本語", 4, "日…"), ("日本語", 6, "日本語")],
)
def test_long_texts_are_cut(text: str, width: int, kept: str) -> None:
    assert shortened(text, width) == kept


def test_one_and_many() -> None:
    assert [counted(number, "unit") for number in range(3)] == ["0 units", "1 unit", "2 units"]
