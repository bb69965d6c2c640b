"""The options that lead to a node: those of the program itself, and of ``receptorctl context set``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from receptor.ctl.parameters import FILE

_Function = TypeVar("_Function", bound=Callable[..., int])


def connection_options(*, from_environment: bool) -> Callable[[_Function], _Function]:
    """The options that say where a node is, and how to trust it and show it who we are."""

    def variable(name: str) -> str | None:
        return name if from_environment else None

    options = [
        click.option(
            "--socket",
            envvar=variable("RECEPTORCTL_SOCKET"),
            show_envvar=True,
            metavar="ADDRESS",
            type=FILE,
            help="Where the node's control service listens: the path of a Unix socket, tcp://HOST:PORT or "
            "tls://HOST:PORT.",
        ),
        click.option(
            "--config",
            "-c",
            envvar=variable("RECEPTORCTL_CONFIG"),
            show_envvar=True,
            metavar="FILE",
            type=FILE,
            help="A configuration file of Receptor, to take the tls-client from, and the socket if none is given.",
        ),
        click.option(
            "--tls-client",
            "tlsclient",
            envvar=variable("RECEPTORCTL_TLSCLIENT"),
            show_envvar=True,
            metavar="NAME",
            help="The tls-client of that file to use for tls://.",
        ),
        click.option(
            "--rootcas",
            metavar="FILE",
            type=FILE,
            help="Trust these authorities instead of the system's for tls://.",
        ),
        click.option("--key", metavar="FILE", type=FILE, help="The private key of --cert."),
        click.option("--cert", metavar="FILE", type=FILE, help="The certificate to show for tls://."),
        click.option(
            "--insecureskipverify",
            type=bool,
            default=False,
            show_default=True,
            help="Accept any certificate for tls://.",
        ),
    ]

    def decorate(function: _Function) -> _Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
