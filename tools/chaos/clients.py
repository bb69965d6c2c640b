"""Those who submit units, follow their output, cancel and release them, whatever the nodes are going through."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from receptor.client.submission import Submission
from receptor.errors import CommandError, ReceptorError, UnknownUnit
from tools.chaos.nodes import MOMENT, Chronicle, Node
from tools.chaos.worker import Plan

CLIENTS = 6
LOCAL_TYPE, REMOTE_TYPE = "local-job", "job"
"""Work types of bar: for what is submitted there, and for what comes from foo."""


@dataclass
class Submitted:
    """One unit, as its client knows it."""

    plan: Plan
    node: Node
    """Where it was submitted."""
    submitted_at: float = 0.0
    """Unix seconds; 0 before."""
    unit_id: str = ""
    is_acknowledged: bool = False
    is_ordered: bool = False
    """An order to cancel or release it may have been heard."""
    notes: list[str] = field(default_factory=list)
    """What its client noticed that must not be."""


class Clients:
    """Submit one unit after the other, evenly over the given seconds; each number once, for a retry is another unit."""

    def __init__(
        self, plans: list[Plan], seconds: float, submitting: Node, executing: Node, chronicle: Chronicle
    ) -> None:
        self.units = [Submitted(plan, executing if plan.is_local else submitting) for plan in plans]
        self._chronicle = chronicle
        self._executing = executing.node_id
        self._begin = time.monotonic()
        self._spacing = seconds / len(plans)
        self._waiting = iter(self.units)
        self._next = threading.Lock()
        self._given_up = threading.Event()
        self._threads: list[threading.Thread] = []
        for number in range(CLIENTS):
            self._spawn(f"client {number}", self._submit_all)

    def finish(self, seconds: float) -> None:
        """Wait until all is submitted, followed and ordered; those who still wait for an answer then are given up."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:  # which grow meanwhile
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._chronicle.complain(f"{thread.name} was not answered in {seconds:g} s of peace")
        self._given_up.set()

    def counts(self) -> str:
        """How far it is, for people who wait."""
        submitted = sum(unit.submitted_at > 0 for unit in self.units)
        return f"{submitted} submitted, {sum(unit.is_acknowledged for unit in self.units)} acknowledged"

    def _spawn(self, name: str, work: object, *arguments: object) -> None:
        assert callable(work)
        self._threads.append(threading.Thread(target=work, args=arguments, name=name, daemon=True))
        self._threads[-1].start()

    def _submit_all(self) -> None:
        while not self._given_up.is_set():
            with self._next:
                unit = next(self._waiting, None)
            if unit is None:
                return
            self._given_up.wait(self._begin + unit.plan.number * self._spacing - time.monotonic())
            self._submit(unit)
            if unit.is_acknowledged and unit.plan.is_followed:
                self._spawn(f"follower of unit {unit.plan.number}", self._follow, unit)
            if unit.is_acknowledged and unit.plan.order:
                self._spawn(f"{unit.plan.order} of unit {unit.plan.number}", self._order, unit)

    def _submit(self, unit: Submitted) -> None:
        number = unit.plan.number
        work_type = LOCAL_TYPE if unit.plan.is_local else REMOTE_TYPE
        submission = Submission(work_type, self._executing, params={"params": str(number)})
        client = unit.node.control()
        while not self._given_up.is_set():
            try:
                client.connect()
                break
            except ReceptorError:
                time.sleep(MOMENT)
        unit.submitted_at = time.time()
        try:
            with client:
                upload = client.submit(submission)
                unit.unit_id = upload.unit_id
                upload.send(unit.plan.payload())
                answer = upload.finish()
        except ReceptorError as error:
            self._chronicle.tell(f"unit {number} ({unit.unit_id}) is not acknowledged: {error}")
            return
        unit.is_acknowledged = True
        self._chronicle.tell(f"unit {number} ({unit.unit_id}) on {unit.node.node_id}: {answer.result}")

    def _follow(self, unit: Submitted) -> None:
        """Read the output as it comes, until the unit ends or the node that tells of it."""
        wanted, position = unit.plan.output(), 0
        try:
            for chunk in unit.node.control().results(unit.unit_id):
                if chunk != wanted[position : position + len(chunk)]:
                    unit.notes.append(f"a follower got other output from byte {position} on")
                    return
                position += len(chunk)
        except ReceptorError:
            return

    def _order(self, unit: Submitted) -> None:
        """Cancel or release it, and do so again until there is an answer."""
        self._given_up.wait(unit.plan.order_delay)
        unit.is_ordered = True
        while not self._given_up.is_set():
            try:
                with unit.node.control() as client:
                    outcome = client.end_unit(unit.plan.order, unit.unit_id)
                return self._chronicle.tell(f"unit {unit.plan.number} ({unit.unit_id}): {outcome}")
            except UnknownUnit:
                if unit.plan.order == "cancel":
                    unit.notes.append("the node did not know it any more when it was to be cancelled")
                return None
            except CommandError as error:
                unit.notes.append(f"the node refused to {unit.plan.order} it: {error}")
                return None
            except ReceptorError:
                time.sleep(MOMENT)
        return None
