from __future__ import annotations

import signal
import socket

import pytest

from receptor.ctl.time_limit import TimeIsUp, time_limit


def test_a_wait_for_bytes_that_never_come_is_ended() -> None:
    before = signal.getsignal(signal.SIGALRM)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeIsUp), time_limit(0.01):
        ours.recv(1)
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_is_done_in_time_is_left_alone() -> None:
    with time_limit(60):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_no_limit() -> None:
    with time_limit(None):
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
