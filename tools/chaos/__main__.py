"""The command line of ``make chaos``."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tools.chaos.nodes import ChaosError, kill_all_naming
from tools.chaos.run import Report, Run

GOOD, BAD = 0, 1
MOST_DETAILS = 50


def main() -> int:
    options = parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Whoever ends us wants it all cleared away.
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"{options.units} units, {options.seconds:g} s of chaos, SEED={options.seed}; files in {folder}", flush=True)
    try:
        report = Run(folder, options.seed, options.units, options.seconds).execute()
        code = tell(report, options.seed)
    except ChaosError as error:
        print(f"{error}\nSEED={options.seed}", file=sys.stderr)
        code = BAD
    except KeyboardInterrupt:
        print("\nbroken off", file=sys.stderr)
        code = 128 + signal.SIGINT
    finally:
        kill_all_naming(str(folder))
    if code == BAD:
        print(f"Logs, the chronicle and the folders of bad units are kept in {folder}")
    else:
        shutil.rmtree(folder)
    return code


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.chaos",
        description="Run units of work on real nodes while daemons, runners and links are killed, stopped and cut at"
        " random. Exit code 0: every unit came to its foretold end, once, and nothing was left over; 1: not so.",
    )
    parser.add_argument("--seconds", type=float, default=180, help="how long the chaos lasts (default: %(default)g)")
    parser.add_argument("--units", type=int, default=300, help="how many are submitted (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(1_000_000), help="the same again, as far as timing allows"
    )
    return parser.parse_args()


def tell(report: Report, seed: int) -> int:
    """Print the table and what is wrong; the exit code."""
    deeds = ", ".join(f"{deed} {times}" for deed, times in sorted(report.deeds.items()))
    print(f"done meanwhile: {deeds}\nall had ended {report.calm_after:.1f} s after that\n\n{report.table()}\n")
    for detail in report.details[:MOST_DETAILS]:
        print(detail)
    if len(report.details) > MOST_DETAILS:
        print(f"... and {len(report.details) - MOST_DETAILS} more")
    print("all is well" if report.is_good else f"NOT WELL; try it again with SEED={seed}", flush=True)
    return GOOD if report.is_good else BAD


if __name__ == "__main__":
    sys.exit(main())
