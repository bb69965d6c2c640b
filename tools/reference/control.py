"""The records of the control protocol: what each command takes and what is answered.

Which key of a command becomes which field is found by trying: each example is parsed with and without the key.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from itertools import groupby
from typing import get_args

import msgspec

from receptor import events
from receptor.control import answers, commands
from receptor.errors import CommandError
from receptor.netceptor.messages import Advertisement
from receptor.workceptor.status import ProcessAnswer, StatusAnswer

HEAD = """# The control protocol, every record

The commands with their keys in JSON, and the answers. How a session goes, and how each command is written in words, is
told in [The control protocol](../control-protocol.md).

## Commands
"""
Example = dict[str, object]
_MODULES = re.compile(r"\b(?:\w+\.)+(?=\w)")
_NAMES = ("command", "subcommand")
EXAMPLES: tuple[Example, ...] = (
    {"command": "status", "requested_fields": ["NodeID", "Version"]},
    {"command": "ping", "target": "bar"},
    {"command": "traceroute", "target": "bar"},
    {"command": "connect", "node": "bar", "service": "shell", "tls": "mesh"},
    {"command": "reload"},
    {"command": "multiplex"},
    {"command": "events"},
    {
        "command": "work",
        "subcommand": "submit",
        "node": "bar",
        "worktype": "cat",
        "tlsclient": "mesh",
        "ttl": "30m",
        "signwork": "true",
        "signature": "eyJh...",
        "idempotencykey": "nightly",
        "unitname": "report",
        "secret_env": '{"LANG":"C"}',
        "params": "-n",
    },
    {"command": "work", "subcommand": "list", "unitid": "Gd4bVTRs"},
    {"command": "work", "subcommand": "list", "idempotencykey": "nightly"},
    {"command": "work", "subcommand": "status", "unitid": "Gd4bVTRs", "knownstate": 1, "startpos": 0},
    {"command": "work", "subcommand": "status", "unitid": "Gd4bVTRs", "knownstate": 1, "knownsize": 10},
    {"command": "work", "subcommand": "cancel", "unitid": "Gd4bVTRs", "signature": "eyJh..."},
    {"command": "work", "subcommand": "release", "unitid": "Gd4bVTRs", "signature": "eyJh..."},
    {"command": "work", "subcommand": "force-release", "unitid": "Gd4bVTRs", "signature": "eyJh..."},
    {"command": "work", "subcommand": "results", "unitid": "Gd4bVTRs", "startpos": 100, "signature": "eyJh..."},
)
"""One of each command, with every key that it knows."""

ANSWERS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "status": (answers.NodeStatus, answers.Connection, Advertisement, answers.Certificate, answers.DataFolder),
    "ping": (answers.PingAnswer, answers.PingFailure),
    "traceroute, for each hop": (answers.Hop,),
    "reload": (answers.ReloadAnswer,),
    "work submit, in the end": (answers.SubmitAnswer,),
    "work status; work list, for each unit": (StatusAnswer, ProcessAnswer),
    "events, one a line": (
        *(events.UnitEvent, events.LinkEvent, events.NodeEvent, events.ServiceEvent),
        events.LostEvents,
    ),
}


def page() -> str:
    """The page in Markdown."""
    records = (f"### {command}\n\n{''.join(map(answer, kinds))}" for command, kinds in ANSWERS.items())
    sections = (command_section(name, list(examples)) for name, examples in groupby(EXAMPLES, name_of))
    return "\n".join([HEAD, *sections, "## Answers\n", *records])


def name_of(example: Example) -> str:
    """The name of the command, as words."""
    return " ".join(str(example[key]) for key in _NAMES if key in example)


def command_section(name: str, examples: Sequence[Example]) -> str:
    """One command: what it is for, examples, and its keys."""
    record = type(parsed(examples[0]))
    lines = "\n".join(map(json.dumps, examples))
    rows = [row(example, key) for example in examples for key in example if key not in _NAMES]
    table = ["| key | needed | field |", "|---|---|---|", *rows, ""] if rows else []
    about = [f"### `{name}`", "", plain(record), "", "```json", lines, "```", ""]
    return "\n".join([*about, *table, f"Record: `{record.__module__}.{record.__name__}`", ""])


def row(example: Example, key: str) -> str:
    """One line of the table of keys."""
    return f"| `{key}` | {'yes' if is_needed(example, key) else ''} | `{field_of(example, key)}` |"


def parsed(example: Example) -> msgspec.Struct:
    """The record that the node makes of a line."""
    return commands.parse(json.dumps(example).encode())


def is_needed(example: Example, key: str) -> bool:
    """Whether the command is refused without the key."""
    try:
        parsed({name: value for name, value in example.items() if name != key})
    except CommandError:
        return True
    return False


def field_of(example: Example, key: str) -> str:
    """The field of the record that the key changes."""
    whole = parsed(example)
    other = parsed({**example, key: another(example[key])})
    changed = [name for name in whole.__struct_fields__ if getattr(whole, name) != getattr(other, name)]
    if len(changed) != 1:
        raise LookupError(f"{key} of {example} changes {changed}, not one field")
    return changed[0]


def another(value: object) -> object:
    """Another value of the same kind."""
    match value:
        case "true":
            return "false"
        case str():
            return f"{value}x"
        case int():
            return value + 1
        case _:
            return ["Version"]


def answer(record: type[msgspec.Struct]) -> str:
    """One record of an answer: its keys as they are sent, and their types."""
    rows = (f"| `{field.encode_name}` | {type_name(field.type)} |" for field in msgspec.structs.fields(record))
    return "\n".join([f"`{record.__name__}`: {plain(record)}", "", "| key | type |", "|---|---|", *rows, "", ""])


def plain(record: type[msgspec.Struct]) -> str:
    """The docstring, with code as Markdown has it."""
    return inspect.cleandoc(record.__doc__ or "").replace("``", "`")


def type_name(kind: object) -> str:
    """A type as its source has it, without modules: ``tuple[a.b.C, ...]`` as ``tuple[C, ...]``."""
    text = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
    return f"`{_MODULES.sub('', text)}`".replace("|", "\\|")
