"""The command line of ``receptor``: configuration files and actions, or a question for help or the version."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from receptor.config.configuration import Configuration, configuration_of
from receptor.config.files import read_file
from receptor.config.written import WrittenAction, WrittenValue
from receptor.errors import ConfigurationError

_CONFIG = ("--config", "-c")
_HELP = ("--help", "-h")
_VERSION = "--version"
_SOURCE = "command line"


@dataclass(frozen=True, slots=True)
class RunNode:
    """Run a node with this configuration."""

    configuration: Configuration


@dataclass(frozen=True, slots=True)
class ShowHelp:
    """Show the help of an action (its name as given, perhaps unknown), or the general one."""

    action: str | None = None


@dataclass(frozen=True, slots=True)
class ShowVersion:
    """Show the version."""


Invocation: TypeAlias = RunNode | ShowHelp | ShowVersion


def parse_command_line(words: Sequence[str]) -> Invocation:
    """What the words after the program's name ask for; nothing at all asks for help.

    The actions of files (``--config FILE``) and those on the command line make one configuration, in their order.
    Raises ConfigurationError with a line for each problem.
    """
    if not words:
        return ShowHelp()
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.lower() in _HELP:
            return ShowHelp(following.lstrip("-") or None)
        if word.lower() == _VERSION:
            return ShowVersion()
    files = [file for option, values in _groups(words) if option in _CONFIG for file in values]
    return RunNode(configuration_of(_actions(words), next(iter(files), _SOURCE), socket.gethostname()))


def _actions(words: Sequence[str]) -> Iterator[WrittenAction]:
    for option, values in _groups(words):
        if option not in _CONFIG:
            yield WrittenAction(option.lstrip("-"), option, tuple(_value(word, option) for word in values))
        elif len(values) == 1:
            yield from read_file(Path(values[0]))
        else:
            raise ConfigurationError(f"{option}: needs one file after it, not {len(values)}")


def _groups(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Each word that begins with a dash, with the words that follow it."""
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if not _is_text(word):
            raise ConfigurationError(f"{_SOURCE}: {word!r} is not UTF-8 text")
        if word.startswith("-"):
            option, equals, value = word.partition("=")
            groups.append((option.lower(), [value] if equals else []))
        elif groups:
            groups[-1][1].append(word)
        else:
            raise ConfigurationError(f"{_SOURCE}: {word!r} belongs to no action; to read a file write --config {word}")
    return groups


def _value(word: str, option: str) -> WrittenValue:
    key, equals, text = word.partition("=")
    return WrittenValue(key, text, option) if equals else WrittenValue(None, word, option)


def _is_text(word: str) -> bool:
    """Whether the word was UTF-8: Python keeps other bytes of a command line as lone surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
