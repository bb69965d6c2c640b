"""``receptorctl status``, ``ping``, ``traceroute``, ``reload``, ``version`` and ``connect``."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from receptor import __version__
from receptor.ctl import terminal
from receptor.ctl.parameters import NODE_ID, SERVICE, WHOLE_NUMBER, json_option, tls_client_option
from receptor.errors import CommandError, OperatingError

if TYPE_CHECKING:
    from receptor.client.connection import Connection
    from receptor.client.control_client import ControlClient
    from receptor.ctl.settings import Settings

_RELOAD_EXIT_CODES = {
    " ERRORCODE 3": terminal.EXIT_RELOAD_NEEDS_RESTART,
    " ERRORCODE 4": terminal.EXIT_RELOAD_CONFIGURATION,
}
"""By what the node's error text ends in, for programs."""


@click.command(short_help="Show the node, its links and what it knows of the mesh.")
@json_option("Print the node's answer as JSON.")
@click.pass_obj
def status(settings: Settings, as_json: bool) -> int:
    """Show the node, its links, routes, and the services and work types of the mesh.

    \b
    Examples:
      receptorctl status
      receptorctl status --json | jq .RoutingTable
    """
    from receptor.client.replies import NodeStatus

    with settings.client() as client:
        answer = client.status()
    if as_json:
        terminal.show_json(answer)
        return 0
    parsed = NodeStatus.parse(answer)
    if terminal.is_terminal(sys.stdout):
        from receptor.ctl.mesh_tables import show_status

        show_status(parsed)
    else:
        from receptor.ctl.status_tables import status_lines

        for line in status_lines(parsed):
            terminal.say(line)
    if parsed.additional:
        terminal.say("Additional data returned from Receptor:")
        terminal.show_json(parsed.additional)
    return 0


@click.command(short_help="Ask a node for signs of life.")
@click.argument("node", type=NODE_ID)
@click.option("--count", metavar="COUNT", type=WHOLE_NUMBER, default=4, show_default=True, help="How many pings.")
@click.option(
    "--delay",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Seconds between two pings.",
)
@json_option("Print the node's answer to each ping as JSON, one a line.")
@click.pass_obj
def ping(settings: Settings, node: str, count: int, delay: float, as_json: bool) -> int:
    """Send pings over the mesh to NODE. The exit code is 2 if any of them fails.

    \b
    Examples:
      receptorctl ping bar
      receptorctl ping bar --count 1 --json | jq .TimeStr
    """
    from receptor.client.conversations import PING_SECONDS
    from receptor.client.replies import PingReply
    from receptor.ctl.hints import tell_next_step

    failed = 0
    with settings.client() as client:
        for number in range(count):
            if number:
                time.sleep(delay)
            answer = client.ask({"command": "ping", "target": node}, PING_SECONDS)
            reply = PingReply.parse(answer)
            if as_json:
                terminal.show_json_line(answer)
            elif reply.success:
                terminal.say(f"Reply from {reply.node_id} in {reply.time_text}")
            else:
                origin = f" from {reply.node_id} in {reply.time_text}" if reply.node_id else ""
                terminal.fail(f"{reply.error}{origin}")
            failed += not reply.success
        if failed and failed == count:
            tell_next_step(client, settings, node)
    return terminal.EXIT_PING_FAILED if failed else 0


@click.command(short_help="Show the way to a node.")
@click.argument("node", type=NODE_ID)
@json_option("Print the node's answer as JSON: the hops by their numbers.")
@click.pass_obj
def traceroute(settings: Settings, node: str, as_json: bool) -> int:
    """Show every node on the way to NODE, and how long its answer took.

    \b
    Examples:
      receptorctl traceroute bar
      receptorctl traceroute bar --json | jq -r '.[].From'
    """
    from receptor.client.conversations import TRACEROUTE_SECONDS
    from receptor.client.replies import Hop
    from receptor.ctl.hints import tell_next_step

    with settings.client() as client:
        answer = client.ask({"command": "traceroute", "target": node}, TRACEROUTE_SECONDS)
        hops = Hop.parse_all(answer)
        if as_json:
            terminal.show_json(answer)
        for hop in hops:
            if hop.error:
                terminal.fail(f"{hop.number}: Error {hop.error} from {hop.node_id} in {hop.time_text}")
            elif not as_json:
                terminal.say(f"{hop.number}: {hop.node_id} in {hop.time_text}")
        if hops and hops[-1].error:
            tell_next_step(client, settings, node)
    return 0


@click.command(short_help="Have the node read its configuration again.")
@json_option("Print the node's answer as JSON.")
@click.pass_obj
def reload(settings: Settings, as_json: bool) -> int:
    """Have the node read its configuration again and apply what has changed.

    The exit code is 3 if a change needs a restart of the node, 4 if the configuration has an error, 5 if the reload
    fails otherwise.

    \b
    Examples:
      receptorctl reload
      receptor --config /etc/receptor/receptor.conf --check && receptorctl reload
    """
    from receptor.client.conversations import REMOTE_SECONDS
    from receptor.client.replies import ReloadReply

    with settings.client() as client:
        answer = client.ask({"command": "reload"}, REMOTE_SECONDS)
    reply = ReloadReply.parse(answer)
    if as_json:
        terminal.show_json(answer)
    elif reply.success:
        terminal.say("Reload successful")
    if reply.success:
        return 0
    for code, exit_code in _RELOAD_EXIT_CODES.items():
        if reply.error.endswith(code):
            terminal.fail(reply.error.removesuffix(code))
            return exit_code
    terminal.fail(reply.error)
    return terminal.EXIT_RELOAD_FAILED


@click.command(short_help="Show the versions of receptorctl and the node.")
@json_option()
@click.pass_obj
def version(settings: Settings, as_json: bool) -> int:
    """Show the versions of receptorctl and of the node.

    \b
    Examples:
      receptorctl version
      receptorctl version --json | jq -r .receptor
    """
    if as_json:
        with settings.client() as client:
            terminal.show_json({"receptorctl": __version__, "receptor": client.version()})
        return 0
    terminal.say(f"receptorctl  {__version__}")
    with settings.client() as client:
        terminal.say(f"receptor     {client.version()}")
    return 0


@click.command(short_help="Connect the terminal to a service of a node.")
@click.argument("node", type=NODE_ID)
@click.argument("service", type=SERVICE)
@click.option("--raw", "-r", is_flag=True, help="Pass on every key as it is typed, Ctrl-C included.")
@tls_client_option()
@click.pass_obj
def connect(settings: Settings, node: str, service: str, raw: bool, tlsclient: str | None) -> int:
    """Connect standard input and output to the stream service SERVICE of NODE, until the service ends.

    \b
    Examples:
      echo status | receptorctl connect bar control
    """
    from receptor.ctl.bridging import bridge, raw_terminal

    if sys.stdin is None:
        raise OperatingError("standard input is closed, so there is nothing to connect; redirect it from /dev/null")
    source = sys.stdin.fileno()
    terminal_mode = raw_terminal(source) if raw and sys.stdin.isatty() else nullcontext()
    with settings.client() as client, _reach(client, node, service, tlsclient or "") as connection, terminal_mode:
        bridge(connection, source, terminal.write_bytes)
    return 0


def _reach(client: ControlClient, node: str, service: str, tls_client: str) -> Connection:
    try:
        return client.bridge(node, service, tls_client)
    except CommandError as error:
        from receptor.ctl.hints import meant_on

        raise CommandError(f"{error}{meant_on(client, node, service=service)}") from error
