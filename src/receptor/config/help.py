"""What ``receptor --help`` shows, made from the definitions of the actions."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import indent, wrap

from receptor.config.actions import GROUPS
from receptor.config.keys import Action, Key, keys_of
from receptor.config.written import find_action

_WIDTH = 88
_NAME_WIDTH = 19

_USAGE = """\
receptor runs a node of a mesh: it links to other nodes, carries their traffic and runs
units of work.

Usage:
  receptor --config FILE
  receptor --ACTION [VALUE] [KEY=VALUE ...] [--ACTION ...]
  receptor --check FILE
  receptor init [OPTIONS]
  receptor certs COMMAND ...
  receptor systemd [--install]

Examples:
  receptor --config /etc/receptor/receptor.conf
  receptor --node foo --tcp-listener 2222 --control-service filename=/tmp/foo.sock
  receptor --node id=bar datadir=/tmp/bar --tcp-peer localhost:2222 --log-level debug
  receptor init
  receptor certs node foo --ca /etc/receptor/tls

Commands:
  init                 Make configuration, keys and certificates of a new node: asks, or
                       takes options ('receptor init --help').
  certs                Make and show certificates ('receptor certs --help').
  systemd              Show or write the files that systemd needs to run nodes.

Options:
  -c, --config FILE    Read actions from a YAML file; more actions may follow.
  --check [FILE]       Say whether a node would start with this file, or with whatever
                       else is given, but start none.
  --schema             Show the JSON schema of configuration files, for editors.
  --sample             Show a configuration file that explains every action and key.
  -h, --help [ACTION]  Show this, or the keys of an action.
  --version            Show the version.

Actions may be in a file or on the command line, where lists and maps are JSON:
'allowedpeers=["foo", "bar"]'; for a list, allowedpeers=foo,bar will do too.
'receptor --help ACTION' tells the keys of an action, and shows an example.
"""


def help_text(action: str | None) -> str:
    """The help of the action of that name, or without one the general help; lines of at most 88 columns.

    Raises ConfigurationError if there is no such action.
    """
    if action is not None:
        return _action_help(find_action(action, "--help"))
    return "\n".join([_USAGE, *(_group(heading, actions) for heading, actions in GROUPS.items())])


def _group(heading: str, actions: Iterable[type[Action]]) -> str:
    items = (_item(one.about.name, one.about.help) for one in actions)
    return "\n".join([f"{heading}:", *items, ""])


def _action_help(action: type[Action]) -> str:
    about, keys = action.about, keys_of(action)
    often = "once at most" if about.once else "any number of times"
    main = [key.name for key in keys if key.main]
    parts = ["\n".join([f"{about.name} (given {often})", *_lines(about.help, "  ")])]
    if keys:
        parts.append("Keys:\n" + "\n".join(_item(key.name, key.help, _value_help(key)) for key in keys))
    if main:
        parts.append(f"A value without a key is that of '{main[0]}'.")
    parts.append(f"Example, in a file:\n{indent(about.example, '  ')}")
    return "\n\n".join(parts) + "\n"


def _value_help(key: Key) -> str:
    """What the key takes, and what it is without being given."""
    if key.required:
        return f"Required: {key.kind.expects}"
    default = f" (default: {key.default})" if key.default else ""
    return f"Value: {key.kind.expects}{default}"


def _item(name: str, *texts: str) -> str:
    first, *others = [line for text in texts for line in _lines(text, " " * (_NAME_WIDTH + 2))]
    head = f"  {name:{_NAME_WIDTH}}" if len(name) < _NAME_WIDTH else f"  {name}\n{' ' * (_NAME_WIDTH + 2)}"
    return "\n".join([head + first.lstrip(), *others])


def _lines(text: str, gap: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent=gap, subsequent_indent=gap)
