"""Configuration files: a YAML list of actions, read with line numbers (configuration, "list (v1)")."""

from __future__ import annotations

import socket
from pathlib import Path

import yaml

from receptor.config.configuration import Configuration, configuration_of
from receptor.config.kinds import Written, WrittenMap
from receptor.config.problems import Problems
from receptor.config.written import WrittenAction, WrittenValue
from receptor.errors import ConfigurationError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 20
_NULL = "tag:yaml.org,2002:null"
_FORM = "a configuration is a list of actions, such as '- node: foo'"


def load_file(path: Path) -> Configuration:
    """The configuration in that YAML file.

    Raises ConfigurationError with a line ``file:line: what is wrong`` for each problem.
    """
    return configuration_of(read_file(path), str(path), socket.gethostname())


def read_file(path: Path) -> list[WrittenAction]:
    """The actions as that YAML file has them; raises ConfigurationError if it can't be read or holds no such list."""
    root = _compose(_text_of(path), path)
    if root is None or root.tag == _NULL:
        raise ConfigurationError(f"{path}: the file is empty; {_FORM}")
    if isinstance(root, yaml.MappingNode) and "version" in (key.value for key, _ in root.value):
        raise ConfigurationError(f"{_place(path, root)}: the map form is not supported by this version yet; {_FORM}")
    if not isinstance(root, yaml.SequenceNode):
        raise ConfigurationError(f"{_place(path, root)}: this is no list; {_FORM}")
    actions: list[WrittenAction] = []
    problems = Problems()
    for item in root.value:
        with problems.noted():
            actions.append(_action(item, path))
    problems.raise_if_any()
    return actions


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path}: the configuration file can't be read: {reason}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: the file must be UTF-8 text, and this line is not") from error


def _compose(text: str, path: Path) -> yaml.Node | None:
    try:
        _refuse_depth(text, path)
        return yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        place = f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else str(path)
        since = f" since line {error.context_mark.line + 1}" if error.context_mark else ""
        context = f" ({error.context}{since})" if error.context else ""
        raise ConfigurationError(f"{place}: not valid YAML: {error.problem}{context}") from error
    except yaml.reader.ReaderError as error:
        line = text.encode().count(b"\n", 0, error.position) + 1
        raise ConfigurationError(f"{path}:{line}: not valid YAML: {error.reason}") from error


def _refuse_depth(text: str, path: Path) -> None:
    """Refuse what the composer, which recurses, could not survive: in C it would crash when the stack is full."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise ConfigurationError(f"{path}: the file's lists and maps are nested too deeply")


def _action(item: yaml.Node, path: Path) -> WrittenAction:
    place = _place(path, item)
    if isinstance(item, yaml.ScalarNode) and item.tag != _NULL:
        return WrittenAction(_text(item, path), place)
    if not isinstance(item, yaml.MappingNode) or not item.value:
        raise ConfigurationError(f"{place}: this is no action; {_FORM}")
    if len(item.value) > 1:
        names = " and ".join(repr(_text(key, path)) for key, _ in item.value[:2])
        raise ConfigurationError(
            f"{_place(path, item.value[1][0])}: {names} are at one level; begin each action with '- ', "
            "and indent its keys further than its name"
        )
    name, content = item.value[0]
    if isinstance(content, yaml.SequenceNode):
        where = _place(path, content)
        raise ConfigurationError(f"{where}: {_text(name, path)} takes a value or keys with values, not a list")
    return WrittenAction(_text(name, path), place, _values(content, path))


def _values(content: yaml.Node, path: Path) -> tuple[WrittenValue, ...]:
    if content.tag == _NULL:
        return ()
    if not isinstance(content, yaml.MappingNode):
        return (WrittenValue(None, _value(content, path), _place(path, content)),)
    return tuple(WrittenValue(_text(key, path), _value(value, path), _place(path, key)) for key, value in content.value)


def _value(node: yaml.Node, path: Path) -> Written:
    if isinstance(node, yaml.SequenceNode):
        return [
            _map(entry, path) if isinstance(entry, yaml.MappingNode) else _entry(entry, path) for entry in node.value
        ]
    return _map(node, path) if isinstance(node, yaml.MappingNode) else _entry(node, path)


def _map(node: yaml.MappingNode, path: Path) -> WrittenMap:
    entries: WrittenMap = {}
    for key, value in node.value:
        name = _text(key, path)
        if name in entries:
            raise ConfigurationError(f"{_place(path, key)}: {name!r} is there twice")
        entries[name] = _entry(value, path)
    return entries


def _entry(node: yaml.Node, path: Path) -> str | None:
    return _text(node, path) if isinstance(node, yaml.ScalarNode) and node.tag != _NULL else None


def _text(node: yaml.Node, path: Path) -> str:
    """The text of a scalar as written, whatever type YAML gives it."""
    if not isinstance(node, yaml.ScalarNode) or node.tag == _NULL:
        raise ConfigurationError(f"{_place(path, node)}: there must be a single value here, such as a name or a number")
    text: str = node.value
    if "\0" in text:
        raise ConfigurationError(f"{_place(path, node)}: no value can hold a NUL character")
    return text


def _place(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"
