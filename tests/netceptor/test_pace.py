from __future__ import annotations

import random

from receptor.netceptor.pace import EARLIEST_REFRESH, LONGEST_REFRESH, Pace


def test_repetitions_are_spread_over_time() -> None:
    pace = Pace(lambda: True, random.Random(1))
    times = [pace.latest_repetition(50.0) - 50.0 for _ in range(1000)]
    assert LONGEST_REFRESH * EARLIEST_REFRESH <= min(times) < 310.0
    assert 590.0 < max(times) <= LONGEST_REFRESH


def test_a_repetition_may_wait_until_it_is_due_while_nobody_depends_on_it() -> None:
    is_patient = True
    pace = Pace(lambda: is_patient, random.Random(1))
    assert pace.may_wait(100.0, 99.0)
    assert not pace.may_wait(100.0, 100.0)
    is_patient = False
    assert not pace.may_wait(100.0, 0.0)
