from __future__ import annotations

from pathlib import Path

import pytest

from receptor.ctl.env_file import parse_env, read_env_file
from receptor.errors import ConfigurationError

FILE = """\
# a comment
  # and another

PLAIN=some words   # with a comment
export EXPORTED=yes
  INDENTED = spaced
EMPTY=
HASH=#000 and a#b
SINGLE='as $it "is" \\n'  # comment
DOUBLE="tab\\t \\"quoted\\" \\$HOME $HOME back\\\\slash \\q"
KEY="-----BEGIN
-----END"
PLAIN=the later one counts
dotted.key-1=x
"""


def test_what_people_write() -> None:
    assert dict(parse_env(FILE, "f")) == {
        "PLAIN": "the later one counts",
        "EXPORTED": "yes",
        "INDENTED": "spaced",
        "EMPTY": "",
        "HASH": "#000 and a#b",
        "SINGLE": 'as $it "is" \\n',
        "DOUBLE": 'tab\t "quoted" $HOME $HOME back\\slash \\q',
        "KEY": "-----BEGIN\n-----END",
        "dotted.key-1": "x",
    }


@pytest.mark.parametrize("text", ["", "\n", "# only", "   "])
def test_nothing(text: str) -> None:
    assert dict(parse_env(text, "f")) == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("A=1\nhush\n", "f:2: this is no KEY=VALUE"),
        ("=hush", "f:1: this is no KEY=VALUE"),
        ("2A=hush", "f:1: this is no KEY=VALUE"),
        ("A B=hush", "f:1: this is no KEY=VALUE"),
        ("\nA='hush\nB=2", "f:2: the quote ' that begins the value is never closed"),
        ('A="hush\\"', 'f:1: the quote " that begins the value is never closed'),
        ("A='1'\nB='1\n2' hush", "f:2: there is more after the closing quote"),
        ("A=hush\0", "f:1: the value holds a NUL"),
    ],
)
def test_a_mistake_is_named_by_its_line_without_showing_values(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        dict(parse_env(text, "f"))
    assert str(error.value).startswith(complaint)
    assert "hush" not in str(error.value)


def test_a_file_of_another_system(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_bytes("\ufeffA=1\r\nB='x\r\ny'\r\n".encode())
    assert read_env_file(str(file)) == {"A": "1", "B": "x\ny"}


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't read the file /nosuch: No such file"):
        read_env_file("/nosuch")
    file = tmp_path / "env"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_env_file(str(file))
