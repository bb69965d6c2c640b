"""The command line of ``make bench`` and ``make profile``."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench import primitives
from bench.control import BenchError
from bench.figures import FIGURES
from bench.nodes import Setting
from bench.report import Measured, Report
from bench.scenarios import FULL, SCENARIOS, Effort, Scenario
from bench.summary import Summary

RESULTS = Path(__file__).parent / "results"
INSTALLED = Path(sys.executable).parent


def main() -> int:
    options = parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Whoever ends us wants all nodes gone.
    try:
        return bench(options)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbroken off", file=sys.stderr)
        return 128 + signal.SIGINT


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        usage="python -m bench [--figure NAME ...] [--repeats N] [--against DAEMON | --profile]",
        description="Measure what a user feels of a mesh of real nodes on this machine. The environment variables"
        " RECEPTOR and RECEPTORCTL name other commands than the installed ones.",
        epilog=f"figures: {', '.join(FIGURES)}",
    )
    parser.add_argument("--figure", nargs="+", choices=FIGURES, default=[], metavar="NAME", help="measure only these")
    parser.add_argument("--repeats", type=int, help=f"samples of each figure (default: {FULL.repeats})")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--against", metavar="DAEMON", help="another daemon that does the same in turn")
    other.add_argument("--profile", action="store_true", help="draw flame graphs of the nodes, which slows them down")
    return parser.parse_args()


def bench(options: argparse.Namespace) -> int:
    effort = replace(FULL, repeats=options.repeats) if options.repeats else FULL
    with settings_of(options.against) as settings:
        if options.profile:
            settings[0].flames = RESULTS / f"{time.strftime('%Y-%m-%d', time.gmtime())}-{commit()}"
        report = Report(
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            commit(),
            machine(),
            primitives.measure(settings[0].folder),
            Measured(version_of(settings[0].daemon)),
            Measured(version_of(settings[1].daemon)) if settings[1:] else None,
        )
        measure(report, settings, wanted(options.figure), effort)
    file = report.write(RESULTS)
    print(f"\n{report.table()}\n\nall samples: bench/results/{file.name}")
    return 0


def measure(report: Report, settings: Sequence[Setting], scenarios: Sequence[Scenario], effort: Effort) -> None:
    """Each scenario with one daemon after the other, so that both meet the machine in the same mood."""
    for scenario in scenarios:
        for setting, measured in zip(settings, [report.ours, report.other], strict=False):
            assert measured is not None
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
    return f"{Path(daemon[0]).name} {(done.stdout or done.stderr).strip().split()[-1]}"


def commit() -> str:
    """Of the working copy, short; ``unknown`` outside of one."""
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def machine() -> str:
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
