from __future__ import annotations

from receptor.netceptor.complaints import MOST_KINDS, Complaints
from receptor.netceptor.effects import Effect, Notice, Severity


class Log:
    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.complaints = Complaints(self.effects.append)

    def take(self) -> list[str]:
        texts = [effect.text for effect in self.effects if isinstance(effect, Notice)]
        assert len(texts) == len(self.effects)
        self.effects.clear()
        return texts


def test_the_first_of_a_kind_is_told_at_once_and_the_others_as_a_number() -> None:
    log = Log()
    for number in range(100):
        log.complaints.say("kind", f"number {number}", now=0.1 * number)
    assert log.take() == ["number 0"]
    log.complaints.sweep(59.9)
    assert log.take() == []
    log.complaints.sweep(60.0)
    log.complaints.sweep(61.0)
    assert log.take() == ["99 more notices like this: number 99"]


def test_each_minute_begins_anew() -> None:
    log = Log()
    for now in (0.0, 1.0, 61.0, 62.0, 150.0):
        log.complaints.say("kind", f"at {now:g} s", now)
    assert log.take() == [
        "at 0 s",
        "1 more notices like this: at 1 s",
        "at 61 s",
        "1 more notices like this: at 62 s",
        "at 150 s",
    ]


def test_kinds_are_counted_apart_and_some_are_told_more_often() -> None:
    log = Log()
    for _ in range(5):
        log.complaints.say("one", "one", 0.0)
        log.complaints.say("other", "other", 0.0, most=3)
    assert log.take() == ["one", "other", "other", "other"]


def test_severity_and_peer_are_those_of_the_complaint() -> None:
    log = Log()
    log.complaints.say("kind", "text", 0.0, "peer", Severity.ERROR)
    log.complaints.say("kind", "text", 0.0, "peer", Severity.ERROR)
    log.complaints.sweep(60.0)
    assert {(one.severity, one.peer) for one in log.effects if isinstance(one, Notice)} == {(Severity.ERROR, "peer")}


def test_a_flood_of_kinds_takes_neither_memory_nor_lines_without_end() -> None:
    log = Log()
    for number in range(10 * MOST_KINDS):
        log.complaints.say(number, "flood", 0.0)
    assert len(log.take()) == MOST_KINDS + 1
    log.complaints.sweep(60.0)
    assert len(log.take()) == 1
