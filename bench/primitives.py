"""What the machine itself can do, measured beside the figures, since machines differ."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.summary import Summary

GIB = float(1 << 30)
SECONDS = 0.1
"""How long each is tried, each time."""
BLOCK = 1200
CHUNK = 256 << 10


@dataclass(frozen=True)
class Primitive:
    """Something that every node does many times."""

    name: str
    title: str
    unit: str
    rate: Callable[[Path], float]
    """Measures it once, in a folder for files."""


def measure(folder: Path, repeats: int = 3) -> dict[str, Summary]:
    """All of them by name."""
    return {each.name: Summary.of([each.rate(folder) for _ in range(repeats)]) for each in PRIMITIVES}


def _rate(do: Callable[[], None], seconds: float = SECONDS) -> float:
    """How often a second it can be done."""
    begin = time.perf_counter()
    times = 0
    while (passed := time.perf_counter() - begin) < seconds:
        do()
        times += 1
    return times / passed


def _wait_for(pid: int) -> None:
    os.waitpid(pid, 0)


def _spawns(folder: Path) -> float:
    return _rate(lambda: _wait_for(os.posix_spawn("/bin/true", ["true"], os.environ)))


def _forks(folder: Path) -> float:
    def fork() -> None:
        if not (pid := os.fork()):
            os._exit(0)
        _wait_for(pid)

    return _rate(fork)


def _python_starts(folder: Path) -> float:
    command = [sys.executable, "-I", "-c", ""]
    return _rate(lambda: _wait_for(os.posix_spawn(command[0], command, os.environ)), 2 * SECONDS)


def _socket_rate(folder: Path) -> float:
    ours, theirs = socket.socketpair()
    data = bytes(CHUNK)
    if not (pid := os.fork()):
        ours.close()
        buffer = bytearray(CHUNK)
        while theirs.recv_into(buffer):
            pass
        os._exit(0)
    theirs.close()
    with ours:
        rate = _rate(lambda: ours.sendall(data))
    _wait_for(pid)
    return rate * CHUNK / GIB


def _cipher_rate(folder: Path) -> float:
    cipher, nonce, data = AESGCM(bytes(16)), bytes(12), bytes(BLOCK)

    def encrypt() -> None:
        for _ in range(100):
            cipher.encrypt(nonce, data, None)

    return _rate(encrypt) * 100 * BLOCK / GIB


def _replacements(folder: Path) -> float:
    old, new = folder / "replaced", folder / "replaced.new"

    def replace() -> None:
        with open(new, "wb") as file:
            file.write(b"x" * 200)
        os.replace(new, old)

    return _rate(replace)


PRIMITIVES = [
    Primitive("spawns", "bare posix_spawn of true", "/s", _spawns),
    Primitive("forks", "bare fork", "/s", _forks),
    Primitive("python-starts", "bare start of Python", "/s", _python_starts),
    Primitive("socketpair", "socket pair", "GiB/s", _socket_rate),
    Primitive("cipher", "AES-GCM of 1,200-byte blocks", "GiB/s", _cipher_rate),
    Primitive("replacements", "atomic file replace", "/s", _replacements),
]
