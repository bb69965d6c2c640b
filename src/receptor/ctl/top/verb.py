"""The verb ``receptorctl top``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from receptor.ctl import terminal
from receptor.errors import OperatingError

if TYPE_CHECKING:
    from receptor.ctl.settings import Settings


@click.command(short_help="Watch nodes, links and units, live and full-screen.")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0.25, max=3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks at the node, while it tells of no event.",
)
@click.pass_obj
def top(settings: Settings, interval: float) -> int:
    """Watch the units, nodes and links of the node, live, on the whole terminal.

    It follows the output of units, cancels and releases them; the key "?" shows all keys. It goes on when the node is
    lost, and takes up again when it is back. It ends with "q" or Ctrl-C.

    \b
    Examples:
      receptorctl top
      receptorctl top --interval 10
    """
    if not all(map(terminal.is_terminal, (sys.stdin, sys.stdout, sys.stderr))):
        raise OperatingError(
            "top needs a terminal for all its input and output; for scripts there are 'receptorctl events --json' and "
            "'receptorctl status --json'"
        )
    with settings.client() as client:
        client.connect()  # a wrong address is an error here, and no screen without content
    from receptor.ctl.top.app import Top

    Top(settings, interval).run()
    return 0
