"""What the command line asks for, carried out."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import guard, primitives
from bench.control import BenchError
from bench.nodes import Setting
from bench.report import Measured, Report
from bench.scenarios import SCENARIOS, Effort, Scenario
from bench.summary import Summary

RESULTS = Path(__file__).parent / "results"
INSTALLED = Path(sys.executable).parent


def bench(figures: Sequence[str], effort: Effort, against: str | None) -> None:
    """Measure, print the table and write the file of samples. Without figures: all."""
    with settings_of(against) as settings:
        report = new_report(settings)
        measure(report, settings, wanted(figures), effort)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{'-'.join([stem(), *figures])}.json"
    file.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    print(f"\n{report.table()}\n\nall samples: {shown(file)}")


def profile(figures: Sequence[str], effort: Effort) -> None:
    """Measure while flame graphs of the nodes are drawn, and tell where they are."""
    RESULTS.mkdir(exist_ok=True)
    with settings_of(None) as settings:
        settings[0].flames = RESULTS / f"{stem()}-{time.strftime('%H%M%S')}"
        report = new_report(settings)
        measure(report, settings, wanted(figures), effort)
        graphs = sorted(RESULTS.glob(f"{settings[0].flames.name}-*.svg"))
    print(f"\n{report.table()}\n\nflame graphs (the figures above suffer from them):")
    print("\n".join(shown(graph) for graph in graphs))


def check(effort: Effort) -> bool:
    """The regression guard: whether all guarded figures keep their bounds; says which don't."""
    guarded = [bound.figure for bound in guard.BOUNDS]
    with settings_of(None) as settings:
        report = new_report(settings)
        measure(report, settings, wanted(guarded), effort)
        again = primitives.measure(settings[0].folder)
    machine_did = {name: Summary.of(each.samples + again[name].samples) for name, each in report.primitives.items()}
    print(f"\n{guard.table(report.ours.figures, machine_did)}\n")
    worse = guard.regressions(report.ours.figures, report.ours.failures, machine_did)
    for line in worse:
        print(f"REGRESSED: {line}")
    if not worse:
        print("no regression")
    return not worse


def new_report(settings: Sequence[Setting]) -> Report:
    """With the primitives measured, and nothing else yet."""
    return Report(
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        commit(),
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        primitives.measure(settings[0].folder),
        [Measured(version_of(setting.daemon)) for setting in settings],
    )


def measure(report: Report, settings: Sequence[Setting], scenarios: Sequence[Scenario], effort: Effort) -> None:
    """Each scenario with one daemon after the other, so that both meet the machine in the same mood."""
    for scenario in scenarios:
        for setting, measured in zip(settings, report.daemons, strict=True):
            print(f"{', '.join(scenario.figures)}: {measured.version} ...", file=sys.stderr, flush=True)
            try:
                samples = scenario.measure(setting, effort)
            except BenchError as error:
                measured.failures |= dict.fromkeys(scenario.figures, str(error))
            else:
                measured.figures |= {name: Summary.of(values) for name, values in samples.items()}


def wanted(figures: Sequence[str]) -> list[Scenario]:
    """The scenarios that give the figures; all if none is named."""
    return [each for each in SCENARIOS if not figures or set(figures) & set(each.figures)]


@contextmanager
def settings_of(against: str | None) -> Iterator[list[Setting]]:
    """Ours and, if wanted, the other one, in a folder that is removed at the end."""
    ours = shlex.split(os.environ.get("RECEPTOR", "")) or [str(INSTALLED / "receptor")]
    client = shlex.split(os.environ.get("RECEPTORCTL", "")) or [str(INSTALLED / "receptorctl")]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # What is installed is compiled.
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        settings = [Setting(ours, client, folder / "a")]
        if against:
            settings.append(Setting(shlex.split(against), client, folder / "b"))
        for setting in settings:
            setting.folder.mkdir()
        yield settings
    finally:
        shutil.rmtree(folder)


def version_of(daemon: Sequence[str]) -> str:
    """As the daemon tells it, with its name. Raises BenchError if it can't be started."""
    try:
        done = subprocess.run([*daemon, "--version"], capture_output=True, text=True, timeout=30)
    except OSError as error:
        raise BenchError(f"{shlex.join(daemon)} can't be started: {error}") from error
    words = (done.stdout or done.stderr).split()
    if done.returncode or not words:
        raise BenchError(f"{shlex.join(daemon)} --version does not tell its version")
    return f"{Path(daemon[0]).name} {words[-1]}"


def commit() -> str:
    """Of the working copy, short; ``unknown`` outside of one."""
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def stem() -> str:
    """How the names of all files of a run begin."""
    return f"{time.strftime('%Y-%m-%d', time.gmtime())}-{commit()}"


def shown(file: Path) -> str:
    return str(file.relative_to(RESULTS.parents[1]))
