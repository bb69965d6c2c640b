"""The command line of ``make growth``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.control import BenchError
from bench.growth import mesh, real, tables, units
from bench.growth.shapes import SHAPES
from bench.runs import settings_of

RESULTS = Path(__file__).parents[1] / "results"

SIMULATED_NODES = [10, 100, 1_000]
REAL_NODES = [10, 30, 100]
REAL_SHAPES = ["star", "random"]
UNITS = [100, 1_000, 10_000]

Row = TypeVar("Row")


def main() -> int:
    options = parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Whoever ends us wants all nodes gone.
    try:
        if options.real:
            show(tables.REAL, real_meshes(options), tables.real_row, options.results / "growth-real.json")
        elif options.units is not None:
            counts = options.units or UNITS
            show(tables.UNITS, units_of_a_node(counts), tables.units_row, options.results / "growth-units.json")
        else:
            show(tables.SIMULATED, simulated(options), tables.simulated_row, options.results / "growth.json")
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description="Measure what meshes and units cost as they grow. Meshes are simulated, in virtual time, unless"
        " --real is given. The tables are explained in docs/scaling.md.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--real", action="store_true", help="start real nodes, linked over TCP on this machine")
    what.add_argument("--units", type=int, nargs="*", metavar="N", help="units of one node instead: 100 1000 10000")
    parser.add_argument(
        "--nodes", type=int, nargs="+", metavar="N", help="how many: 10 100 1000, unless named; 10 30 100 real ones"
    )
    parser.add_argument(
        "--shapes", nargs="+", choices=list(SHAPES), help="all, unless named; of real nodes a star and a random graph"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder where the figures go as JSON")
    return parser.parse_args()


def simulated(options: argparse.Namespace) -> Iterator[mesh.Figures]:
    for shape in options.shapes or SHAPES:
        for nodes in options.nodes or SIMULATED_NODES:
            yield mesh.measure(shape, nodes)


def real_meshes(options: argparse.Namespace) -> Iterator[real.RealFigures]:
    for shape in options.shapes or REAL_SHAPES:
        for nodes in options.nodes or REAL_NODES:
            with settings_of(None) as [setting]:
                yield real.measure(setting, shape, nodes)


def units_of_a_node(counts: list[int]) -> Iterator[units.UnitFigures]:
    for measure, most in ((units.finished, max(counts)), (units.sleeping, units.MOST_ASLEEP)):
        for count in counts:
            if count <= most:
                with settings_of(None) as [setting]:
                    yield measure(setting, count)


def show(head: str, rows: Iterator[Row], line: Callable[[Row], str], results: Path) -> None:
    """Print a table line by line, and write the figures down so far: the larger ones take long."""
    print(head)
    figures: list[Row] = []
    results.parent.mkdir(exist_ok=True)
    for row in rows:
        figures.append(row)
        print(line(row), flush=True)
        results.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
