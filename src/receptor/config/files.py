"""Configuration files: YAML in one of two shapes, read with line numbers."""

from __future__ import annotations

import socket
from pathlib import Path

import yaml

from receptor.config.configuration import Configuration, configuration_of
from receptor.config.list_form import FORM, actions_of_list
from receptor.config.map_form import actions_of_map
from receptor.config.written import WrittenAction
from receptor.config.yaml_nodes import is_nothing, place
from receptor.errors import ConfigurationError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 20
_ADVICE: dict[type[Exception], str] = {
    FileNotFoundError: "correct its name, or make one with 'receptor init'",
    PermissionError: "do it as a user who may, such as the one that the node runs as",
}


def load_file(path: Path) -> Configuration:
    """The configuration in that YAML file.

    Raises ConfigurationError with a line ``file:line: what is wrong`` for each problem.
    """
    return configuration_of(read_file(path), str(path), socket.gethostname())


def read_file(path: Path) -> list[WrittenAction]:
    """The actions that are in that YAML file, in either shape; raises ConfigurationError if it holds none."""
    root = _compose(_text_of(path), path)
    if root is None or is_nothing(root):
        raise ConfigurationError(f"{path}: the file is empty; {FORM}")
    if isinstance(root, yaml.MappingNode):
        return actions_of_map(path, root)
    if isinstance(root, yaml.SequenceNode):
        return actions_of_list(path, root)
    raise ConfigurationError(f"{place(path, root)}: this is no list; {FORM}")


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        advice = _ADVICE.get(type(error), "name another file")
        raise ConfigurationError(f"{path}: the configuration file can't be read: {reason}; {advice}") from error
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
        if error.problem_mark and _has_tab(text, error.problem_mark.line):
            context += "; the line begins with a tab: indent it with spaces"
        raise ConfigurationError(f"{place}: not valid YAML: {error.problem}{context}") from error
    except yaml.reader.ReaderError as error:
        line = text.encode().count(b"\n", 0, error.position) + 1
        raise ConfigurationError(f"{path}:{line}: not valid YAML: {error.reason}") from error


def _has_tab(text: str, index: int) -> bool:
    return any(line.lstrip(" ").startswith("\t") for line in text.split("\n")[index : index + 1])


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
