"""The rules for names that travel or become file names: node ids, services, unit ids."""

from __future__ import annotations

import random
import re
import string

LOCALHOST = "localhost"
LONGEST_NODE_ID = 1024
LONGEST_SERVICE = 8

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_UNIT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


def is_localhost(node_id: str) -> bool:
    """Whether the name means the node that reads it (any letter case)."""
    return node_id.lower() == LOCALHOST


def means_node(name: str, node_id: str) -> bool:
    """Whether a client on the node of that id means this very node by the name."""
    return is_localhost(name) or name == node_id


def is_unmistakable(name: str) -> bool:
    """Whether all of a name can be seen: it has no white space, nor other characters that do not print."""
    return name.isprintable() and " " not in name


def is_unit_id(text: str) -> bool:
    """Whether the text may be a unit id: one path component that can't climb or hide (work-units, "On disk")."""
    return _UNIT_ID.fullmatch(text) is not None


def is_service_name(text: str) -> bool:
    """Whether the text fits the eight bytes that a data packet has for a service (mesh protocol, section 4)."""
    return 0 < len(text.encode("utf-8", "surrogatepass")) <= LONGEST_SERVICE and "\0" not in text


def random_name(rng: random.Random, length: int = 8) -> str:
    """That many random letters and digits: an ephemeral service, an update id, a unit id."""
    # One number for all of it: each that the system makes is a call into it.
    number = rng.randrange(len(_LETTERS_AND_DIGITS) ** length)
    name = ""
    for _ in range(length):
        number, digit = divmod(number, len(_LETTERS_AND_DIGITS))
        name += _LETTERS_AND_DIGITS[digit]
    return name
