"""How the figures are measured. Each scenario starts nodes of its own, so that none feels what another has left."""

from __future__ import annotations

import os
import random
import shutil
import string
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.bulk import payload_seconds, results_seconds
from bench.control import RUNNING, BenchError, Session, parse_answer
from bench.load import Load, drive
from bench.nodes import READY_TIME, Node, Setting, alone, chain
from bench.summary import percentile

Samples = dict[str, list[float]]
"""Of each figure by name."""

MIB = 1 << 20
MILLISECONDS = 1000.0
NAP = 0.3
PING_EVERY = 0.01
CLIENTS = 16
ASK_EVERY = 0.001
"""Seconds between questions where a latency is measured."""
CROWD_ASKS_EVERY = 0.01
"""The same where many clients ask at a time, so that the questions are not most of the work."""
SETTLED_AFTER = 1.0
"""Seconds after which a node has nothing more to do."""
WARM_UP = 5


@dataclass(frozen=True)
class Effort:
    """How much is done for one sample."""

    repeats: int = 5
    """How many samples."""
    latencies: int = 40
    naps: int = 5
    pings: int = 200
    units: int = 640
    mebibytes: int = 64
    sleepers: int = 300
    stored: int = 5000
    commands: int = 10
    calm: float = 10.0
    """Seconds in which CPU is counted."""


FULL = Effort()


@dataclass(frozen=True)
class Scenario:
    """A measurement that gives one or more figures."""

    figures: tuple[str, ...]
    measure: Callable[[Setting, Effort], Samples]


def local_true(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo") as [foo]:
        return {"local-true": _latencies(foo, "localhost", "true", effort.latencies, effort.repeats)}


def remote_true(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo", "bar") as [foo, _]:
        return {"remote-true": _latencies(foo, "bar", "true", effort.latencies // 2, effort.repeats)}


def local_overhead(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo") as [foo]:
        return {"local-overhead": _overheads(foo, "localhost", effort)}


def remote_overhead(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo", "bar") as [foo, _]:
        return {"remote-overhead": _overheads(foo, "bar", effort)}


def _overheads(node: Node, target: str, effort: Effort) -> list[float]:
    return [whole - NAP * MILLISECONDS for whole in _latencies(node, target, "nap", effort.naps, effort.repeats)]


def _latencies(node: Node, target: str, work_type: str, units: int, repeats: int) -> list[float]:
    """Medians in milliseconds."""
    drive(node.socket, Load(target, "true", 1, WARM_UP, ASK_EVERY))
    load = Load(target, work_type, 1, units, ASK_EVERY)
    return [MILLISECONDS * percentile(drive(node.socket, load).latencies, 50) for _ in range(repeats)]


def local_units(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo") as nodes:
        rates, costs = _rates_and_costs(nodes, "localhost", effort)
    return {"local-units": rates, "local-cpu": costs}


def remote_units(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo", "bar") as nodes:
        rates, costs = _rates_and_costs(nodes, "bar", effort)
    return {"remote-units": rates, "remote-cpu": costs}


def _rates_and_costs(nodes: list[Node], target: str, effort: Effort) -> tuple[list[float], list[float]]:
    """Units a second, and milliseconds of CPU for each, both of the same units."""
    drive(nodes[0].socket, Load(target, "true", CLIENTS, CLIENTS, CROWD_ASKS_EVERY))
    load = Load(target, "true", CLIENTS, effort.units, CROWD_ASKS_EVERY)
    rates, costs = [], []
    for _ in range(effort.repeats):
        before = _cpu_of(nodes)
        rates.append(load.units / drive(nodes[0].socket, load).whole)
        costs.append(MILLISECONDS * (_cpu_of(nodes) - before) / load.units)
    return rates, costs


def _cpu_of(nodes: list[Node]) -> float:
    return sum(processes.cpu_seconds(node.processes()) for node in nodes)


def payload(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo", "bar") as [foo, _]:
        return {"payload": _payload_rates(foo, effort)}


def middle_payload(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo", "mid", "bar") as [foo, _, _]:
        return {"middle-payload": _payload_rates(foo, effort)}


def results(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo", "bar") as [foo, _]:
        return {"results": _results_rates(foo, setting, effort)}


def middle_results(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo", "mid", "bar") as [foo, _, _]:
        return {"middle-results": _results_rates(foo, setting, effort)}


def local_cat(setting: Setting, effort: Effort) -> Samples:
    data = os.urandom(effort.mebibytes * MIB)
    with chain(setting, "foo") as [foo]:
        results_seconds(foo.socket, "localhost", "cat", data[:MIB], data[:MIB])
        return {
            "local-cat": [
                effort.mebibytes / results_seconds(foo.socket, "localhost", "cat", data, data)
                for _ in range(effort.repeats)
            ]
        }


def _payload_rates(node: Node, effort: Effort) -> list[float]:
    data = os.urandom(effort.mebibytes * MIB)
    payload_seconds(node.socket, "bar", "count", data[:MIB])
    return [effort.mebibytes / payload_seconds(node.socket, "bar", "count", data) for _ in range(effort.repeats)]


def _results_rates(node: Node, setting: Setting, effort: Effort) -> list[float]:
    data = os.urandom(effort.mebibytes * MIB)
    payload_seconds(node.socket, "bar", "count", data[:MIB])
    setting.blob.write_bytes(data)
    rates = [effort.mebibytes / results_seconds(node.socket, "bar", "emit", b"", data) for _ in range(effort.repeats)]
    setting.blob.unlink()
    return rates


def ping(setting: Setting, effort: Effort) -> Samples:
    samples: Samples = {"ping-p50": [], "ping-p95": []}
    with chain(setting, "foo", "bar") as [foo, _], Session(foo.socket) as session:
        for _ in range(effort.repeats):
            times = [_ping(session, "bar") for _ in range(effort.pings)]
            samples["ping-p50"].append(percentile(times, 50))
            samples["ping-p95"].append(percentile(times, 95))
    return samples


def _ping(session: Session, node: str) -> float:
    """Milliseconds, as the daemon measured it; after a pause, since nobody pings a node that is warm from pings."""
    time.sleep(PING_EVERY)
    answer = parse_answer(session.ask(f"ping {node}"))
    if not answer.get("Success"):
        raise BenchError(f"a ping failed: {answer.get('Error')}")
    return int(str(answer["Time"])) / 1e6


def sleeping(setting: Setting, effort: Effort) -> Samples:
    """Memory beyond that of the same node without units; 300 of them, whatever the effort, so that figures compare."""
    samples: Samples = {"sleeping-memory": [], "sleeping-cpu": []}
    for _ in range(effort.repeats):
        with alone(setting) as foo:
            foo.start()
            time.sleep(SETTLED_AFTER)
            idle = processes.memory(foo.processes())
            drive(foo.socket, Load("localhost", "sleep", CLIENTS, effort.sleepers, CROWD_ASKS_EVERY, until=RUNNING))
            time.sleep(2 * SETTLED_AFTER)
            busy = foo.processes()
            samples["sleeping-memory"].append(processes.memory(busy) - idle)
            begin, computed = time.perf_counter(), processes.cpu_seconds(busy)
            time.sleep(effort.calm)
            computed = processes.cpu_seconds(busy) - computed
            samples["sleeping-cpu"].append(100 * computed / (time.perf_counter() - begin))
    return samples


def start(setting: Setting, effort: Effort) -> Samples:
    samples: Samples = {"start": [], "idle-memory": []}
    for _ in range(effort.repeats):
        with alone(setting) as foo:
            samples["start"].append(MILLISECONDS * foo.start())
            time.sleep(SETTLED_AFTER)
            samples["idle-memory"].append(processes.memory(foo.processes()))
    return samples


def status_command(setting: Setting, effort: Effort) -> Samples:
    with chain(setting, "foo") as [foo]:
        command = [*setting.client, "--socket", foo.socket, "status"]
        return {
            "status-command": [
                percentile([_command_time(command) for _ in range(effort.commands)], 50) for _ in range(effort.repeats)
            ]
        }


def _command_time(command: list[str]) -> float:
    begin = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        raise BenchError(f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    return MILLISECONDS * (time.perf_counter() - begin)


def stored_units(setting: Setting, effort: Effort) -> Samples:
    samples: Samples = {"list-5000": [], "start-5000": []}
    with alone(setting) as foo:
        foo.start()
        foo.await_work()
        foo.stop()
        multiply_unit(foo.units, effort.stored)
        for _ in range(effort.repeats):
            begin = time.perf_counter()
            foo.start()
            with Session(foo.socket) as session:
                await_units(session, effort.stored)
                samples["start-5000"].append(MILLISECONDS * (time.perf_counter() - begin))
                times = [list_time(session) for _ in range(effort.commands)]
            samples["list-5000"].append(percentile(times, 50))
            foo.stop()
    return samples


def await_units(session: Session, count: int) -> None:
    """Some daemons greet before they know their units."""
    end = time.monotonic() + READY_TIME
    while len(parse_answer(session.ask("work list"))) < count:
        if time.monotonic() > end:
            raise BenchError(f"work list does not show {count} units")
        time.sleep(ASK_EVERY)


def list_time(session: Session) -> float:
    """Milliseconds that ``work list`` takes."""
    begin = time.perf_counter()
    session.ask("work list")
    return MILLISECONDS * (time.perf_counter() - begin)


def multiply_unit(units: Path, count: int) -> None:
    """Copy the folder of the only unit under fresh names until there are so many."""
    [pattern] = [folder for folder in units.iterdir() if (folder / "status").is_file()]
    letters = string.ascii_letters + string.digits
    names = {pattern.name}
    while len(names) < count:
        names.add("".join(random.choices(letters, k=8)))
    for name in names - {pattern.name}:
        shutil.copytree(pattern, units / name)


SCENARIOS = [
    Scenario(("local-true",), local_true),
    Scenario(("local-overhead",), local_overhead),
    Scenario(("remote-true",), remote_true),
    Scenario(("remote-overhead",), remote_overhead),
    Scenario(("local-units", "local-cpu"), local_units),
    Scenario(("remote-units", "remote-cpu"), remote_units),
    Scenario(("payload",), payload),
    Scenario(("results",), results),
    Scenario(("middle-payload",), middle_payload),
    Scenario(("middle-results",), middle_results),
    Scenario(("local-cat",), local_cat),
    Scenario(("ping-p50", "ping-p95"), ping),
    Scenario(("start", "idle-memory"), start),
    Scenario(("status-command",), status_command),
    Scenario(("sleeping-memory", "sleeping-cpu"), sleeping),
    Scenario(("list-5000", "start-5000"), stored_units),
]
