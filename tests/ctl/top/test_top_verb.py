from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

from fake_control import FakeNode
from live_node import LiveNode
from receptorctl_runs import Receptorctl


def test_without_a_terminal_it_says_what_else_there_is(ctl: Receptorctl) -> None:
    ran = ctl("top")
    assert (ran.exit_code, ran.output) == (1, b"")
    assert "top needs a terminal" in ran.errors


def test_on_a_terminal_until_q(node: FakeNode) -> None:
    live = LiveNode()
    node.plays(*[live.session] * 3)  # the first try, looks, events
    master, slave = pty.openpty()
    command = [sys.executable, "-c", "from receptor.ctl.main import run; run()", "--socket", node.path, "top"]
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as program:
        os.close(slave)
        seen = b""
        try:
            while b"4 nodes" not in seen:
                seen += os.read(master, 65536)
            os.write(master, b"q")
            while os.read(master, 65536):
                pass
        except OSError:  # how Linux tells that the program has ended
            pass
        finally:
            live.end()
            if program.poll() is None:
                try:
                    program.wait(10)
                except subprocess.TimeoutExpired:
                    program.send_signal(signal.SIGKILL)
    os.close(master)
    assert (program.returncode, b"4 nodes" in seen) == (0, True)
