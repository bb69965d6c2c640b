from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from commands import RunnerProcess, eventually, is_alive, new_unit

from receptor.testing.leftovers import end_commands, runner_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


def test_a_folder_without_commands_has_no_runner(tmp_path: Path) -> None:
    assert runner_of(tmp_path) is None
    end_commands([tmp_path], [])


@pytest.mark.parametrize("hangs", [False, True])
def test_commands_end_and_then_their_runner(tmp_path: Path, hangs: bool) -> None:
    with RunnerProcess(tmp_path) as runner:
        runner.line.read()
        runner.line.start(new_unit(tmp_path, "unit0001"), "bash", "-c", "trap '' INT TERM; while :; do sleep 600; done")
        assert runner_of(tmp_path) == runner.pid
        command = eventually(lambda: children_of(runner.pid))
        runner.line.close()
        if hangs:
            os.kill(runner.pid, signal.SIGSTOP)
        end_commands([tmp_path], [runner.pid], 0.1)
        assert not is_alive(command)
        assert not is_alive(runner.pid)


def children_of(pid: int) -> int:
    """Its first child; 0 if it has none."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().partition(" ")[0] or 0)
