"""The shape of a configuration file that is a map (configuration, "map"): version 2 of existing nodes.

Actions that are there at most once have keys of their own; the others are in lists, whose keys are plurals.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from receptor.config.actions import ACTIONS
from receptor.config.keys import About
from receptor.config.list_form import FORM
from receptor.config.problems import Problems, meant
from receptor.config.written import WrittenAction
from receptor.config.yaml_nodes import is_nothing, place, text, values
from receptor.errors import ConfigurationError

VERSION = "2"

_ABOUT = {action.about.map_key: action.about for action in ACTIONS.values()}


def actions_of_map(path: Path, root: yaml.MappingNode) -> list[WrittenAction]:
    """The actions in that map, in their order; raises ConfigurationError with a line for each key that is wrong."""
    contents: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, content in root.value:
        name = text(path, key).lower()
        if name in contents:
            raise ConfigurationError(
                f"{place(path, key)}: {name!r} is there twice, first in line {_line(contents[name][0])}"
            )
        contents[name] = key, content
    _check_version(path, root, contents.pop("version", None))
    actions: list[WrittenAction] = []
    problems = Problems()
    for name, (key, content) in contents.items():
        with problems.noted():
            about = _about(name, place(path, key))
            for where, item in _items(about, key, content):
                with problems.noted():
                    actions.append(WrittenAction(about.name, place(path, where), values(path, about.name, item)))
    problems.raise_if_any()
    return actions


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _check_version(path: Path, root: yaml.MappingNode, version: tuple[yaml.Node, yaml.Node] | None) -> None:
    if version is None:
        raise ConfigurationError(
            f"{place(path, root)}: this is no list, and a map must have the key 'version: {VERSION}'; {FORM}"
        )
    written = text(path, version[1])
    if written != VERSION:
        raise ConfigurationError(
            f"{place(path, version[0])}: there is no version {written!r} of the configuration; "
            f"a map has 'version: {VERSION}', and older ones are lists of actions"
        )


def _about(name: str, where: str) -> About:
    """What action a key is for; raises ConfigurationError if there is none."""
    if name in _ABOUT:
        return _ABOUT[name]
    if name in ACTIONS:
        hint = f"write {ACTIONS[name].about.map_key!r}, with a list"
    else:
        hint = meant(name, _ABOUT, "'receptor --help' lists the actions")
    raise ConfigurationError(f"{where}: a configuration that is a map has no key {name!r}; {hint}")


def _items(about: About, key: yaml.Node, content: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Each action under a key, after the node that tells its place; a list of one needs no list."""
    if about.once or not isinstance(content, yaml.SequenceNode):
        if about.once or not is_nothing(content):
            yield key, content
        return
    for item in content.value:
        yield item, item
