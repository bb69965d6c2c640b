"""Measures what a user feels of a mesh, on real nodes: ``make bench``, ``make profile``; see docs/benchmarks.md.

    __main__.py     the command line; runs.py carries it out
    figures.py      what is measured, and what is to be reached
    scenarios.py    how it is measured, with bulk.py load.py (clients that compute little)
    nodes.py        nodes as processes; processes.py what they take of the machine
    control.py      the control protocol, written from its description
    primitives.py   what the machine itself can do
    summary.py report.py table.py   from samples to the table and the file
    guard.py        the quick run that catches what has become far slower
    growth/         what each more node costs, by itself: python -m bench.growth

It starts any daemon that keeps to the standard configuration and control protocol, and uses none of Receptor's modules.
"""
