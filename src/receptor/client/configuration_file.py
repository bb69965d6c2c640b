"""What a client takes out of a node's configuration file, of either shape (list or map), without checking the rest."""

from __future__ import annotations

from collections.abc import Mapping

from receptor.errors import ConfigurationError


def read_actions(file: str, name: str) -> list[dict[str, object]]:
    """The keys, in lower case, of every action of that name (in its singular, such as ``tls-client``) in the file.

    Raises ConfigurationError if the file can't be read or is not YAML.
    """
    import yaml

    try:
        with open(file, "rb") as stream:
            document = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise ConfigurationError(f"{file}: can't be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{file}: this is not YAML: {reason}") from error
    return [_lower_keys(value) for value in _values(document, name) if isinstance(value, Mapping)]


def _values(document: object, name: str) -> list[object]:
    """What stands after ``- name:`` in a list, or below the plural of the name in a map."""
    if isinstance(document, Mapping):
        found = _lower_keys(document).get(f"{name}s")
        return found if isinstance(found, list) else [found]
    items = document if isinstance(document, list) else []
    return [_lower_keys(item).get(name) for item in items if isinstance(item, Mapping)]


def _lower_keys(mapping: Mapping[object, object]) -> dict[str, object]:
    return {str(key).lower(): value for key, value in mapping.items()}
