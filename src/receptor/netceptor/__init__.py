"""The mesh: links, routes, advertisements, datagrams and streams, as a core without I/O and without a clock.

Bytes, commands and ``now`` (seconds of any clock that never goes back) go in; effects and the next deadline come
out. Nothing in this package imports asyncio, socket, threading or time; ``tests/test_architecture.py`` keeps it so.
"""
