"""``receptorctl work``: units of work."""

from __future__ import annotations

import click

from receptor.ctl import terminal
from receptor.ctl.ending_verbs import cancel, force_release, release
from receptor.ctl.look_verbs import list_units, status
from receptor.ctl.output_verbs import logs, results
from receptor.ctl.prune_verb import prune
from receptor.ctl.submit_verb import submit
from receptor.ctl.wait_verb import wait


@click.group(
    short_help="Submit, watch, cancel and release units of work.",
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.pass_context
def work(context: click.Context) -> None:
    """Submit, watch, cancel and release units of work.

    Where a unit id is asked for, its beginning is enough, if no other unit's id begins so.

    \b
    Examples:
      receptorctl work submit echoint --node bar --no-payload
      receptorctl work wait t1BlAB18
      receptorctl work results t1BlAB18
    """
    if context.invoked_subcommand is None:
        terminal.show_help(context)


for command in (submit, list_units, status, wait, results, logs, cancel, release, force_release, prune):
    work.add_command(command)
