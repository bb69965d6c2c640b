"""What ``--help`` says of each command, from the definitions of click."""

from __future__ import annotations

from collections.abc import Iterator

import click

from receptor.cli.certs import certs
from receptor.cli.init import init
from receptor.cli.systemd_files import systemd
from receptor.config.help import help_text
from receptor.ctl.main import receptorctl
from receptor.ctl.pages import contexts_of

WIDTH = 100
TOOLS: tuple[click.Command, ...] = (init, certs, systemd)
"""What follows ``receptor`` and is no action."""
RECEPTORCTL = """# receptorctl, every option

What `receptorctl --help`, and `--help` after each command, says. [receptorctl](../receptorctl.md) explains it, with
examples.
"""
RECEPTOR = """# receptor, the command line

What `receptor --help` says. The actions are those of the [configuration](configuration.md).
"""


def receptorctl_page() -> str:
    """The page of receptorctl in Markdown."""
    return "\n".join([RECEPTORCTL, *sections(receptorctl, "receptorctl")])


def receptor_page() -> str:
    """The page of receptor, with its commands that are no actions, in Markdown."""
    general = f"## `receptor`\n\n{text_block(help_text(None))}"
    tools = (text for command in TOOLS for text in sections(command, f"receptor {command.name}"))
    return "\n".join([RECEPTOR, general, *tools])


def sections(command: click.Command, path: str) -> Iterator[str]:
    """The help of a command and of all below it, each under a heading."""
    for context in contexts_of(command, path):
        if not context.command.hidden:
            context.terminal_width = context.max_content_width = WIDTH
            yield f"## `{context.command_path}`\n\n{text_block(context.get_help())}"


def text_block(text: str) -> str:
    """Text in a fence."""
    return f"```text\n{text.rstrip()}\n```\n"
