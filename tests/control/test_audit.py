from __future__ import annotations

import asyncio
import logging

import pytest

from receptor.control.answers import NodeStatus, ReloadAnswer, SubmitAnswer
from receptor.control.audit import audited
from receptor.control.commands import (
    Command,
    Connect,
    FollowEvents,
    Ping,
    Reload,
    ShowStatus,
    Traceroute,
    WorkCancel,
    WorkList,
    WorkRelease,
    WorkResults,
    WorkStatus,
    WorkSubmit,
)
from receptor.errors import CommandError, NotAllowed, UnknownUnit, UnreachableError
from receptor.node.byte_stream import LOCAL_CLIENT, Carrier, Origin

BAR = Origin(Carrier.MESH, "bar", "bar:abcdefgh")
WHO = 'who="node bar" from=bar:abcdefgh'
SUBMIT = WorkSubmit(
    node="baz", work_type="cat", signature="hush-token", parameters={"params": "hush", "secret_key": "hush"}
)

ACTS: list[tuple[Command, object, str]] = [
    (SUBMIT, SubmitAnswer("Job Started", "u1"), f"command=submit {WHO} worktype=cat target=baz"),
    (WorkCancel("u1", "hush-token"), {"cancelled": "u1"}, f"command=cancel {WHO}"),
    (WorkRelease("u1", "hush-token"), {"released": "u1"}, f"command=release {WHO}"),
    (WorkRelease("u1", force=True), {"released": "u1"}, f"command=force-release {WHO}"),
    (Connect("baz", "control"), None, f"command=connect {WHO} target=baz service=control"),
    (Reload(), ReloadAnswer(True, ""), f"command=reload {WHO}"),
]
LOOKS: list[tuple[Command, str]] = [
    (ShowStatus(), f"command=status {WHO}"),
    (FollowEvents(), f"command=events {WHO}"),
    (Ping("baz"), f"command=ping {WHO} target=baz"),
    (Traceroute("baz"), f"command=traceroute {WHO} target=baz"),
    (WorkList(), f"command=list {WHO}"),
    (WorkList(idempotency_key="hush-key"), f"command=list {WHO}"),
    (WorkStatus("u1"), f"command=work-status {WHO}"),
    (WorkStatus("u1", None, 0), f"command=work-status {WHO}"),
    (WorkResults("u1", 0, "hush-token"), f"command=results {WHO}"),
]
EVERY = [(command, line) for command, _, line in ACTS] + LOOKS


class Log:
    """What was logged of the audit, as level, unit and message."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "receptor.audit")
        self._caplog = caplog

    @property
    def lines(self) -> list[tuple[str, str, str]]:
        assert {record.name for record in self._caplog.records} <= {"receptor.audit"}
        return [(record.levelname, getattr(record, "unit", ""), record.getMessage()) for record in self._caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def unit_of(command: Command) -> str:
    return "u1" if "unit_id" in command.__struct_fields__ and not isinstance(command, WorkList) else ""


def carry_out(command: Command, result: object, origin: Origin = BAR) -> None:
    """Answer the command, or raise its error."""
    with audited(command, origin) as entry:
        if isinstance(result, BaseException):
            raise result
        if isinstance(result, SubmitAnswer):
            entry.unit_made(result.unitid)
        entry.answered(result)


def test_every_command_is_here() -> None:
    assert {type(command) for command, _ in EVERY} == set(Command.__args__)


@pytest.mark.parametrize(("command", "answer", "line"), ACTS)
def test_what_acts_is_told(log: Log, command: Command, answer: object, line: str) -> None:
    carry_out(command, answer)
    unit_id = "" if isinstance(command, Connect | Reload) else "u1"
    assert log.lines == [("INFO", unit_id, f"allowed {line}")]


@pytest.mark.parametrize(("command", "line"), LOOKS)
def test_what_only_looks_is_not_told(log: Log, command: Command, line: str) -> None:
    carry_out(command, NodeStatus())
    with pytest.raises(UnknownUnit):
        carry_out(command, UnknownUnit("u1"))
    assert log.lines == []


@pytest.mark.parametrize(("command", "line"), EVERY)
def test_every_refusal_is_told(log: Log, command: Command, line: str) -> None:
    with pytest.raises(NotAllowed):
        carry_out(command, NotAllowed("not you"))
    assert log.lines == [("WARNING", unit_of(command), f'refused {line} reason="not you"')]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CommandError("no such thing"), '"no such thing"'),
        (UnreachableError("no route"), '"no route"'),
        (ConnectionResetError("gone"), "gone"),
        (asyncio.CancelledError(), '"the node dropped the client before the end"'),
    ],
)
@pytest.mark.parametrize(("command", "answer", "line"), ACTS)
def test_every_failure_of_what_acts_is_told(
    log: Log, command: Command, answer: object, line: str, error: BaseException, reason: str
) -> None:
    with pytest.raises(type(error)):
        carry_out(command, error)
    assert log.lines == [("INFO", unit_of(command), f"failed {line} reason={reason}")]


def test_a_reload_that_does_not_succeed_has_failed(log: Log) -> None:
    carry_out(Reload(), ReloadAnswer(False, "line 3 is wrong"))
    assert log.lines == [("INFO", "", f'failed command=reload {WHO} reason="line 3 is wrong"')]


def test_a_submission_that_fails_names_its_unit_if_there_is_one(log: Log) -> None:
    def break_off() -> None:
        with audited(SUBMIT, BAR) as entry:
            entry.unit_made("u7")
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        break_off()
    assert [unit_id for _, unit_id, _ in log.lines] == ["u7"]


def test_what_is_told_when_it_begins_is_not_told_when_it_ends(log: Log) -> None:
    def break_off() -> None:
        with audited(Connect("baz", "control"), BAR) as entry:
            entry.allowed()
            assert len(log.lines) == 1
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        break_off()
    assert [message.split()[0] for _, _, message in log.lines] == ["allowed"]


def test_local_clients_are_named_too(log: Log) -> None:
    carry_out(Reload(), ReloadAnswer(True, ""), LOCAL_CLIENT)
    assert log.lines == [("INFO", "", 'allowed command=reload who=local from="a local client"')]


def test_no_name_can_pass_for_another_field(log: Log) -> None:
    evil = 'x" who="node boss'
    carry_out(WorkSubmit(node="a=b", work_type=evil), SubmitAnswer("", "u1"), Origin(Carrier.MESH, evil, evil))
    assert log.lines == [
        (
            "INFO",
            "u1",
            r'allowed command=submit who="node x\" who=\"node boss" from="x\" who=\"node boss"'
            r' worktype="x\" who=\"node boss" target="a=b"',
        )
    ]


@pytest.mark.parametrize(
    ("host", "shown"),
    [("bar ", "bar "), ("bar\n", r"bar\n"), ("bar\u2003", r"bar\u2003"), ("bar\u200b", r"bar\u200b")],
)
def test_no_node_can_pass_for_another(log: Log, host: str, shown: str) -> None:
    carry_out(Reload(), ReloadAnswer(True, ""), Origin(Carrier.MESH, host, host))
    assert log.lines == [("INFO", "", f'allowed command=reload who="node {shown}" from="{shown}"')]


def test_long_names_are_cut(log: Log) -> None:
    carry_out(WorkSubmit(node="n" * 10**6, work_type="w" * 10**6), SubmitAnswer("", "u1"))
    assert len(log.lines[0][2]) < 1000


def test_nothing_secret_is_told(log: Log) -> None:
    carry_out(SUBMIT, SubmitAnswer("", "u1"))
    for command, _ in EVERY:
        with pytest.raises(NotAllowed):
            carry_out(command, NotAllowed("no"))
    assert "hush" not in str(log.lines)
