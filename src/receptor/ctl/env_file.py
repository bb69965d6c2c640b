"""Files of environment variables, as Docker Compose and dotenv read them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from receptor.errors import ConfigurationError

_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"(?:[^\n#]|(?<![ \t])#)*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "'": "'"}


def read_env_file(name: str) -> dict[str, str]:
    """The variables of a file; raises ConfigurationError with file and line, and never with a value."""
    try:
        with open(name, encoding="utf-8-sig", newline=None) as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"can't read the file {name}: {reason}; correct --env-file") from error
    return dict(parse_env(text, name))


def parse_env(text: str, name: str) -> Iterator[tuple[str, str]]:
    """The variables of a file's text, in its order; the later of two of one name counts.

    ``KEY=VALUE`` lines, blank lines and comments. A value in single quotes is taken as it is, in one in double quotes a
    backslash stands before ``n``, ``r``, ``t``, ``$``, quotes and itself; both may span lines. A bare value ends before
    `` #``. Nothing is put in for ``$``. Raises ConfigurationError as ``read_env_file``.
    """
    position = 0
    while position < len(text):
        if blank := _BLANK.match(text, position):
            position = blank.end()
            continue
        where = f"{name}:{text.count(chr(10), 0, position) + 1}"
        assignment = _ASSIGNMENT.match(text, position)
        if assignment is None:
            raise ConfigurationError(f"{where}: this is no KEY=VALUE, and no comment that begins with #")
        value, position = _value(text, assignment.end(), where)
        if "\0" in value:
            raise ConfigurationError(f"{where}: the value holds a NUL character, which no environment variable may")
        yield assignment[1], value


def _value(text: str, position: int, where: str) -> tuple[str, int]:
    """The value that begins there, and where the next line begins."""
    quote = text[position : position + 1]
    if quote not in ("'", '"') or not quote:
        bare = _BARE.match(text, position)
        assert bare is not None
        return bare[0].rstrip(), _end_of_line(text, bare.end(), where)
    quoted = (_SINGLE if quote == "'" else _DOUBLE).match(text, position)
    if quoted is None:
        raise ConfigurationError(f"{where}: the quote {quote} that begins the value is never closed")
    value = quoted[1] if quote == "'" else _ESCAPE.sub(_unescaped, quoted[1])
    return value, _end_of_line(text, quoted.end(), where)


def _end_of_line(text: str, position: int, where: str) -> int:
    blank = _BLANK.match(text, position)
    if blank is None:
        raise ConfigurationError(f"{where}: there is more after the closing quote; only a comment may follow")
    return blank.end()


def _unescaped(escape: re.Match[str]) -> str:
    return _ESCAPED.get(escape[1], escape[0])
