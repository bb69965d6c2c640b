"""The command line of ``make bench`` and ``make profile``."""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import replace

from bench import runs
from bench.control import BenchError
from bench.figures import FIGURES
from bench.guard import QUICK
from bench.scenarios import FULL

GOOD, BAD = 0, 1


def main() -> int:
    options = parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Whoever ends us wants all nodes gone.
    effort = QUICK if options.guard else FULL
    if options.repeats:
        effort = replace(effort, repeats=options.repeats)
    try:
        if options.guard:
            return GOOD if runs.check(effort) else BAD
        if options.profile:
            runs.profile(options.figure, effort)
        else:
            runs.bench(options.figure, effort, options.against)
    except BenchError as error:
        print(error, file=sys.stderr)
        return BAD
    except KeyboardInterrupt:
        print("\nbroken off", file=sys.stderr)
        return 128 + signal.SIGINT
    return GOOD


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        usage="python -m bench [--figure NAME ...] [--repeats N] [--against DAEMON | --profile | --guard]",
        description="Measure what a user feels of a mesh of real nodes on this machine. The environment variables"
        " RECEPTOR and RECEPTORCTL name other commands than the installed ones.",
        epilog=f"figures: {', '.join(FIGURES)}",
    )
    parser.add_argument("--figure", nargs="+", choices=FIGURES, default=[], metavar="NAME", help="measure only these")
    parser.add_argument("--repeats", type=int, help="samples of each figure (default: 5; with --guard 3)")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--against", metavar="DAEMON", help="another daemon that does the same in turn")
    other.add_argument("--profile", action="store_true", help="draw flame graphs of the nodes, which slows them down")
    other.add_argument("--guard", action="store_true", help="only check, quickly, that nothing has become far slower")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
