"""The JSON schema of configuration files, made from the definitions of the actions, so that editors check them."""

from __future__ import annotations

import json

from receptor.config.actions import ACTIONS
from receptor.config.keys import Action, Key, keys_of
from receptor.config.kind import ANY_SCALAR, Kind, Schema, named, one_of
from receptor.config.map_form import VERSION

_LIST = "list"
_MAP = "map"


def schema_text() -> str:
    """The schema (draft 2020-12) of both shapes, as JSON.

    It accepts whatever a node accepts, and refuses names of actions and keys that do not exist. A key that is not in
    lower case is checked for its name only.
    """
    return json.dumps(_schema(), indent=1, ensure_ascii=False)


def _schema() -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a Receptor node",
        "anyOf": [_reference(_LIST), _reference(_MAP)],
        "$defs": {
            _LIST: _list_form(),
            _MAP: _map_form(),
            **{name: _action(action) for name, action in ACTIONS.items()},
        },
    }


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _list_form() -> Schema:
    bare = [name for name, action in ACTIONS.items() if not _required(action)]
    action = named({name: _reference(name) for name in ACTIONS})
    return {
        "description": "Actions, each with its keys.",
        "type": "array",
        "items": {"anyOf": [{**action, "minProperties": 1, "maxProperties": 1}, one_of(bare)]},
    }


def _map_form() -> Schema:
    version: Schema = {
        "description": "The version of this shape of the configuration.",
        "enum": [int(VERSION), VERSION],
    }
    actions = {action.about.map_key: _in_map(name, action) for name, action in ACTIONS.items()}
    return {"description": "Actions by their names.", **named({"version": version, **actions}, ["version"])}


def _in_map(name: str, action: type[Action]) -> Schema:
    one = _reference(name)
    if action.about.once:
        return one
    return {"description": action.about.help, "anyOf": [{"type": "array", "items": one}, one, {"type": "null"}]}


def _action(action: type[Action]) -> Schema:
    """What may stand after the action's name: a map of its keys, a bare value, or nothing."""
    keys = keys_of(action)
    shapes = [named({key.name: _key(key) for key in keys}, _required(action))]
    shapes += [value_schema(key.kind) for key in keys if key.main]
    if not _required(action):
        shapes.append({"type": "null"})
    return {"description": action.about.help, "anyOf": shapes}


def _required(action: type[Action]) -> list[str]:
    return [key.name for key in keys_of(action) if key.required]


def _key(key: Key) -> Schema:
    """The key's value; its default is in words too, where it can't be written."""
    otherwise = f" (default: {key.default})" if key.default else ""
    schema = {"description": f"{key.help} {key.kind.expects.capitalize()}{otherwise}.", **value_schema(key.kind)}
    if key.value in (None, "") or key.kind.many:
        return schema
    text, is_number = key.kind.write(key.value), isinstance(key.value, int | float)
    return {**schema, "default": key.value if is_number and str(key.value).lower() == text else text}


def value_schema(kind: Kind) -> Schema:
    """What YAML makes of a key's value, written with or without quotes."""
    one = kind.schema
    match kind.many:
        case "list":
            return {"anyOf": [{"type": "array", "items": one}, one, ANY_SCALAR]}
        case "map":
            return {"anyOf": [{"type": "object", "additionalProperties": one}, {"type": "string", "pattern": "^\\{"}]}
        case "maps":
            return {"anyOf": [{"type": "array", "items": one}, {"type": "string", "pattern": "^\\["}]}
        case _:
            return one
