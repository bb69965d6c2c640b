"""What nodes, disk, processes and ledger tell when all has been left in peace."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import cast

from receptor.client.fields import JsonObject
from receptor.client.unit_replies import UnitStatus
from receptor.errors import ReceptorError
from tools.chaos.clients import Submitted
from tools.chaos.nodes import Node, all_pids, processes_naming, stat_fields
from tools.chaos.verdict import Facts


class Ledger:
    """The folder in which every run of a command notes itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def runs(self, number: int) -> tuple[int, int]:
        """How often that unit ran, and how often it got another payload than its own."""
        try:
            notes = (self.folder / str(number)).read_text().splitlines()
        except FileNotFoundError:
            return 0, 0
        return sum(note.startswith("run ") for note in notes), notes.count("payload bad")

    def errors(self) -> str:
        """What commands said on standard error; their interpreter, that is, for they say nothing."""
        errors = self.folder / "errors"
        return errors.read_text(errors="replace") if errors.exists() else ""

    def running(self) -> Counter[int]:
        """How many processes each unit has now."""
        commands = processes_naming(str(self.folder)).values()
        return Counter(int(number) for command in commands if (number := command.rpartition(" ")[2]).isdigit())


def unit_list(node: Node) -> dict[str, JsonObject]:
    """All units that a node knows, by unit id. Raises ReceptorError if it does not say."""
    with node.control() as client:
        return cast("dict[str, JsonObject]", client.units())


def executing_folder(unit: Submitted, shown: JsonObject | None, executing: Node) -> Path | None:
    """The folder of the unit on the node that runs its command."""
    if unit.node is executing:
        return executing.data / unit.unit_id
    extra = (shown or {}).get("ExtraData")
    remote_id = extra.get("RemoteUnitID") if isinstance(extra, dict) else None
    return executing.data / remote_id if remote_id else None


def find_facts(
    unit: Submitted, shown: JsonObject | None, executing: Node, ledger: Ledger, running: Counter[int]
) -> Facts:
    """All that is to be judged of a unit; takes its output from the node. Blocks while the node sends it."""
    runs, bad_payloads = ledger.runs(unit.plan.number)
    folder = executing_folder(unit, shown, executing)
    status, output, notes = None, b"", list(unit.notes)
    if shown is not None:
        status = UnitStatus.parse(shown)
        if unit.is_acknowledged and status.ended:
            try:
                output = b"".join(unit.node.control().results(unit.unit_id))
            except ReceptorError as error:
                notes.append(f"its output can't be had: {error}")
    return Facts(
        plan=unit.plan,
        is_acknowledged=unit.is_acknowledged,
        is_ordered=unit.is_ordered,
        runs=runs,
        bad_payloads=bad_payloads,
        status=status,
        output=output,
        still_running=running[unit.plan.number],
        started=_started(folder) or unit.submitted_at,
        told=_modified(folder) or time.time(),
        notes=tuple(notes),
    )


def zombies_of(nodes: list[Node]) -> list[str]:
    """Processes that have ended, and that a daemon or runner of these nodes does not take note of."""
    parents = {node.pid: f"the daemon of {node.node_id}" for node in nodes}
    for node in nodes:
        parents[node.runner_pid()] = f"the runner of {node.node_id}"
    found = []
    for pid in all_pids():
        fields = stat_fields(pid)
        if fields[:1] == ["Z"] and int(fields[1]) in parents:
            found.append(f"the zombie {pid} of {parents[int(fields[1])]}")
    return found


def folders_left(nodes: list[Node]) -> list[Path]:
    """What is in the data folders beside the runner's own files."""
    return [
        entry
        for node in nodes
        if node.data.is_dir()
        for entry in sorted(node.data.iterdir())
        if not entry.name.startswith(".runner.")
    ]


def keep_evidence(unit: Submitted, shown: JsonObject | None, executing: Node, evidence: Path) -> None:
    """Copy what the disks hold of a bad unit: it is going to be released."""
    theirs = executing_folder(unit, shown, executing)
    ours = unit.node.data / unit.unit_id if unit.unit_id else None
    for node_id, folder in ((unit.node.node_id, ours), (executing.node_id, theirs)):
        if folder and folder.is_dir():
            copy_folder(folder, evidence / str(unit.plan.number) / node_id)


def copy_folder(folder: Path, target: Path) -> None:
    with contextlib.suppress(shutil.Error, OSError):  # Files may go while they are copied.
        shutil.copytree(folder, target, dirs_exist_ok=True)


def _started(folder: Path | None) -> float:
    """When the runner set about to start the command; 0 if that is unknown."""
    try:
        record = json.loads((folder / "process").read_text()) if folder else {}
    except (OSError, ValueError):
        return 0.0
    return float(record.get("started", 0.0))


def _modified(folder: Path | None) -> float:
    """When the status was written last, which is when the end was; 0 if that is unknown."""
    try:
        return (folder / "status").stat().st_mtime if folder else 0.0
    except OSError:
        return 0.0
