from __future__ import annotations

import os
import subprocess

from fake_control import FakeNode
from live_node import LiveNode
from receptorctl_runs import PROGRAM, Receptorctl
from terminals import Terminal


def test_without_a_terminal_it_says_what_else_there_is(ctl: Receptorctl) -> None:
    ran = ctl("top")
    assert (ran.exit_code, ran.output) == (1, b"")
    assert "top needs a terminal" in ran.errors


def test_on_a_terminal_until_q(node: FakeNode) -> None:
    live = LiveNode()
    node.plays(*[live.session] * 3)  # the first try, looks, events
    terminal = Terminal(100)
    terminal.when_seen("4 nodes", lambda: terminal.type("q"))
    streams = terminal.stream
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(
        [*PROGRAM, "--socket", node.path, "top"], stdin=streams, stdout=streams, stderr=streams, env=environment
    ) as program:
        try:
            program.wait(20)
        except subprocess.TimeoutExpired:
            program.kill()
        finally:
            live.end()
            terminal.close()
    assert (program.returncode, "4 nodes" in terminal.raw) == (0, True)
