"""Text of other machines made fit for one line of a terminal, and how wide that is."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """The text on one line; what other nodes call themselves must not steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def text_width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


def shortened(text: str, width: int) -> str:
    """The text if it takes no more than so many columns, else its beginning and an ellipsis."""
    if text_width(text) <= width:
        return text
    kept, room = "", width - 1
    for character in text:
        room -= _character_width(character)
        if room < 0:
            break
        kept += character
    return f"{kept}…"


def counted(count: int, noun: str) -> str:
    """``1 unit``, ``2 units``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
