"""The command line of ``receptor``: configuration files and actions, or a question for help or the version."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from receptor.errors import ConfigurationError

if TYPE_CHECKING:
    from receptor.config.certificate_actions import CertificateAction
    from receptor.config.configuration import Configuration
    from receptor.config.written import WrittenAction, WrittenValue

_CONFIG = ("--config", "-c")
_CHECK = "--check"
_FILES = (*_CONFIG, _CHECK)
_MAP_FORM = "--config-v2"  # Existing nodes need it to read the map form; which form a file has can be seen.
_HELP = ("--help", "-h")
_VERSION = "--version"
_SCHEMA = "--schema"
_SAMPLE = "--sample"
_TOOLS = ("certs", "init", "systemd")
_SOURCE = "command line"


class RunNode(msgspec.Struct, frozen=True):
    """Run a node with this configuration, which is from the file ``source`` or from the command line."""

    configuration: Configuration
    source: str


class MakeCertificates(msgspec.Struct, frozen=True):
    """Carry out these actions, which are from the file ``source`` or from the command line."""

    actions: tuple[CertificateAction, ...]
    source: str


class Check(msgspec.Struct, frozen=True):
    """Say whether this could be done, and do nothing."""

    work: RunNode | MakeCertificates


class RunTool(msgspec.Struct, frozen=True):
    """Do what ``receptor NAME`` does with these arguments; the name is one of ``certs``, ``init`` and ``systemd``."""

    name: str
    arguments: tuple[str, ...]


class ShowHelp(msgspec.Struct, frozen=True):
    """Show the help of an action (its name as given, perhaps unknown), or the general one."""

    action: str | None = None


class ShowVersion(msgspec.Struct, frozen=True):
    """Show the version."""


class ShowSchema(msgspec.Struct, frozen=True):
    """Show the JSON schema of configuration files."""


class ShowSample(msgspec.Struct, frozen=True):
    """Show a configuration file that explains every key."""


_Group: TypeAlias = tuple[str, list[str]]
Invocation: TypeAlias = RunNode | MakeCertificates | Check | RunTool | ShowHelp | ShowVersion | ShowSchema | ShowSample


def parse_command_line(words: Sequence[str]) -> Invocation:
    """What the words after the program's name ask for; nothing at all asks for help.

    The actions of files (``--config FILE``) and those on the command line make one configuration, in their order.
    Raises ConfigurationError with a line for each problem.
    """
    if not words:
        return ShowHelp()
    if words[0] in _TOOLS:
        return RunTool(words[0], tuple(words[1:]))
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.lower() in _HELP:
            return ShowHelp(following.lstrip("-") or None)
        if word.lower() == _VERSION:
            return ShowVersion()
        if word.lower() == _SCHEMA:
            return ShowSchema()
        if word.lower() == _SAMPLE:
            return ShowSample()
    groups = _groups(words)
    work = _work(groups)
    return Check(work) if any(option == _CHECK for option, _ in groups) else work


def node_configuration(words: Sequence[str]) -> Configuration:
    """The configuration that these words, which have run a node before, have now.

    Raises ConfigurationError with a line for each problem.
    """
    match parse_command_line(words):
        case RunNode(configuration):
            return configuration
        case _:
            raise ConfigurationError("the configuration is no longer that of a node: it makes certificates")


def _work(groups: Sequence[_Group]) -> RunNode | MakeCertificates:
    # Nothing is imported that the questions for help and version have no use for.
    from receptor.config.configuration import certificate_actions_of, configuration_of, makes_certificates

    source = next((file for option, values in groups if option in _FILES for file in values), _SOURCE)
    actions = list(_actions(groups))
    if makes_certificates(actions):
        return MakeCertificates(certificate_actions_of(actions), source)
    return RunNode(configuration_of(actions, source, socket.gethostname()), source)


def _actions(groups: Sequence[_Group]) -> Iterator[WrittenAction]:
    from receptor.config.files import read_file
    from receptor.config.written import WrittenAction

    for option, values in groups:
        if option in _CONFIG or (option == _CHECK and values):
            if len(values) != 1:
                raise ConfigurationError(f"{option}: needs one file after it, not {len(values)}")
            yield from read_file(Path(values[0]))
        elif option == _MAP_FORM and values:
            raise ConfigurationError(f"{option}: takes nothing after it; to read a file write --config {values[0]}")
        elif option not in (_CHECK, _MAP_FORM):
            yield WrittenAction(option.lstrip("-"), option, tuple(_value(word, option) for word in values), grows=True)


def _groups(words: Sequence[str]) -> list[_Group]:
    """Each word that begins with a dash, with the words that follow it."""
    groups: list[_Group] = []
    for word in words:
        if not _is_text(word):
            raise ConfigurationError(f"{_SOURCE}: {word!r} is not UTF-8 text")
        if word.startswith("-"):
            option, equals, value = word.partition("=")
            groups.append((option.lower(), [value] if equals else []))
        elif groups:
            groups[-1][1].append(word)
        else:
            raise ConfigurationError(
                f"{_SOURCE}: {word!r} is no command, and actions begin with '--'; to read a file write --config {word} "
                "('receptor --help' shows all)"
            )
    return groups


def _value(word: str, option: str) -> WrittenValue:
    from receptor.config.written import WrittenValue

    key, equals, text = word.partition("=")
    return WrittenValue(key, text, option) if equals else WrittenValue(None, word, option)


def _is_text(word: str) -> bool:
    """Whether the word was UTF-8: Python keeps other bytes of a command line as lone surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
