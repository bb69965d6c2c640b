"""``receptor systemd``: the service, the user and the folders of nodes under systemd."""

from __future__ import annotations

import os
import re
import shlex
import sys
from importlib import resources
from pathlib import Path

import click

from receptor.cli.new_node.placing import SYSTEM_USER
from receptor.cli.tools import run_tool
from receptor.errors import OperatingError

_HOMES = ("/home", "/root", "/run/user")
"""What ``ProtectHome`` hides from a service."""

_FOLDER = click.Path(file_okay=False, path_type=Path)
_USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")


def _user(text: str) -> str:
    if not _USER_NAME.fullmatch(text):
        raise click.BadParameter(f"{text!r} is not the name of a user, such as {SYSTEM_USER} or awx")
    return text


def run_systemd(arguments: list[str]) -> None:
    """Do what the words after ``receptor systemd`` say; raises ReceptorError if it can't be done."""
    run_tool(systemd, "systemd", arguments)


@click.command(short_help="Show or write what systemd needs to run nodes.", context_settings={"max_content_width": 100})
@click.option("--install", is_flag=True, help="Write the files instead of showing them.")
@click.option(
    "--root",
    metavar="DIR",
    type=_FOLDER,
    default=Path("/"),
    help="Write into usr/lib of this folder, for packages.",
)
@click.option(
    "--user",
    metavar="NAME",
    type=_user,
    default=SYSTEM_USER,
    show_default=True,
    help="Whom the nodes run as; also the name of the group.",
)
@click.option("--program", metavar="FILE", help="The receptor that the service starts, if not this one.")
@click.option("--force", is_flag=True, help="Write over files that are there and differ.")
def systemd(install: bool, root: Path, user: str, program: str | None, force: bool) -> None:
    """Show or write what systemd needs to run nodes: receptor.service, and receptor@.service for several nodes on
    one machine, their user (sysusers.d) and its folders (tmpfiles.d).

    \b
    Examples:
      receptor systemd
      receptor systemd --install
      receptor systemd --install --user awx
      receptor systemd --install --root pkg --program /usr/bin/receptor
    """
    files = system_files(program or this_program(), user, "etc" if root == Path("/") else "usr/lib")
    if not install:
        for path, content in files.items():
            click.echo(f"### /{path}\n{content}")
        return
    if program is None:
        _refuse_homes()
    _refuse_changes(root, files, force)
    for path, content in files.items():
        _write(root / path, content)
        click.echo(f"{root / path}: written")
    if root == Path("/"):
        click.echo(
            "\nNext, as root; the second only if there is no /etc/receptor/receptor.conf yet:\n"
            "  systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload\n"
            f"  {shlex.quote(program or this_program())} init\n"
            "  systemctl enable --now receptor   # or receptor@NAME, for /etc/receptor/NAME.conf"
        )


def system_files(program: str, user: str = SYSTEM_USER, folder: str = "etc") -> dict[str, str]:
    """The text of each file by its path below the root.

    ``program`` is the path of ``receptor``; ``folder`` is ``etc``, which is the administrator's, or ``usr/lib``, which
    is for packages.
    """
    service = _packaged("receptor.service", user).replace("@RECEPTOR@", _quoted(program))
    return {
        f"{folder}/systemd/system/receptor.service": service,
        f"{folder}/systemd/system/receptor@.service": _template(service),
        f"{folder}/sysusers.d/receptor.conf": _packaged("sysusers.conf", user),
        f"{folder}/tmpfiles.d/receptor.conf": _packaged("tmpfiles.conf", user),
    }


def this_program() -> str:
    """The path of the ``receptor`` that runs, or that belongs to the Python that runs."""
    started = Path(sys.argv[0])
    beside = Path(sys.executable).with_name("receptor")
    return str(started.absolute() if started.name == "receptor" and started.is_file() else beside)


def _template(service: str) -> str:
    """The service for an instance: several nodes on a machine, each with a configuration of its own."""
    service = service.replace("/etc/receptor/receptor.conf", "/etc/receptor/%i.conf")
    service = service.replace("Description=Receptor node", "Description=Receptor node %i")
    return re.sub(
        r"^#.*?\n\n",
        "# A node of the mesh, as /etc/receptor/%i.conf describes it: systemctl enable --now receptor@foo\n"
        "# Nodes on one machine need a node id, a socket and ports of their own; the data folder may be the same.\n"
        "# `receptor systemd --install` writes this file. Change it by `systemctl edit receptor@`.\n\n",
        service,
        count=1,
        flags=re.DOTALL,
    )


def _packaged(name: str, user: str) -> str:
    return resources.files("receptor.system").joinpath(name).read_text("utf-8").replace("@USER@", user)


def _quoted(program: str) -> str:
    """As a word of ``ExecStart``."""
    escaped = program.replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if re.search(r"\s", program) else escaped


def _refuse_homes() -> None:
    """Fail where the service could not even be started, as it doesn't see the homes of users."""
    for path in (this_program(), sys.prefix, sys.base_prefix):
        if any(Path(os.path.realpath(path)).is_relative_to(home) for home in _HOMES):
            raise OperatingError(
                f"{path}: this receptor is in a user's home, which a service can't see; install it elsewhere, such as "
                "in a venv /opt/receptor, made by a Python of the system, or give --program"
            )


def _refuse_changes(root: Path, files: dict[str, str], force: bool) -> None:
    for path, content in files.items():
        there = root / path
        if not force and there.exists() and there.read_text("utf-8", errors="replace") != content:
            raise OperatingError(
                f"{there}: the file is there and differs; changes of yours belong into 'systemctl edit receptor'; "
                "--force writes over it"
            )


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    except OSError as error:
        raise OperatingError(f"{path}: can't be written: {error.strerror}; do it as root, or name a --root") from error
