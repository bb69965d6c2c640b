"""The tables that ``make growth`` prints, as docs/scaling.md has them."""

from __future__ import annotations

from bench.growth.mesh import Change, Figures
from bench.growth.real import RealFigures
from bench.growth.units import UnitFigures

SIMULATED = (
    "| shape | nodes | links | start | join | cut | heal | packets/s | bytes/s | CPU |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)
REAL = (
    "| shape | nodes | links | start | join | cut | heal | CPU of a core | memory | segments/s | bytes/s |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)
UNITS = "| units | number | memory | work list | start |\n|---|---|---|---|---|"


def simulated_row(figures: Figures) -> str:
    changes = " | ".join(_change(change) for change in (figures.start, figures.join, figures.cut, figures.heal))
    return (
        f"| {figures.shape} | {figures.nodes:,} | {figures.links:,} | {changes} | {figures.rest_packets:,.2f}"
        f" | {figures.rest_bytes:,.0f} | {figures.rest_cpu * 1000:.3f} ms |"
    )


def real_row(figures: RealFigures) -> str:
    changes = " | ".join(f"{seconds:.2f} s" for seconds in (figures.start, figures.join, figures.cut, figures.heal))
    return (
        f"| {figures.shape} | {figures.nodes:,} | {figures.links:,} | {changes} | {figures.cpu:.3%}"
        f" | {figures.memory:.1f} MiB | {figures.segments:,.2f} | {figures.sent_bytes:,.0f} |"
    )


def units_row(figures: UnitFigures) -> str:
    return (
        f"| {figures.kind} | {figures.units:,} | {figures.memory:.1f} MiB | {figures.list_p50:.1f} ms"
        f" | {figures.start:,.0f} ms |"
    )


def _change(change: Change) -> str:
    return f"{change.seconds:.2f} s, {change.packets:,}"
