"""``receptorctl work prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from receptor.ctl.parameters import WHOLE_NUMBER, WORK_TYPE, json_option
from receptor.ctl.work_options import DURATION, STATES, unit_states, yes_option

if TYPE_CHECKING:
    from receptor.ctl.settings import Settings


@click.command(short_help="Release many units at once: old ones, say.")
@click.option("--older-than", type=DURATION, metavar="DURATION", help="Only those that ended so long ago: 12h, 7d.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES, case_sensitive=False),
    help="Only those in this state; may be repeated. Without it, all that have ended.",
)
@click.option("--work-type", type=WORK_TYPE, metavar="WORKTYPE", help="Only those of this work type.")
@click.option("--keep", type=WHOLE_NUMBER, default=0, metavar="COUNT", help="Leave so many of the newest.")
@click.option("--dry-run", is_flag=True, help="Show what would be released, and release nothing.")
@click.option("--force", is_flag=True, help="Delete here even if the other node can't be reached.")
@yes_option()
@json_option("Print one object: what was released, and how many bytes that freed.")
@click.pass_obj
def prune(
    settings: Settings,
    older_than: float | None,
    states: tuple[str, ...],
    work_type: str | None,
    keep: int,
    dry_run: bool,
    force: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Release units that have ended, and delete all they have written; on a terminal you are asked before.

    Units that still run are taken only if --state names their state; then their age counts from their beginning. Units
    whose age the node does not tell are left alone by --older-than and --keep.

    \b
    Examples:
      receptorctl work prune --older-than 7d --dry-run
      receptorctl work prune --state succeeded --keep 100 --yes
    """
    from receptor.client.unit_replies import ENDED
    from receptor.ctl.pruning import Choice
    from receptor.ctl.releasing import prune_units

    choice = Choice(unit_states(states) or ENDED, work_type, older_than, keep)
    return prune_units(settings, choice, dry_run=dry_run, force=force, yes=yes, as_json=as_json)
