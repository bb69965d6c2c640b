"""Functions that tests of ``MeshExecutor`` have called on nodes; standard library only."""

from __future__ import annotations

import os
import threading
import time


class Odd(Exception):
    """An error that can be pickled, but not be made again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)
        self.two = two


def raise_odd() -> None:
    raise Odd("one", "two")


def a_lock() -> object:
    return threading.Lock()


def talk() -> str:
    """Print, in this process and in a child."""
    os.write(1, b"on standard output\n")
    os.system("echo from a child")
    return "said"


def meet(folder: str, number: int) -> int:
    """How many have come to the folder, once two have."""
    open(os.path.join(folder, str(number)), "w").close()
    end = time.monotonic() + 20
    while len(os.listdir(folder)) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return len(os.listdir(folder))


def throw(error: BaseException) -> None:
    raise error
