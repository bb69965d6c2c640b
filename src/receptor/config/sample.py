"""A configuration file that explains every key, made from the definitions of the actions: ``receptor --sample``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import wrap

from receptor.config.actions import GROUPS
from receptor.config.keys import Action, Key, keys_of

_WIDTH = 110

_HEAD = """\
# Configuration of a Receptor node: every action and key there is. What is not commented out is a node on its own.
#
# Take the '#' away at the beginning of an action's lines to use it, and that before a key within an action for the key.
# Keys that are commented out within an action show their default, or an example where there is none.
# Whether all is right: receptor --check FILE. The keys of one action: receptor --help ACTION.
---
"""

_USED: Mapping[str, Mapping[str, str]] = {
    "node": {"id": "foo", "datadir": "/var/lib/receptor"},
    "local-only": {"local": "true"},
    "log-level": {"level": "info"},
    "control-service": {"service": "control", "filename": "/run/receptor/receptor.sock", "permissions": "0660"},
}
"""The actions of the node that the file makes as it is, and their values."""

_EXAMPLES: Mapping[str, str] = {
    "maxidleconnectiontimeout": "1m",
    "firewallrules": "[{action: drop, fromnode: untrusted}]",
    "nodecost": "{baz: 2.5}",
    "allowedpeers": "[bar, baz]",
    "tls": "mesh",
    "tcptls": "mesh",
    "tlsserver": "mesh",
    "tlsclient": "mesh",
    "pinnedclientcert": f"[{'0123456789abcdef' * 4}]",
    "pinnedservercert": f"[{'0123456789abcdef' * 4}]",
    "tcplisten": "127.0.0.1:7323",
    "kubeconfig": "/etc/receptor/kubeconfig",
    "params": "''",
    "pod": "/etc/receptor/pod.yml",
    "interface": "tun0",
    "tcpclients": "[192.0.2.0/24]",
    "file": "/var/log/receptor/audit.log",
    "notbefore": "2030-01-01T00:00:00Z",
    "notafter": "2030-12-31T00:00:00Z",
    "ipaddress": "[192.0.2.1]",
    "inkey": "foo.key",
}
"""Values of keys that have neither a default that can be written nor a place in their action's example."""


def sample_text() -> str:
    """The file, in the list form. It loads as it is; each action that is commented out loads without its ``#``."""
    parts = [_HEAD]
    for heading, actions in GROUPS.items():
        parts.append(f"# {heading}\n# {'=' * len(heading)}\n\n")
        parts += ("\n".join(_action(action)) + "\n\n" for action in actions)
    return "".join(parts).rstrip("\n") + "\n"


def _action(action: type[Action]) -> Iterator[str]:
    about = action.about
    often = "At most once." if about.once else "Any number of times."
    yield from wrap(f"{about.help} {often}", _WIDTH, initial_indent="# ", subsequent_indent="# ")
    used = _USED.get(about.name)
    given = _of_the_example(action) if used is None else used
    mark = "" if used is not None else "#"
    yield f"{mark}- {about.name}:"
    for key in keys_of(action):
        yield from _key(key, given, mark)


def _key(key: Key, given: Mapping[str, str], mark: str) -> Iterator[str]:
    value = f"required: {key.kind.expects}" if key.required else f"{key.kind.expects}; default: {key.default or 'none'}"
    text = f"{key.help.rstrip('.')} ({value})."
    yield from (f"{mark}{line}" for line in wrap(text, _WIDTH, initial_indent="    # ", subsequent_indent="    # "))
    if key.name in given:
        yield f"{mark}    {key.name}: {given[key.name]}"
    else:
        yield f"{mark}    #{key.name}: {_example_of(key)}"


def _example_of(key: Key) -> str:
    return _EXAMPLES[key.name] if key.value in (None, "") or key.kind.many else key.kind.write(key.value)


def _of_the_example(action: type[Action]) -> dict[str, str]:
    """The values in the action's example, as they are written there; that of its main key if it is a bare name."""
    first, _, rest = action.about.example.partition("\n")
    values = dict(re.findall(r"^    (\w+): (.*)$", rest, re.MULTILINE))
    if values:
        return values
    main = next(key for key in keys_of(action) if key.main)
    return {main.name: first.partition(": ")[2] or main.default}
