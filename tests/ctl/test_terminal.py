from __future__ import annotations

import os
import sys
import threading

import pytest
from terminals import terminal_for

from receptor.ctl import terminal
from receptor.ctl.tables import Cell, Column
from receptor.errors import OperatingError


def test_what_other_nodes_say_does_not_steer_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.say("node\x1b[2J\nnext \udcff é")
    terminal.fail("reason\nsecond")
    output, errors = capfd.readouterr()
    assert output == "node [2J next   é\n"
    assert errors == "ERROR: reason second\n"


def test_bytes_stay_as_they_are(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    blob = bytes(range(256)) * 1000
    terminal.write_bytes(blob)
    assert capfdbinary.readouterr().out == blob


def test_json_has_its_keys_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.show_json({"b": 1, "a": {"d": None, "c": "\x1b"}})
    assert capfd.readouterr().out == (
        '{\n    "a": {\n        "c": "\\u001b",\n        "d": null\n    },\n    "b": 1\n}\n'
    )


def test_a_full_disk_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OperatingError, match="No space left"):
            terminal.write_bytes(b"data")


def test_no_standard_output_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OperatingError, match="standard output is closed"):
        terminal.write_bytes(b"data")


def test_an_output_that_nobody_reads_ends_the_program_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(SystemExit) as ended:
            terminal.write_bytes(b"data")
        assert ended.value.code == 141
        terminal.write_bytes(b"more")  # what is flushed at the end of the program does not complain again


def test_an_output_that_does_not_block_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    blob = b"x" * 1_000_000
    received = bytearray()

    def read_all() -> None:
        while chunk := os.read(reader, 65536):
            received.extend(chunk)

    thread = threading.Thread(target=read_all)
    thread.start()
    with open(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        terminal.write_bytes(blob)
    thread.join()
    os.close(reader)
    assert received == blob


def test_a_record_of_a_stream_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.show_json_line({"b": "x\ny", "a": 1})
    assert capfd.readouterr().out == '{"a": 1, "b": "x\\ny"}\n'


def test_a_table_off_a_terminal_is_plain(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.show_table(
        [Column("NODE"), Column("SEEN")], [[Cell("bar", "green"), terminal.when("2024-05-06T07:08:09Z")]]
    )
    assert capfd.readouterr().out == "NODE  SEEN\nbar   2024-05-06T07:08:09Z\n"


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_colours_and_relative_times_on_a_terminal(
    variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with terminal_for(monkeypatch, "stdout") as seen:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        terminal.show_table([Column("NODE"), Column("SEEN")], [["bar", terminal.when("2024-05-06T07:08:09Z")]])
    assert ("\x1b[1m" in seen.raw) is coloured
    assert " d ago" in seen.raw
