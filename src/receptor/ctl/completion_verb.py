"""``receptorctl completion``: the scripts with which shells complete its command lines."""

from __future__ import annotations

import os

import click

from receptor.ctl import terminal

SHELLS = {"bash": "receptorctl.bash", "zsh": "_receptorctl", "fish": "receptorctl.fish"}
"""The name of the script for each shell, under which the shell also looks for it."""


def script(shell: str) -> str:
    """The script that makes that shell complete receptorctl's command lines."""
    with open(os.path.join(os.path.dirname(__file__), "shells", SHELLS[shell]), encoding="utf-8") as file:
        return file.read()


@click.command(short_help="Print the script that completes command lines in a shell.")
@click.argument("shell", metavar="SHELL", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> int:
    """Print a script for SHELL with which TAB completes verbs, options, units, nodes, work types and services.

    \b
    Examples:
      eval "$(receptorctl completion bash)"
      receptorctl completion bash > ~/.local/share/bash-completion/completions/receptorctl
      receptorctl completion zsh > ~/.zfunc/_receptorctl
      receptorctl completion fish > ~/.config/fish/completions/receptorctl.fish

    The first one is for this session only. What is running right now is asked of the node that the options typed so
    far lead to; if it does not answer within half a second, nothing is offered.
    """
    terminal.write_bytes(script(shell).encode())
    return 0
