"""What the processes of a node take of the machine. Linux only, as it reads /proc."""

from __future__ import annotations

import os
from pathlib import Path

MARK = "RECEPTOR_BENCH_NODE"
"""A variable in the environment of everything that a node starts; holds the node's folder."""
NOT_OURS = {"sleep", "py-spy"}
"""Commands of units, and what only looks on."""
TICKS = os.sysconf("SC_CLK_TCK")


def all_of(mark: str) -> list[int]:
    """The processes that a node consists of or has started, whoever their parent is now."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # it has ended, or is somebody else's
                pass
    return found


def of_node(mark: str) -> list[int]:
    """The same without the commands of its units."""
    return [pid for pid in all_of(mark) if _name(pid) not in NOT_OURS]


def memory(pids: list[int]) -> float:
    """Their memory in MiB, where a page that several processes share counts in parts (PSS)."""
    kibibytes = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kibibytes += int(line.split()[1])
    return kibibytes / 1024


def cpu_seconds(pids: list[int]) -> float:
    """What they have computed so far, in user and system mode, and all their children that have ended."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


def fine_cpu_seconds(pids: list[int]) -> float:
    """What their threads that live have computed so far: counted in nanoseconds, where ticks tell too little."""
    files = [file for pid in pids for file in Path(f"/proc/{pid}").glob("task/*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def child_of(parent: int, name_of_parent: str) -> int:
    """The first child of a process that is a mere wrapper, or the process itself if it is none; 0 if not there yet."""
    if _name(parent) != name_of_parent:
        return parent
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(children[0]) if children else 0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
