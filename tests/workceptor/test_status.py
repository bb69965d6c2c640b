from __future__ import annotations

import json
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor.workceptor.status import (
    LARGEST_STATUS,
    CommandExtra,
    Extra,
    ProcessAnswer,
    RemoteExtra,
    Report,
    State,
    Status,
    answer,
    decode_report,
    decode_status,
    encode_status,
    may_follow,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
commands = st.builds(CommandExtra, pid=st.integers(0, 2**31), params=texts)
remotes = st.builds(
    RemoteExtra,
    remote_node=texts,
    remote_work_type=texts,
    remote_params=st.dictionaries(texts, texts, max_size=4),
    remote_unit_id=texts,
    remote_started=st.booleans(),
    local_cancelled=st.booleans(),
    local_released=st.booleans(),
    sign_work=st.booleans(),
    tls_client=texts,
    expiration=texts,
)


def status_of(work_type: str, extra: Extra, state: State = State.RUNNING, detail: str = "Running: PID 7") -> Status:
    return Status(state=state, detail=detail, stdout_size=4, work_type=work_type, extra=extra)


def statuses(work_types: st.SearchStrategy[str], extras: st.SearchStrategy[Extra]) -> st.SearchStrategy[Status]:
    return st.builds(
        Status,
        state=st.sampled_from(State),
        detail=texts,
        stdout_size=st.integers(0, 2**63 - 1),
        work_type=work_types,
        extra=extras,
    )


@given(
    statuses(texts.filter(lambda text: text != "remote"), st.none() | commands)
    | statuses(st.just("remote"), st.none() | remotes)
)
def test_what_is_written_is_read_again(status: Status) -> None:
    assert decode_status(encode_status(status)) == status


@given(st.binary(max_size=200))
def test_noise_is_refused_with_a_reason(noise: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        decode_status(noise)


def test_the_file_is_one_json_line_that_existing_tools_read() -> None:
    raw = encode_status(status_of("echoint", CommandExtra(pid=7, params="-c true")))
    assert raw.endswith(b"}\n")
    assert raw.count(b"\n") == 1
    assert json.loads(raw) == {
        "State": 1,
        "Detail": "Running: PID 7",
        "StdoutSize": 4,
        "WorkType": "echoint",
        "ExtraData": {"Pid": 7, "Params": "-c true"},
    }


def test_the_keys_of_a_remote_unit_are_those_of_the_seed() -> None:
    extra = RemoteExtra(
        remote_node="bar", remote_work_type="echopayload", remote_unit_id="NImim5WA", remote_started=True
    )
    assert list(json.loads(encode_status(status_of("remote", extra)))["ExtraData"].items()) == [
        ("RemoteNode", "bar"),
        ("RemoteWorkType", "echopayload"),
        ("RemoteParams", {}),
        ("RemoteUnitID", "NImim5WA"),
        ("RemoteStarted", True),
        ("LocalCancelled", False),
        ("LocalReleased", False),
        ("SignWork", False),
        ("TLSClient", ""),
        ("Expiration", "0001-01-01T00:00:00Z"),
    ]


def test_the_older_form_of_the_seed_is_read() -> None:
    raw = b"""{
       "State":2, "Detail":"exit status 0", "StdoutSize":30, "WorkType":"remote",
       "ExtraData":{ "RemoteNode":"bar", "RemoteWorkType":"echopayload", "RemoteParams":{},
          "RemoteUnitID":"NImim5WA", "RemoteStarted":true, "LocalCancelled":false, "LocalReleased":false }
    }"""
    extra = RemoteExtra(
        remote_node="bar", remote_work_type="echopayload", remote_unit_id="NImim5WA", remote_started=True
    )
    assert decode_status(raw) == Status(
        state=State.SUCCEEDED, detail="exit status 0", stdout_size=30, work_type="remote", extra=extra
    )


def test_the_answer_of_a_node_with_additions_is_read() -> None:
    raw = (
        b'{"State":1,"StateName":"Running","Detail":"d","StdoutSize":0,"WorkType":"w","ExtraData":{"Pod":"x"},"New":1}'
    )
    assert decode_status(raw).extra == CommandExtra()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"{", "truncated"),
        (b"null", "`null`"),
        (b"[]", "`array`"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"State":"two"}', r"\$.State"),
        (b'{"State":true,"Detail":"","WorkType":"x"}', "`bool`"),
        (b'{"State":7,"Detail":"","WorkType":"x"}', "7"),
        (b'{"Detail":"","WorkType":"x"}', "State"),
        (b'{"State":1,"Detail":null,"WorkType":"x"}', "Detail"),
        (b'{"State":1,"Detail":"","WorkType":"x","StdoutSize":-1}', "StdoutSize"),
        (b'{"State":1,"Detail":"","WorkType":"x","StdoutSize":' + b"9" * 30 + b"}", "StdoutSize"),
        (b'{"State":1,"Detail":"","WorkType":"x","ExtraData":{"Pid":"7"}}', "Pid"),
        (b'{"State":1,"Detail":"","WorkType":"remote","ExtraData":{"RemoteParams":{"a":1}}}', "RemoteParams"),
        (b'{"State":1,"Detail":"","WorkType":"x","z":' + b"[" * 100_000, "nested too deeply"),
        (b" " * (LARGEST_STATUS + 1), "more than"),
    ],
    ids=lambda value: repr(value[:50]) if isinstance(value, bytes) else None,
)
def test_damage_is_told(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_status(raw)


def test_a_status_that_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(ValueError, match="larger than"):
        encode_status(status_of("x", None, detail="x" * LARGEST_STATUS))


def test_an_answer_shows_no_secret() -> None:
    extra = RemoteExtra(remote_params={"secret_kube": "k1", "SECRET_Two": "k2", "Secret_3": "k3", "params": "shown"})
    shown = answer(status_of("remote", extra))
    assert msgspec.to_builtins(shown)["ExtraData"]["RemoteParams"] == {"params": "shown"}
    assert not any(secret in msgspec.json.encode(shown) for secret in (b"k1", b"k2", b"k3", b"ecret"))


def test_an_answer_names_the_state() -> None:
    shown = answer(status_of("w", CommandExtra(pid=7, params="-c true"), State.CANCELED, "d"))
    assert msgspec.to_builtins(shown) == {
        "State": 4,
        "StateName": "Canceled",
        "Detail": "d",
        "StdoutSize": 4,
        "WorkType": "w",
        "ExtraData": {"Pid": 7, "Params": "-c true"},
    }


def test_names_of_the_states() -> None:
    assert [state.title for state in State] == ["Pending", "Running", "Succeeded", "Failed", "Canceled"]
    assert [state.is_final for state in State] == [False, False, True, True, True]


@pytest.mark.parametrize(("old", "new"), list(product(State, State)))
def test_states_only_move_forward(old: State, new: State) -> None:
    allowed = {
        State.PENDING: set(State),
        State.RUNNING: set(State) - {State.PENDING},
    }
    assert may_follow(old, new) == (new in allowed.get(old, set()))


PROCESS = ProcessAnswer(
    exit_code=3,
    started="2026-11-23T12:00:00Z",
    ended="2026-11-23T12:00:02.5Z",
    user_seconds=1.5,
    system_seconds=0.25,
    peak_memory=4096,
)


class TestReports:
    """Answers to ``work status`` between nodes."""

    def test_of_an_existing_node(self) -> None:
        raw = b'{"State":3,"StateName":"Failed","Detail":"d","StdoutSize":4,"WorkType":"w","ExtraData":null}'
        assert decode_report(raw) == Report(status_of("w", None, State.FAILED, "d"))

    def test_of_ours(self) -> None:
        failed = status_of("w", None, State.FAILED, "exit status 3")
        shown = answer(failed, PROCESS, "key-1")
        assert decode_report(msgspec.json.encode(shown)) == Report(failed, PROCESS, "key-1")

    @given(
        statuses(texts.filter(lambda text: text != "remote"), st.none() | commands),
        st.none() | st.just(PROCESS),
        texts,
    )
    def test_whatever_is_shown_is_understood(self, status: Status, process: ProcessAnswer | None, key: str) -> None:
        assert decode_report(msgspec.json.encode(answer(status, process, key))) == Report(status, process, key)

    def test_the_name_and_the_times_of_a_unit(self) -> None:
        shown = answer(status_of("w", None, State.FAILED), name="nightly", created=1.0, ended=2.000001)
        assert (
            msgspec.json.decode(msgspec.json.encode(shown)).items()
            >= {
                "Name": "nightly",
                "Created": "1970-01-01T00:00:01Z",
                "Ended": "1970-01-01T00:00:02.000001Z",
            }.items()
        )
        assert answer(status_of("w", None, State.RUNNING), created=1.0, ended=2.0).ended is None

    @given(st.floats() | st.sampled_from([-1.0, 1e-9, 253_402_300_799.0, 253_402_300_798.9999999, 1e18]))
    def test_whatever_time_a_file_has_a_status_can_be_shown(self, time: float) -> None:
        assert msgspec.json.encode(answer(status_of("w", None, State.FAILED), created=time, ended=time))

    def test_what_is_not_known_is_not_shown(self) -> None:
        shown = msgspec.to_builtins(answer(status_of("w", None)))
        assert shown.keys() == {"State", "StateName", "Detail", "StdoutSize", "WorkType", "ExtraData"}

    def test_keys_of_the_process(self) -> None:
        shown = msgspec.to_builtins(answer(status_of("w", None), PROCESS, "key-1"))
        assert shown["IdempotencyKey"] == "key-1"
        assert shown["Process"] == {
            "ExitCode": 3,
            "Started": "2026-11-23T12:00:00Z",
            "Ended": "2026-11-23T12:00:02.5Z",
            "UserSeconds": 1.5,
            "SystemSeconds": 0.25,
            "PeakMemory": 4096,
        }

    @pytest.mark.parametrize(
        "addition",
        [
            b'"Process":5',
            b'"Process":{}',
            b'"Process":[]',
            b'"Process":{"ExitCode":"3"}',
            b'"IdempotencyKey":5',
            b'"IdempotencyKey":null',
            b'"Process":' + b"[" * 100_000,
        ],
        ids=lambda addition: addition[:40].decode(),
    )
    def test_wrong_types_are_told(self, addition: bytes) -> None:
        with pytest.raises(ValueError, match="it is "):
            decode_report(b'{"State":1,"Detail":"d","WorkType":"w",' + addition + b"}")

    @given(st.binary(max_size=200))
    def test_noise_is_refused_with_a_reason(self, noise: bytes) -> None:
        with pytest.raises(ValueError, match="it "):
            decode_report(noise)

    def test_additions_do_not_make_a_status(self) -> None:
        with pytest.raises(ValueError, match="State"):
            decode_report(b'{"IdempotencyKey":"key-1"}')
