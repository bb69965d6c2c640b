"""What each more node of a mesh, and each more unit on a node, costs: curves, not points.

python -m bench.growth            meshes of 10, 100 and 1,000 nodes in virtual time, in one process
python -m bench.growth --real     real nodes, linked over TCP
python -m bench.growth --units    units of one node

The first needs the test bed: PYTHONPATH=tests, as ``make growth`` sets it.
"""
