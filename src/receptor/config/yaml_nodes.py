"""What both shapes of a configuration file have in common: values, with the line of each."""

from __future__ import annotations

from pathlib import Path

import yaml

from receptor.config.kind import Written, WrittenMap
from receptor.config.written import WrittenValue
from receptor.errors import ConfigurationError

_NULL = "tag:yaml.org,2002:null"


def place(path: Path, node: yaml.Node) -> str:
    """How messages about a node of that file begin: ``file:line``."""
    return f"{path}:{node.start_mark.line + 1}"


def is_nothing(node: yaml.Node) -> bool:
    """Whether nothing stands there, or ``null`` or ``~``."""
    return bool(node.tag == _NULL)


def text(path: Path, node: yaml.Node) -> str:
    """The text of a scalar as written, whatever type YAML gives it; raises ConfigurationError if it is none."""
    if not isinstance(node, yaml.ScalarNode) or is_nothing(node):
        raise ConfigurationError(f"{place(path, node)}: there must be a single value here, such as a name or a number")
    written: str = node.value
    if "\0" in written:
        raise ConfigurationError(f"{place(path, node)}: no value can hold a NUL character")
    return written


def values(path: Path, action: str, content: yaml.Node) -> tuple[WrittenValue, ...]:
    """The values of that action: those of its keys, or one without a key, or none; raises ConfigurationError."""
    if is_nothing(content):
        return ()
    if isinstance(content, yaml.SequenceNode):
        raise ConfigurationError(f"{place(path, content)}: {action} takes a value or keys with values, not a list")
    if not isinstance(content, yaml.MappingNode):
        return (WrittenValue(None, text(path, content), place(path, content)),)
    return tuple(WrittenValue(text(path, key), _value(path, value), place(path, key)) for key, value in content.value)


def _value(path: Path, node: yaml.Node) -> Written:
    if isinstance(node, yaml.SequenceNode):
        return [_map(path, one) if isinstance(one, yaml.MappingNode) else _entry(path, one) for one in node.value]
    return _map(path, node) if isinstance(node, yaml.MappingNode) else _entry(path, node)


def _map(path: Path, node: yaml.MappingNode) -> WrittenMap:
    entries: WrittenMap = {}
    for key, value in node.value:
        name = text(path, key)
        if name in entries:
            raise ConfigurationError(f"{place(path, key)}: {name!r} is there twice")
        entries[name] = _entry(path, value)
    return entries


def _entry(path: Path, node: yaml.Node) -> str | None:
    return text(path, node) if isinstance(node, yaml.ScalarNode) and not is_nothing(node) else None
