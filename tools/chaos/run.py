"""One run: nodes, clients and torment, then peace, the verdicts, and whether all can be cleared away."""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from receptor.client.fields import JsonObject
from receptor.client.unit_replies import UnitStatus
from receptor.errors import ReceptorError
from tools.chaos import worker
from tools.chaos.clients import LOCAL_TYPE, REMOTE_TYPE, Clients, Submitted
from tools.chaos.facts import (
    Ledger,
    copy_folder,
    find_facts,
    folders_left,
    keep_evidence,
    unit_list,
    zombies_of,
)
from tools.chaos.links import Link, Relays, free_port
from tools.chaos.nodes import Action, Chronicle, Node, processes_naming, wait_for
from tools.chaos.torment import Torment
from tools.chaos.verdict import End, Verdict, judge
from tools.chaos.worker import Plan

PEACE = 150.0
"""Seconds in which all units must have ended once nothing is done to the nodes; tries may be up to 60 apart."""
CLEARING = 75.0
"""Seconds in which all units must be gone once they are released."""
LEAVING = 20.0
"""Seconds in which the last processes must be gone: half of it is what units leave in the background by design."""
SUBMITTING_SHARE = 0.95
"""Of the time of the torment, so that the last units have some of it too."""
_PROGRESS = 15.0


@dataclass
class Report:
    """What came out. A run is good if nothing is lost, doubled, wrong, left over or complained of."""

    ends: Counter[End] = field(default_factory=Counter)
    submitted: int = 0
    deeds: Counter[str] = field(default_factory=Counter)
    """What was done to nodes and links, and how often."""
    calm_after: float = 0.0
    """Seconds of peace until all units had ended."""
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    processes_left: int = 0
    folders_left: int = 0
    details: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.details or self.lost or self.doubled or self.wrong or self.processes_left or self.folders_left)

    def add(self, unit: Submitted, verdict: Verdict) -> None:
        self.ends[verdict.end] += 1
        self.lost += bool(verdict.lost)
        self.doubled += bool(verdict.doubled)
        self.wrong += bool(verdict.wrong)
        for reason in filter(None, (verdict.lost, verdict.doubled, verdict.wrong)):
            self.details.append(f"unit {unit.plan.number} ({unit.unit_id or 'no id'} on {unit.node.node_id}): {reason}")

    def table(self) -> str:
        acknowledged = self.submitted - self.ends[End.NOT_ACKNOWLEDGED]
        ended = sum(self.ends[end] for end in (End.AS_PLANNED, End.CANCELLED, End.RELEASED, End.TAKEN_DOWN))
        parts = [(f"  {end.value}", self.ends[end]) for end in list(End)[1:5]]
        rows = [("submitted", self.submitted), ("acknowledged", acknowledged), ("ended", ended), *parts]
        rows += [("lost", self.lost), ("doubled", self.doubled), ("wrong output", self.wrong)]
        rows += [("left-over processes", self.processes_left), ("left-over folders", self.folders_left)]
        return "\n".join(f"{title:30}{number:6}" for title, number in rows)


class Run:
    """The nodes of a run, in a folder of their own."""

    def __init__(self, folder: Path, seed: int, units: int, seconds: float) -> None:
        self._seed = seed
        self._seconds = seconds
        self._plans = [Plan(seed, number) for number in range(units)]
        self._folder = folder
        self._chronicle = Chronicle(folder / "chronicle.log")
        self._ledger = Ledger(folder / "ledger")
        self._relays = Relays()
        self._report = Report()
        self._make_nodes()
        self._torment = Torment(seed, self._chronicle, self._relays)

    def execute(self) -> Report:
        """Raises ChaosError if a node does not start."""
        try:
            return self._execute()
        finally:
            self._relays.close()

    def _execute(self) -> Report:
        for node in self._nodes:
            node.start()
        clients = Clients(self._plans, self._seconds * SUBMITTING_SHARE, self._foo, self._bar, self._chronicle)
        try:
            self._torment.begin(self._nodes, self._bar, self._links)
            self._watch(clients)
        finally:
            self._chronicle.tell("peace")
            self._torment.end()
        self._report.deeds = Counter(self._torment.deeds)
        begin = time.monotonic()
        clients.finish(PEACE)
        wait_for(lambda: self._have_ended(clients.units), begin + PEACE - time.monotonic())
        self._report.calm_after = time.monotonic() - begin
        self._judge(clients.units)
        self._clear_away()
        self._complain()
        return self._report

    def _make_nodes(self) -> None:
        """A ring of three: foo and bar, and hub, over which they reach each other when they are cut off."""
        foo_port, hub_port = free_port(), free_port()
        to_foo = self._relays.open("bar-foo", foo_port)
        round_about = [self._relays.open(f"{node_id}-hub", hub_port) for node_id in ("bar", "foo")]
        self._links = [to_foo, *round_about]
        job = self._write_job()
        self._hub = Node("hub", self._folder, self._chronicle, _listener(hub_port))
        self._foo = Node("foo", self._folder, self._chronicle, _listener(foo_port), _peer(round_about[1]))
        self._bar = Node(
            "bar", self._folder, self._chronicle, _peer(to_foo), _peer(round_about[0]),
            *({"work-command": {"worktype": work_type, "command": str(job), "allowruntimeparams": True}}
              for work_type in (LOCAL_TYPE, REMOTE_TYPE)),
        )  # fmt: skip
        self._nodes = [self._hub, self._foo, self._bar]

    def _write_job(self) -> Path:
        """The command; what an interrupted interpreter says must not be taken for the unit's output."""
        job = self._folder / "job"
        words = f"'{sys.executable}' -I -S '{worker.__file__}' '{self._ledger.folder}' {self._seed}"
        job.write_text(f"#!/bin/sh\nexec {words} \"$1\" 2>>'{self._ledger.folder}/errors'\n")
        job.chmod(0o700)
        return job

    def _watch(self, clients: Clients) -> None:
        """Let the torment go on for its time; tell people how far it is."""
        end = time.monotonic() + self._seconds
        while (left := end - time.monotonic()) > 0:
            print(f"{left:4.0f} s to go: {clients.counts()}", flush=True)
            time.sleep(min(left, _PROGRESS))

    def _have_ended(self, units: list[Submitted]) -> bool:
        try:
            shown = self._list_all()
        except ReceptorError:
            return False
        for unit in units:
            if unit.is_acknowledged:
                status = shown.get(unit.unit_id)
                is_released = unit.is_ordered and unit.plan.order == "release"
                if (status is not None) == is_released or (status and not UnitStatus.parse(status).ended):
                    return False
        return True

    def _list_all(self) -> dict[str, JsonObject]:
        return unit_list(self._foo) | unit_list(self._bar)

    def _judge(self, units: list[Submitted]) -> None:
        """Four at a time: results are large."""
        shown, running = self._list_all(), self._ledger.running()

        def verdict_on(unit: Submitted) -> Verdict:
            facts = find_facts(unit, shown.get(unit.unit_id), self._bar, self._ledger, running)
            return judge(facts, self._bar.history)

        threads = ThreadPoolExecutor(4, "judge")
        verdicts: list[Future[Verdict]] = [threads.submit(verdict_on, unit) for unit in units]
        deadline = time.monotonic() + PEACE
        for unit, future in zip(units, verdicts, strict=True):
            try:
                verdict = future.result(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                verdict = Verdict(End.BAD, wrong="the node sends its output, but does not come to an end")
            self._report.submitted += unit.submitted_at > 0
            self._report.add(unit, verdict)
            if verdict.end is End.BAD:
                keep_evidence(unit, shown.get(unit.unit_id), self._bar, self._folder / "evidence")
        threads.shutdown(wait=False)

    def _clear_away(self) -> None:
        """Release all that clients may release, then stop the nodes; nothing may be left of either."""
        for node, work_type in ((self._foo, "remote"), (self._bar, LOCAL_TYPE)):
            self._release_all(node, work_type)
        wait_for(lambda: not (unit_list(self._foo) or unit_list(self._bar)), CLEARING)
        for folder in folders_left(self._nodes):
            self._leave(folders=1, what=f"the folder {folder} is left; in evidence/left is a copy of it")
            copy_folder(folder, self._folder / "evidence/left" / folder.name)
        if not wait_for(lambda: not (self._ledger.running() or zombies_of(self._nodes)), LEAVING):
            for zombie in zombies_of(self._nodes):
                self._leave(processes=1, what=f"{zombie} is left")
        for node in self._nodes:
            node.look_after()
            node.terminate()
        if not wait_for(lambda: not processes_naming(str(self._folder)), LEAVING):
            for pid, command in processes_naming(str(self._folder)).items():
                self._leave(processes=1, what=f"the process {pid} is left: {command}")

    def _release_all(self, node: Node, work_type: str) -> None:
        for unit_id, shown in unit_list(node).items():
            if shown["WorkType"] == work_type:
                try:
                    with node.control() as client:
                        self._chronicle.tell(f"{unit_id}: {client.end_unit('release', unit_id)}")
                except ReceptorError as error:
                    self._chronicle.complain(f"{node.node_id} did not release {unit_id}: {error}")

    def _leave(self, what: str, processes: int = 0, folders: int = 0) -> None:
        self._report.processes_left += processes
        self._report.folders_left += folders
        self._report.details.append(what)

    def _complain(self) -> None:
        self._report.details += self._chronicle.complaints
        if errors := self._ledger.errors():
            self._chronicle.tell(f"commands said on standard error:\n{errors}")
        for node in self._nodes:
            if tracebacks := node.log.read_text(errors="replace").count("Traceback (most recent call last)"):
                self._report.details.append(f"{node.log} holds {tracebacks} tracebacks")


def _listener(port: int) -> Action:
    return {"tcp-listener": {"port": port, "bindaddr": "127.0.0.1"}}


def _peer(link: Link) -> Action:
    return {"tcp-peer": {"address": f"127.0.0.1:{link.port}"}}
