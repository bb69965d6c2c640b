"""The shape of a configuration file that is a list of actions (configuration, "list")."""

from __future__ import annotations

from pathlib import Path

import yaml

from receptor.config.problems import Problems
from receptor.config.written import WrittenAction
from receptor.config.yaml_nodes import is_nothing, place, text, values
from receptor.errors import ConfigurationError

FORM = "a configuration is a list of actions, such as '- node: foo'"


def actions_of_list(path: Path, root: yaml.SequenceNode) -> list[WrittenAction]:
    """The actions in that list, in their order; raises ConfigurationError with a line for each that is none."""
    actions: list[WrittenAction] = []
    problems = Problems()
    for item in root.value:
        with problems.noted():
            actions.append(_action(path, item))
    problems.raise_if_any()
    return actions


def _action(path: Path, item: yaml.Node) -> WrittenAction:
    if isinstance(item, yaml.ScalarNode) and not is_nothing(item):
        return WrittenAction(text(path, item), place(path, item))
    if not isinstance(item, yaml.MappingNode) or not item.value:
        raise ConfigurationError(f"{place(path, item)}: this is no action; {FORM}")
    if len(item.value) > 1:
        names = " and ".join(repr(text(path, key)) for key, _ in item.value[:2])
        raise ConfigurationError(
            f"{place(path, item.value[1][0])}: {names} are at one level; begin each action with '- ', "
            "and indent its keys further than its name"
        )
    key, content = item.value[0]
    name = text(path, key)
    return WrittenAction(name, place(path, item), values(path, name, content))
