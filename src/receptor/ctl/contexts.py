"""Contexts: names for nodes that one talks to often, in a file of the user."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from receptor.ctl.meant import nearest
from receptor.ctl.settings import Settings
from receptor.errors import ConfigurationError, OperatingError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEADER = "# The contexts of receptorctl. 'receptorctl context set' writes this file anew and keeps no comments.\n"
_KEYS = ("socket", "config", "tls-client", "rootcas", "key", "cert", "insecureskipverify")
"""The names of the options that a context stands for."""


@dataclass(frozen=True)
class Contexts:
    """The contexts by name, and the name of the one that is taken where nothing is said; empty if there is none."""

    by_name: Mapping[str, Settings] = field(default_factory=dict)
    default: str = ""

    def find(self, name: str, origin: str = "") -> Settings:
        """What that context says; raises ConfigurationError, in which ``origin`` tells who asked for it."""
        if name in self.by_name:
            return self.by_name[name]
        said = f" ({origin})" if origin else ""
        if not self.by_name:
            raise ConfigurationError(
                f"there is no context {name!r}{said}, nor any other; make it: receptorctl context set {name} --socket "
                "ADDRESS"
            )
        meant = nearest(name, self.by_name)
        hint = f"did you mean {meant!r}?" if meant else "'receptorctl context list' shows all"
        raise ConfigurationError(f"there is no context {name!r}{said}; {hint}")

    def with_context(self, name: str, settings: Settings) -> Contexts:
        """These and one more, or the same one with other settings; raises ConfigurationError if it can't be kept."""
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} can't name a context; take letters, digits, dots, dashes and underscores"
            )
        return replace(self, by_name={**self.by_name, name: _absolute(settings)})

    def without(self, name: str) -> Contexts:
        """All but that one, which is no longer the default either; raises ConfigurationError if it isn't there."""
        self.find(name)
        rest = {other: settings for other, settings in self.by_name.items() if other != name}
        return Contexts(rest, "" if self.default == name else self.default)


def contexts_file() -> str:
    """The name of the file: ``receptorctl/contexts.toml`` in the user's folder of configurations."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(folder, "receptorctl", "contexts.toml")


def read_contexts() -> Contexts:
    """The contexts of the user, none if there is no file.

    Raises ConfigurationError if the file is not as it must be, OperatingError if it can't be read.
    """
    file = contexts_file()
    try:
        with open(file, "rb") as stream:
            content = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return Contexts()
    except OSError as error:
        raise OperatingError(f"{file}: can't be read: {error.strerror}; correct its permissions") from error
    import tomllib

    try:
        document = tomllib.loads(content.decode())
    except ValueError as error:
        raise ConfigurationError(f"{file}: this is not TOML: {error}; correct or delete the file") from error
    default = document.pop("default", "")
    tables = document.pop("contexts", {})
    if document or not isinstance(default, str) or not isinstance(tables, dict):
        raise ConfigurationError(f"{file}: there may be 'default = \"NAME\"' and tables [contexts.NAME], and no more")
    return Contexts({name: _settings(table, f"{file}: context {name}") for name, table in tables.items()}, default)


def write_contexts(contexts: Contexts) -> None:
    """Replace the file; raises OperatingError if that can't be done."""
    file = contexts_file()
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(f"{file}.new", "w", encoding="utf-8") as stream:
            stream.write(_document(contexts))
        os.replace(f"{file}.new", file)
    except OSError as error:
        raise OperatingError(f"can't write {file}: {error.strerror}; correct its permissions") from error


def _settings(table: object, where: str) -> Settings:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where}: this must be a table with keys such as socket")
    for key in table:
        if key not in _KEYS:
            raise ConfigurationError(f"{where}: there is no key {key!r}; the keys are {', '.join(_KEYS)}")
    skip_verify = table.get("insecureskipverify", False)
    if not isinstance(skip_verify, bool):
        raise ConfigurationError(f"{where}: insecureskipverify must be true or false")

    def text(key: str) -> str:
        value = table.get(key, "")
        if isinstance(value, str):
            return value
        raise ConfigurationError(f"{where}: {key} must be a text in quotes")

    return Settings(
        socket=text("socket"),
        config=text("config"),
        tls_client=text("tls-client"),
        rootcas=text("rootcas"),
        key=text("key"),
        cert=text("cert"),
        insecureskipverify=skip_verify,
    )


def _absolute(settings: Settings) -> Settings:
    """With names that lead to the same files from every folder; raises ConfigurationError for no address."""
    from receptor.client.address import UnixAddress, parse_address

    socket = settings.socket
    if socket and isinstance(address := parse_address(socket), UnixAddress):
        socket = os.path.abspath(address.path)
    return replace(
        settings,
        socket=socket,
        config=_path(settings.config),
        rootcas=_path(settings.rootcas),
        key=_path(settings.key),
        cert=_path(settings.cert),
    )


def _path(name: str) -> str:
    return os.path.abspath(os.path.expanduser(name)) if name else ""


def _document(contexts: Contexts) -> str:
    lines = [_HEADER]
    if contexts.default:
        lines.append(f"default = {_quoted(contexts.default)}\n")
    for name, settings in sorted(contexts.by_name.items()):
        values = "".join(f"{key} = {_quoted(value)}\n" for key, value in settings.said().items())
        lines.append(f"[contexts.{_quoted(name) if '.' in name else name}]\n{values}")
    return "\n".join(lines)


def _quoted(value: str | bool) -> str:
    """As TOML has it, whose quoted texts and booleans are those of JSON."""
    return json.dumps(value, ensure_ascii=False)
