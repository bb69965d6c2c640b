"""What files may hold after a crash, a full disk or somebody's editor: status, records, configuration."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from fuzz.damage import NASTY, Edit, damaged, edited, edits, like, numbers, texts
from fuzz.fuzzing import target
from hypothesis import strategies as st

from receptor.config.actions import ACTIONS
from receptor.config.configuration import Configuration, configuration_of
from receptor.config.files import read_file
from receptor.config.keys import Action, keys_of
from receptor.errors import CommandError, ConfigurationError, OperatingError
from receptor.identifiers import is_localhost, is_service_name
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.records import ExitRecord, StartRecord, Submission
from receptor.workceptor.status import (
    LARGEST_STATUS,
    RemoteExtra,
    State,
    answer,
    decode_status,
    encode_status,
    is_secret,
    may_follow,
)
from receptor.workceptor.used_tokens import UsedTokens

Record = TypeVar("Record")

STATUS_FILES = [
    b'{"State":1,"Detail":"Running: PID 7","StdoutSize":4,"WorkType":"echo","ExtraData":{"Pid":7,"Params":"x"}}\n',
    b'{"State":2,"Detail":"exit status 0","StdoutSize":30,"WorkType":"remote","ExtraData":{"RemoteNode":"bar",'
    b'"RemoteWorkType":"echo","RemoteParams":{"secret_a":"hush"},"RemoteUnitID":"NImim5WA","RemoteStarted":true,'
    b'"LocalCancelled":false,"LocalReleased":false,"SignWork":true,"TLSClient":"t","Expiration":'
    b'"0001-01-01T00:00:00Z"}}\n',
]
remote_extras = st.fixed_dictionaries(
    {},
    optional={
        "RemoteNode": texts,
        "RemoteParams": st.dictionaries(st.sampled_from(["secret_a", "SECRET_b", "params"]), st.just("hush")),
        "RemoteUnitID": texts,
        "RemoteStarted": st.booleans(),
        "LocalCancelled": st.booleans(),
        "Expiration": texts,
    },
)
status_files = like(
    {
        "State": st.integers(0, 4),
        "Detail": texts,
        "StdoutSize": st.integers(0, 2**63 - 1),
        "WorkType": st.sampled_from(["remote", "echo"]) | texts,
        "ExtraData": st.none() | st.fixed_dictionaries({"Pid": numbers, "Params": texts}) | remote_extras,
    }
)


@target("status-files", 1200, damaged(STATUS_FILES) | status_files)
def status_files_target(raw: bytes) -> None:
    """A status is damaged, which is told in a ValueError, or reads the same after it was written again."""
    try:
        status = decode_status(raw)
    except ValueError as error:
        assert str(error).startswith("it ")  # noqa: PT017 (both ways are right)
        return
    again = encode_status(status)
    assert decode_status(again) == status
    assert again.count(b"\n") == 1
    assert len(again) <= LARGEST_STATUS
    assert 0 <= status.stdout_size < 2**63
    assert not any(may_follow(status.state, earlier) for earlier in State if earlier < status.state)
    shown = answer(status)
    assert msgspec.json.encode(shown)
    if isinstance(shown.extra, RemoteExtra):
        assert not any(is_secret(name) for name in shown.extra.remote_params)


START = StartRecord(pid=7, start_time=99, boot_id="boot", folder="/unit", started=1.5)
EXIT = ExitRecord(
    exit_code=0, signal=None, started=1.5, ended=2.5, user_seconds=0.5, system_seconds=0.5, peak_memory=4096
)
SUBMISSION = Submission(
    submitter="node foo", idempotency_key="key", request_digest="digest", name="nightly", has_environment=True
)
starts = like(
    {
        "pid": st.integers(1, 2**22),
        "start_time": st.none() | st.integers(0, 2**40),
        "boot_id": texts,
        "folder": texts,
        "started": st.floats(0, 2e9),
    }
)
exits = like(
    {
        "exit_code": st.none() | st.integers(0, 255),
        "signal": st.none() | st.integers(1, 64),
        "started": st.floats(0, 2e9),
        "ended": st.floats(0, 2e9),
        "user_seconds": st.floats(0, 1e6),
        "system_seconds": st.floats(0, 1e6),
        "peak_memory": st.integers(0, 2**40),
    }
)
submissions = like({"submitter": texts, "idempotency_key": texts, "request_digest": texts})


def _read_again(read: Callable[[], Record | None], write: Callable[[Record], object]) -> Record | None:
    """What a file holds, which is the same after it was written again; None if it is damaged or missing."""
    try:
        record = read()
    except OperatingError as error:
        assert "damaged" in str(error)  # noqa: PT017 (both ways are right)
        return None
    if record is not None:
        write(record)
        assert read() == record
    return record


@target("start-records", 400, damaged([msgspec.json.encode(START)]) | starts)
def start_records_target(raw: bytes) -> None:
    """A record of a process is damaged, which is told as OperatingError, or names one that may be signalled."""
    with tempfile.TemporaryDirectory() as name:
        folder = UnitFolder(Path(name))
        folder.process_file.write_bytes(raw)
        record = _read_again(folder.read_start, folder.write_start)
    assert record is None or 1 < record.pid < 2**31


@target("exit-records", 400, st.lists(damaged([msgspec.json.encode(EXIT)]) | exits, min_size=1, max_size=3))
def exit_records_target(lines: list[bytes]) -> None:
    """A record of an end is damaged, which is told as OperatingError, or gives a result that can be shown."""
    with tempfile.TemporaryDirectory() as name:
        folder = UnitFolder(Path(name))
        folder.exit_file.write_bytes(b"".join(line + b"\n" for line in lines))
        record = _read_again(folder.read_exit, folder.write_exit)
    if record is not None:
        assert isinstance(record.succeeded, bool)
        assert record.detail.isprintable()
        assert ExitRecord.of(record.answer()).detail == record.detail


@target("submissions", 400, damaged([msgspec.json.encode(SUBMISSION)]) | submissions)
def submissions_target(raw: bytes) -> None:
    """A record of who submitted a unit is damaged, which is told as OperatingError, or can be read."""
    with tempfile.TemporaryDirectory() as name:
        folder = UnitFolder(Path(name))
        folder.submission_file.write_bytes(raw)
        _read_again(folder.read_submission, lambda made: folder.submission_file.write_bytes(msgspec.json.encode(made)))
        assert folder.read_order() is None


USED = [f"\n{1_800_000_000 + number} {'abcdefgh' * 2}{number}".encode() for number in range(5)]


@target("used-tokens", 400, edits, st.permutations(USED))
def used_tokens_target(damage: list[Edit], lines: list[bytes]) -> None:
    """The list of used tokens is read whatever is damaged in it, and remembers every line that is whole."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "used"
        raw = edited(b"".join(lines), damage)
        path.write_bytes(raw)
        for _ in range(2):
            used = UsedTokens(path)
            used.load(0.0)
            for line in USED:
                if line.strip() in raw.split(b"\n"):
                    with pytest.raises(CommandError):
                        used.reserve(line.split()[1].decode(), 1_900_000_000.0, 0.0)


EXAMPLES = [action.about.example.encode() + b"\n" for action in ACTIONS.values()]
YAML = [
    b"---\n", b"...\n", b"&a ", b"*a", b"!!int ", b"!x ", b"|\n", b">-\n", b"? ", b": ", b"- ", b"  ", b"\t", b"#",
    b"~", b"<<: *a", b"\xef\xbb\xbf", b"\xff\xfe", b'"\\ud800"', b'"\\0"', b"\x07", b"\xc2\x85", b"[" * 30,
    b"{a: " * 30,
]  # fmt: skip
values = (
    st.sampled_from(
        [
            "1",
            "0",
            "0600",
            "-1",
            "true",
            "no",
            "bar:2222",
            "[::1]:1",
            "localhost",
            "1h30m",
            "~",
            "''",
            "[a, b]",
            "{a: 2}",
            "[{action: drop, fromnode: /a+/}]",
            "[{Action: accept, fromnode: {}}]",
            "/a/",
            "ws://a/b",
            "ab:cd",
        ]
    )
    | texts
    | st.sampled_from([one.decode(errors="replace") for one in NASTY])
)


def _in_list(kind: type[Action], given: dict[str, str]) -> bytes:
    lines = [f"    {key}: {value}\n" for key, value in given.items()]
    return f"- {kind.about.name}:\n{''.join(lines)}".encode()


def _in_map(kind: type[Action], given: dict[str, str]) -> bytes:
    lines = [f"    {key}: {value}\n" for key, value in given.items()]
    if not kind.about.once:
        lines[:1] = [line.replace("    ", "  - ", 1) for line in lines[:1]]
    return f"{kind.about.map_key}:\n{''.join(lines)}".encode()


def _actions(write: Callable[[type[Action], dict[str, str]], bytes]) -> st.SearchStrategy[bytes]:
    """One action with some of its keys."""
    return st.one_of(
        *(
            st.builds(
                write,
                st.just(kind),
                st.fixed_dictionaries({}, optional={key.name: values for key in keys_of(kind)}),
            )
            for kind in ACTIONS.values()
        )
    )


lists = st.lists(_actions(_in_list) | st.sampled_from([*EXAMPLES, b"- local-only\n"]), max_size=5).map(b"".join)
maps = st.lists(_actions(_in_map) | st.just(b"local-only: true\n"), max_size=5).map(
    lambda actions: b"".join([b"version: 2\n", *actions])
)
configurations = lists | maps
yaml_edits = st.lists(st.tuples(st.integers(0, 500), st.sampled_from(YAML)), max_size=3)


def _with_yaml(text: bytes, pieces: list[tuple[int, bytes]]) -> bytes:
    for position, piece in pieces:
        start = position % (len(text) + 1)
        text = text[:start] + piece + text[start:]
    return text


@target("configurations", 400, st.builds(edited, st.builds(_with_yaml, configurations, yaml_edits), edits))
def configurations_target(raw: bytes) -> None:
    """A configuration file is refused, each line of the reason with its place, or keeps to what it promises."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "receptor.yml"
        path.write_bytes(raw)
        try:
            made = configuration_of(read_file(path), str(path), "box")
        except ConfigurationError as error:
            assert all(line.startswith(f"{path}:") for line in str(error).split("\n"))  # noqa: PT017 (both are right)
            return
    _check(made)


def _check(made: Configuration) -> None:
    assert made.node.id
    assert not is_localhost(made.node.id)
    assert "/" not in made.node.id
    costs = [listener.cost for listener in made.listeners] + [peer.cost for peer in made.peers]
    assert all(cost > 0 and math.isfinite(cost) for cost in costs)
    for listener in made.listeners:
        assert 0 <= listener.port <= 65535
        assert all(cost > 0 and math.isfinite(cost) for cost in listener.node_cost.values())
    for service in made.control_services:
        assert not service.service or is_service_name(service.service)
        assert 0 <= service.permissions <= 0o777
