"""What is wrong with a command line, on one line, with the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from receptor.ctl.meant import nearest
from receptor.ctl.program import with_all_below

_NOT_A_CHOICE = re.compile(r"'(.*)' is not one of ")


def explained(error: click.UsageError) -> str:
    """The mistake, the name that was probably meant if there is one, and who explains all names."""
    command = error.ctx.command_path if error.ctx else "receptorctl"
    what, hint = " ".join(error.format_message().split()).rstrip("."), ""
    if isinstance(error, click.NoSuchCommand):
        what, hint = error.message.rstrip("."), _command_meant(error)
    elif isinstance(error, click.NoSuchOption):
        what, hint = error.message.rstrip("."), _option_meant(error)
    elif isinstance(error, click.BadParameter):
        hint = _choice_meant(error)
    return f"{what}{f'; {hint}' if hint else ''} ('{command} --help' explains)"


def _command_meant(error: click.NoSuchCommand) -> str:
    """A verb beside it, or one of that very name elsewhere: ``submit`` means ``work submit``."""
    if error.ctx is None:
        return ""
    elsewhere = {path.split()[-1]: path for path, _ in _all_commands(error.ctx) if path}
    if path := elsewhere.get(error.command_name):
        return f"did you mean 'receptorctl {path}'?"
    group = error.ctx.command
    meant = nearest(error.command_name, group.commands if isinstance(group, click.Group) else ())
    if not meant:
        meant = elsewhere.get(nearest(error.command_name, elsewhere), "")
        return f"did you mean 'receptorctl {meant}'?" if meant else ""
    return f"did you mean {meant!r}?"


def _option_meant(error: click.NoSuchOption) -> str:
    """One of this command, or the right place for one of another."""
    if error.ctx is None:
        return ""
    name, root = error.option_name, error.ctx.find_root()
    if error.ctx is not root and name in _options(root.command):
        words = error.ctx.command_path.removeprefix(f"{root.command_path} ")
        return f"it comes before the verb: {root.command_path} {name} ... {words}"
    if error.ctx is root and any(name in _options(command) for _, command in _all_commands(root)):
        return f"it comes after the verb that it belongs to: {root.command_path} VERB {name}"
    meant = nearest(name, _options(error.ctx.command))
    return f"did you mean {meant!r}?" if meant else ""


def _choice_meant(error: click.BadParameter) -> str:
    choices = error.param.type if error.param else None
    given = _NOT_A_CHOICE.match(error.message)
    if given is None or not isinstance(choices, click.Choice):
        return ""
    meant = nearest(given[1], [str(choice) for choice in choices.choices])
    return f"did you mean {meant!r}?" if meant else ""


def _all_commands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    return with_all_below(context.find_root().command, "")


def _options(command: click.Command) -> list[str]:
    return [name for param in command.params if isinstance(param, click.Option) for name in param.opts]
