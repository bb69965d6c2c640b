from __future__ import annotations

import logging

import pytest

from receptor.node.seldom import MINUTE, Seldom


def test_one_line_a_minute_tells_how_many_were_held_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    complaints = Seldom(logging.getLogger("receptor.test"), lambda: now)
    for number in range(5):
        complaints.say(f"number {number}")
    now = MINUTE
    complaints.say("number 5")
    complaints.say("number 6")
    now = 3 * MINUTE
    complaints.say("number 7")
    assert caplog.messages == [
        "number 0",
        "number 5 (4 more like this before)",
        "number 7 (1 more like this before)",
    ]
