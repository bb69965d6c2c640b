"""Every action of a configuration, with its keys, from ``receptor.config.actions``."""

from __future__ import annotations

from receptor.config.actions import GROUPS
from receptor.config.keys import Action, Key, keys_of

HEAD = """# Configuration, every key

All actions with their keys. `receptor --help ACTION` shows the same. How to write them, and what else must be right, is
told in [Configure a node](../configuration.md). A *main* key may be left out: `- tcp-listener: 2222`.
"""
MORE = {
    "Links with other nodes": "../configuration.md#links-over-udp",
    "TLS": "../tls.md",
    "Work in pods": "../kubernetes.md",
    "Services": "../services.md",
    "Protection": "../configuration.md#who-may-do-what",
    "Certificates, for which no node runs": "../certificates.md",
}


def page() -> str:
    """The page in Markdown."""
    return "\n".join([HEAD, *(group(heading, actions) for heading, actions in GROUPS.items())])


def group(heading: str, actions: tuple[type[Action], ...]) -> str:
    """The actions under one heading."""
    more = f"More about them: [{MORE[heading].removeprefix('../')}]({MORE[heading]}).\n" if heading in MORE else ""
    return "\n".join([f"## {heading}\n", more, *map(section, actions)])


def section(action: type[Action]) -> str:
    """What one action is, a table of its keys, and an example."""
    about = action.about
    often = "At most once." if about.once else "Any number of times."
    rows = "\n".join(map(row, keys_of(action)))
    table = f"| key | value | default | meaning |\n|---|---|---|---|\n{rows}\n"
    return f"### `{about.name}`\n\n{about.help} {often}\n\n{table}\n```yaml\n{about.example}\n```\n"


def row(key: Key) -> str:
    """One line of the table of keys."""
    name = f"`{key.name}` (main)" if key.main else f"`{key.name}`"
    default = "**required**" if key.required else key.default or "none"
    return f"| {name} | {cell(key.kind.expects)} | {cell(default)} | {cell(key.help)} |"


def cell(text: str) -> str:
    """Text as it stands in a table."""
    return text.replace("|", "\\|").replace("*", "\\*") if not text.startswith("**") else text
