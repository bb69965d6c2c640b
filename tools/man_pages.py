"""Write the manual pages, from the definitions that ``--help`` is made of too.

    python -m tools.man_pages FOLDER

A writer of our own, since click-man shows no examples as such, dates each page with the day of its making, and knows
nothing of the daemon and its configuration.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from receptor import __version__
from receptor.cli.certs import certs
from receptor.cli.init import init
from receptor.cli.systemd_files import systemd
from receptor.config.actions import GROUPS
from receptor.config.help import help_text
from receptor.config.keys import Action, Key, keys_of
from receptor.ctl.finding import PLACES
from receptor.ctl.main import receptorctl
from receptor.ctl.pages import Page, contexts_of, page_of, short_help
from tools import roff

_CTL, _NODE = f"receptorctl {__version__}", f"receptor {__version__}"
_CONTEXTS = "~/.config/receptorctl/contexts.toml"


def pages() -> Mapping[str, str]:
    """The text of every page by the name of its file, ``man1/receptorctl.1``."""
    found = {f"man1/{name}.1": text for name, text in _tool_pages("receptorctl", receptorctl, _CTL)}
    for tool in (init, certs, systemd):
        found |= {f"man1/{name}.1": text for name, text in _tool_pages(f"receptor {tool.name}", tool, _NODE)}
    found["man1/receptor.1"] = _daemon_page(help_text(None))
    found["man5/receptor.conf.5"] = _configuration_page()
    return dict(sorted(found.items()))


def write(folder: Path) -> None:
    """Have just these pages in the folder."""
    wanted = pages()
    for stale in {*folder.glob("man?/*")} - {folder / name for name in wanted}:
        stale.unlink()
    for name, text in wanted.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def _tool_pages(name: str, command: click.Command, version: str) -> Iterator[tuple[str, str]]:
    """A page for the command, and one for each below it."""
    for context in contexts_of(command, name):
        page, parent, one = page_of(context), context.parent, context.command
        below = list(one.commands) if isinstance(one, click.Group) else []
        related = [parent.command_path] if parent else []
        related += [f"{page.command} {other}" for other in below]
        related += ["receptor"] if parent is None else ["receptorctl"] if parent.parent else []
        yield page.command.replace(" ", "-"), _tool_page(page, short_help(one), version, related)


def _tool_page(page: Page, purpose: str, version: str, related: list[str]) -> str:
    name = page.command.replace(" ", "-")
    parts = [roff.title(name, 1, version), _name(name, purpose), roff.heading("Synopsis")]
    parts.append(f".B {roff.escaped(page.command)}\n{roff.filled(page.usage)}")
    parts += [roff.heading("Description"), roff.paragraph(page.about)]
    parts += [roff.paragraph(one) if isinstance(one, str) else roff.literal(one) for one in page.details]
    if page.examples:
        parts += [roff.heading("Examples"), roff.literal(page.examples)]
    for section in page.sections:
        parts.append(roff.heading("Exit status" if section.heading == "Exit codes" else section.heading))
        parts += [roff.item(term, text) for term, text in section.entries]
    if page.command == "receptorctl":
        parts += _surroundings()
    elif page.command.startswith("receptorctl"):
        parts += [
            roff.heading("Exit status"),
            roff.paragraph("See receptorctl(1), as for the options before the command."),
        ]
    return roff.page(*parts, _see_also(*(f"{one.replace(' ', '-')}(1)" for one in related)))


def _surroundings() -> Iterator[str]:
    yield roff.heading("Environment")
    for param in receptorctl.params:
        if isinstance(param, click.Option) and param.envvar:
            yield roff.item(str(param.envvar), f"Stands for {max(param.opts, key=len)}, where that is not given.")
    yield roff.item("NO_COLOR", "If it is set and not empty, nothing is shown in colours.")
    yield roff.heading("Files")
    yield roff.item(_CONTEXTS, "The contexts; below $XDG_CONFIG_HOME, where that is set.")
    for names in PLACES.configurations:
        yield roff.item(names, "Configurations of nodes on this machine, whose control sockets are tried.")
    for names in PLACES.sockets:
        yield roff.item(names, "Control sockets, tried where no configuration can be read.")


def _daemon_page(help_page: str) -> str:
    """The page of the daemon, whose help is text: headings, items of two columns, and paragraphs."""
    about, *blocks = re.split(r"\n\n+", help_page.strip())
    parts = [
        roff.title("receptor", 1, _NODE),
        _name("receptor", "Run a node of a Receptor mesh."),
        roff.heading("Synopsis"),
    ]
    described = [roff.heading("Description"), roff.paragraph(about)]
    sections: list[str] = []
    for block in blocks:
        first, _, rest = block.partition("\n")
        if first == "Usage:":
            parts.append("\n.br\n".join(roff.escaped(line.strip()) for line in rest.splitlines()) + "\n")
        elif first == "Examples:":
            sections += [roff.heading("Examples"), roff.literal(line.strip() for line in rest.splitlines())]
        elif (heading := first.rstrip(":")) in GROUPS:
            sections.append(roff.heading(heading))
            sections += [roff.item(action.about.name, action.about.help) for action in GROUPS[heading]]
        elif first.endswith(":") and rest.startswith("  "):
            sections.append(roff.heading(heading))
            sections += [roff.item(term, text) for term, text in _items(rest)]
        else:
            described.append(roff.paragraph(block))
    sections += [
        roff.heading("Exit status"),
        roff.item("0", "The node was stopped, or what was asked for is done."),
        roff.item("1", "Not done; standard error says why."),
        roff.item("130", "Ctrl-C before the node had begun to start."),
    ]
    return roff.page(
        *parts, *described, *sections, _see_also("receptor.conf(5)", "receptor-certs(1)", "receptorctl(1)")
    )


def _items(text: str) -> Iterator[tuple[str, str]]:
    """The items of two columns, ``  name   what it does``, whose second column may have several lines."""
    for match in re.finditer(r"^  (\S.*?)(?:  +|\n {3,})(\S.*(?:\n {3,}\S.*)*)", text, re.MULTILINE):
        yield match[1], match[2]


def _configuration_page() -> str:
    parts = [
        roff.title("receptor.conf", 5, _NODE),
        _name("receptor.conf", "The configuration of a Receptor node."),
        roff.heading("Description"),
        roff.paragraph(
            "A YAML file, which receptor(1) reads with --config. It is a list of actions, each with its keys:"
        ),
        roff.literal(["- node:", "    id: foo", "- tcp-listener:", "    port: 2222", "- local-only"]),
        roff.paragraph(
            "Or it is a map with the key version: 2, whose other keys are the actions: those that may be there several "
            "times have a list each, and a plural as name, such as tcp-listeners."
        ),
        roff.paragraph(
            "A value in place of the keys is that of the key marked as main. The letter case of actions and keys does "
            "not matter. 'receptor --check FILE' says whether a node would start with the file, and "
            "'receptor --help ACTION' shows what is below on a terminal."
        ),
    ]
    for group, actions in GROUPS.items():
        parts.append(roff.heading(group))
        for action in actions:
            parts += _action(action)
    return roff.page(*parts, _see_also("receptor(1)", "receptor-certs(1)", "receptorctl(1)"))


def _action(action: type[Action]) -> Iterator[str]:
    about = action.about
    yield roff.subheading(about.name)
    yield roff.filled(f"{about.help} Given {'once at most' if about.once else 'any number of times'}.")
    for key in keys_of(action):
        yield roff.item(key.name, _key(key))
    yield roff.literal(about.example.splitlines())


def _key(key: Key) -> str:
    marks = ", ".join(mark for mark in ("main" if key.main else "", "required" if key.required else "") if mark)
    default = f" (default: {key.default})" if key.default and not key.required else ""
    return f"{key.help} {f'{marks.capitalize()}: ' if marks else 'Value: '}{key.kind.expects}{default}."


def _name(name: str, purpose: str) -> str:
    short = purpose.rstrip(".")
    return f"{roff.heading('Name')}{roff.escaped(name)} \\- {roff.escaped(short[0].lower() + short[1:])}\n"


def _see_also(*names: str) -> str:
    bold = [re.sub(r"^(.*)(\(\d\))$", lambda match: f".BR {roff.escaped(match[1])} {match[2]}", one) for one in names]
    return roff.heading("See also") + " ,\n".join(bold) + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
