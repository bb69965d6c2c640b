from __future__ import annotations

import threading

import pytest
from commands import eventually
from terminals import terminal_for

from receptor.ctl import live_line, terminal
from receptor.ctl.live_line import LiveLine, Transfer, spinner


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_line, "SHOWN_AFTER", 0.0)


@pytest.mark.usefixtures("at_once")
def test_it_leaves_no_trace_and_stays_below_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal_for(monkeypatch, "stdout", "stderr") as person:
        with LiveLine(lambda *_: "working"):
            eventually(lambda: "working" in person.raw)
            terminal.say("an answer")
            drawn = person.raw.count("working")
            eventually(lambda: person.raw.count("working") > drawn)
            terminal.tell("a message")
        terminal.say("the end")
    assert person.shown == ["an answer", "a message", "the end"]


@pytest.mark.usefixtures("at_once")
def test_it_is_no_longer_than_the_terminal_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal_for(monkeypatch, "stderr", columns=20) as person, LiveLine(lambda *_: "x" * 100):
        eventually(lambda: "x" in person.raw)
    assert "x" * 18 + "…" in person.raw
    assert "x" * 19 not in person.raw


def test_what_is_done_soon_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal_for(monkeypatch, "stderr") as person, LiveLine(lambda *_: "working"):
        pass
    assert person.raw == ""


@pytest.mark.usefixtures("at_once")
def test_nothing_of_it_off_terminals(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    with spinner(lambda: "working"):
        assert threading.active_count() == before
    with terminal_for(monkeypatch, "stderr", term="dumb") as person, spinner(lambda: "working"):
        pass
    assert (capfd.readouterr().err, person.raw) == ("", "")


@pytest.mark.parametrize(
    ("done", "seconds", "line"),
    [
        (0, 0.0, "Sending  [>                       ]    0%  0 B of 2.0 MiB  0 B/s"),
        (1024 * 1024, 4.0, "Sending  [============>           ]   50%  1.0 MiB of 2.0 MiB  256 KiB/s  4 s left"),
        (2048 * 1024, 4.0, "Sending  [========================]  100%  2.0 MiB of 2.0 MiB  512 KiB/s"),
        (4096 * 1024, 4.0, "Sending  [========================]  100%  4.0 MiB of 2.0 MiB  1.0 MiB/s"),
    ],
)
def test_how_far_a_transfer_is(done: int, seconds: float, line: str) -> None:
    assert Transfer("Sending", 2048 * 1024, done).line(seconds, 100) == line


def test_on_a_narrow_terminal_the_bar_gives_way() -> None:
    transfer = Transfer("Sending", 2048 * 1024, 1024 * 1024)
    assert transfer.line(4.0, 70) == "Sending  [======>     ]   50%  1.0 MiB of 2.0 MiB  256 KiB/s  4 s left"
    assert transfer.line(4.0, 40) == "Sending   50%  1.0 MiB of 2.0 MiB  256 KiB/s  4 s left"
