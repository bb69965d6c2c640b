"""The end of a wait that its user has limited."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TimeIsUp(BaseException):
    """The time limit has passed; raised wherever the program is then, as KeyboardInterrupt is by Ctrl-C.

    No Exception, so that nothing between takes it for trouble of its own.
    """


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeIsUp out of the block when it takes longer; None is no limit. For the main thread only."""
    if seconds is None:
        yield
        return
    import signal  # takes long, and few verbs have a limit

    def end(_number: int, _frame: FrameType | None) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, end)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
