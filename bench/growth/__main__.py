"""The command line of ``make growth``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from bench.growth.mesh import Change, Figures, measure
from bench.growth.shapes import SHAPES

RESULTS = Path(__file__).parents[1] / "results"

HEAD = (
    "| shape | nodes | links | start | join | cut | heal | packets/s | bytes/s | CPU |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)


def main() -> int:
    options = parse_arguments()
    figures: list[Figures] = []
    sys.stdout.write(HEAD)
    for shape in options.shapes:
        for nodes in options.nodes:
            figures.append(measure(shape, nodes))
            sys.stdout.write(f"{row(figures[-1])}\n")
            sys.stdout.flush()
            save(options.results, figures)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description="Measure what simulated meshes cost. start, join, cut and heal: seconds until no route changed any"
        " more, and packets beyond those at rest. At rest, of each node: packets, bytes and milliseconds of CPU a"
        " second.",
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 100, 1000], help="how many (default: %(default)s)")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES), help="all, unless named")
    parser.add_argument("--results", type=Path, default=RESULTS / "growth.json", help="where the figures go as JSON")
    return parser.parse_args()


def row(figures: Figures) -> str:
    """A line of the table."""
    changes = " | ".join(_change(change) for change in (figures.start, figures.join, figures.cut, figures.heal))
    return (
        f"| {figures.shape} | {figures.nodes:,} | {figures.links:,} | {changes} | {figures.rest_packets:,.2f}"
        f" | {figures.rest_bytes:,.0f} | {figures.rest_cpu * 1000:.3f} ms |"
    )


def save(path: Path, figures: list[Figures]) -> None:
    """Write the figures down so far: the larger meshes take long."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")


def _change(change: Change) -> str:
    return f"{change.seconds:.2f} s, {change.packets:,}"


if __name__ == "__main__":
    sys.exit(main())
