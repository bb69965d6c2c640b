from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receptor.control.commands import (
    Command,
    Connect,
    Multiplex,
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
    acts,
    parse,
)
from receptor.errors import CommandError
from receptor.workceptor.status import State

WORDS: dict[str, Command | Multiplex] = {
    "status": ShowStatus(),
    "STATUS": ShowStatus(),
    "status ": ShowStatus(),
    "ping bar": Ping("bar"),
    "Ping  bar ": Ping("bar"),
    "ping Jörg": Ping("Jörg"),
    "traceroute bar": Traceroute("bar"),
    "connect bar control": Connect("bar", "control"),
    "connect bar control secure": Connect("bar", "control", "secure"),
    "reload": Reload(),
    "multiplex": Multiplex(),
    "Multiplex ": Multiplex(),
    "work submit bar cat": WorkSubmit(node="bar", work_type="cat"),
    "WORK Submit Bar Cat": WorkSubmit(node="Bar", work_type="Cat"),
    "work submit bar echo -n  two words": WorkSubmit(
        node="bar", work_type="echo", parameters={"params": "-n two words"}
    ),
    "work list": WorkList(),
    "work list abcd1234": WorkList("abcd1234"),
    "work status abcd1234": WorkStatus("abcd1234"),
    "work cancel abcd1234": WorkCancel("abcd1234"),
    "work release abcd1234": WorkRelease("abcd1234"),
    "work force-release abcd1234": WorkRelease("abcd1234", force=True),
    "work results abcd1234": WorkResults("abcd1234"),
    "work results abcd1234 1048576": WorkResults("abcd1234", 1048576),
}

JSON: list[tuple[dict[str, object], Command | Multiplex]] = [
    ({"command": "status"}, ShowStatus()),
    ({"command": "Status", "requested_fields": None}, ShowStatus()),
    ({"command": "status", "requested_fields": []}, ShowStatus(())),
    ({"command": "status", "requested_fields": ["NodeID", "Version"]}, ShowStatus(("NodeID", "Version"))),
    ({"command": "ping", "target": "bar"}, Ping("bar")),
    ({"command": "ping", "target": "a b", "unknown": {"is": ["ignored"]}}, Ping("a b")),
    ({"command": "traceroute", "target": "bar"}, Traceroute("bar")),
    ({"command": "connect", "node": "bar", "service": "control"}, Connect("bar", "control")),
    ({"command": "connect", "node": "bar", "service": "control", "tls": "secure"}, Connect("bar", "control", "secure")),
    ({"command": "reload"}, Reload()),
    ({"command": "multiplex"}, Multiplex()),
    ({"command": "MULTIPLEX", "unknown": 1}, Multiplex()),
    ({"command": "work", "subcommand": "list"}, WorkList()),
    ({"command": "work", "subcommand": "LIST", "unitid": "abcd1234"}, WorkList("abcd1234")),
    ({"command": "work", "subcommand": "list", "idempotencykey": "k 1"}, WorkList(idempotency_key="k 1")),
    ({"command": "work", "subcommand": "list", "unitid": "abcd1234", "idempotencykey": "k1"}, WorkList("abcd1234")),
    ({"command": "work", "subcommand": "status", "unitid": "abcd1234"}, WorkStatus("abcd1234")),
    (
        {"command": "work", "subcommand": "status", "unitid": "abcd1234", "knownstate": 1},
        WorkStatus("abcd1234", State.RUNNING),
    ),
    (
        {"command": "work", "subcommand": "status", "unitid": "abcd1234", "knownstate": 0, "startpos": 0},
        WorkStatus("abcd1234", State.PENDING, 0),
    ),
    (
        {"command": "work", "subcommand": "status", "unitid": "abcd1234", "startpos": "7"},
        WorkStatus("abcd1234", None, 7),
    ),
    (
        {"command": "work", "subcommand": "status", "unitid": "abcd1234", "knownstate": 1, "knownsize": 7},
        WorkStatus("abcd1234", State.RUNNING, known_size=7),
    ),
    ({"command": "work", "subcommand": "status", "unitid": "abcd1234", "startpos": None}, WorkStatus("abcd1234")),
    ({"command": "work", "subcommand": "cancel", "unitid": "abcd1234"}, WorkCancel("abcd1234")),
    (
        {"command": "work", "subcommand": "cancel", "unitid": "abcd1234", "signature": "token"},
        WorkCancel("abcd1234", "token"),
    ),
    ({"command": "work", "subcommand": "release", "unitid": "abcd1234"}, WorkRelease("abcd1234")),
    (
        {"command": "work", "subcommand": "force-release", "unitid": "abcd1234", "signature": "token"},
        WorkRelease("abcd1234", "token", force=True),
    ),
    ({"command": "work", "subcommand": "results", "unitid": "abcd1234"}, WorkResults("abcd1234")),
    (
        {"command": "work", "subcommand": "results", "unitid": "abcd1234", "startpos": 7, "signature": "token"},
        WorkResults("abcd1234", 7, "token"),
    ),
    ({"command": "work", "subcommand": "results", "unitid": "abcd1234", "startpos": "7"}, WorkResults("abcd1234", 7)),
    ({"command": "work", "subcommand": "results", "unitid": "abcd1234", "startpos": 7.0}, WorkResults("abcd1234", 7)),
    (
        {"command": "work", "subcommand": "submit", "node": "bar", "worktype": "cat"},
        WorkSubmit(node="bar", work_type="cat"),
    ),
    (
        {
            "command": "work",
            "subcommand": "submit",
            "node": "bar",
            "worktype": "echo",
            "tlsclient": "secure",
            "ttl": "1h30m",
            "signwork": "true",
            "signature": "token",
            "idempotencykey": "k1",
            "unitname": "Nächtlicher Lauf",
            "params": "a b",
            "secret_key": "hush",
            "": "a parameter without a name",
        },
        WorkSubmit(
            node="bar",
            work_type="echo",
            tls_client="secure",
            ttl="1h30m",
            sign_work=True,
            signature="token",
            idempotency_key="k1",
            name="Nächtlicher Lauf",
            parameters={"params": "a b", "secret_key": "hush", "": "a parameter without a name"},
        ),
    ),
    (
        {"command": "work", "subcommand": "submit", "node": "bar", "worktype": "cat", "signwork": "False"},
        WorkSubmit(node="bar", work_type="cat"),
    ),
]


@pytest.mark.parametrize("line", WORDS)
def test_words(line: str) -> None:
    assert parse(line.encode()) == WORDS[line]


@pytest.mark.parametrize(("fields", "command"), JSON, ids=[json.dumps(fields) for fields, _ in JSON])
def test_json(fields: dict[str, object], command: Command) -> None:
    assert parse(json.dumps(fields).encode()) == command


@pytest.mark.parametrize(
    ("line", "reason"),
    {
        "": "Unknown command ''",
        "nonsense": "Unknown command 'nonsense'",
        " status": "Unknown command ''",
        "status\t": "Unknown command",
        "status NodeID": "status takes no parameters",
        "ping": "ping takes one node id",
        "ping a b": "ping takes one node id",
        "traceroute": "traceroute takes one node id",
        "connect": "connect takes a node and a service",
        "connect lone": "connect takes a node and a service",
        "connect lone control tls more": "connect takes a node and a service",
        "multiplex now": "Unknown command 'multiplex'",
        "work": "work takes a subcommand: submit, list",
        "work nonsense": "Unknown command work 'nonsense'",
        "work submit": "work submit takes a node and a work type",
        "work submit localhost": "work submit takes a node and a work type",
        "work list a b": "work list takes one unit id",
        "work status": "work status takes one unit id",
        "work cancel": "work cancel takes one unit id",
        "work release": "work release takes one unit id",
        "work force-release": "work force-release takes one unit id",
        "work force-release a b": "work force-release takes one unit id",
        "work results": "work results takes one unit id",
        "work results a b c": "work results takes one unit id",
        "work results a b": "start position must be a number",
        "work results a -1": "start position must be a number",
        "work results a ٣": "start position must be a number",
        "work results a 9223372036854775808": "start position must be a number",
        "{not json": "no JSON object",
        "{": "no JSON object",
        "{}": "lacks 'command'",
        '{"command":"status"}{}': "no JSON object",
        '{"no": "command"}': "lacks 'command'",
        '{"command": 5}': "'command' must be a string",
        '{"command": null}': "lacks 'command'",
        '{"command": "nonsense"}': "Unknown command 'nonsense'",
        '{"command": "status", "requested_fields": "NodeID"}': "requested_fields must be a list of strings",
        '{"command": "status", "requested_fields": [1]}': "requested_fields must be a list of strings",
        '{"command": "ping"}': "lacks 'target'",
        '{"command": "ping", "target": ["bar"]}': "'target' must be a string",
        '{"command": "connect", "node": "bar"}': "lacks 'service'",
        '{"command": "work"}': "lacks 'subcommand'",
        '{"command": "work", "subcommand": "nonsense"}': "Unknown command work 'nonsense'",
        '{"command": "work", "subcommand": "status"}': "lacks 'unitid'",
        '{"command": "work", "subcommand": "status", "unitid": 5}': "'unitid' must be a string",
        '{"command": "work", "subcommand": "status", "unitid": "a", "knownstate": 5}': "knownstate must be",
        '{"command": "work", "subcommand": "status", "unitid": "a", "knownstate": "1"}': "knownstate must be",
        '{"command": "work", "subcommand": "status", "unitid": "a", "startpos": -1}': "start position",
        '{"command": "work", "subcommand": "status", "unitid": "a", "startpos": 9223372036854775808}': "start position",
        '{"command": "work", "subcommand": "list", "idempotencykey": 5}': "'idempotencykey' must be a string",
        '{"command": "work", "subcommand": "list", "idempotencykey": "\\n"}': "at most 128 printable ASCII",
        '{"command": "work", "subcommand": "list", "idempotencykey": "%s"}'
        % ("k" * 129): "at most 128 printable ASCII",
        '{"command": "work", "subcommand": "status", "unitid": "a", "knownsize": -1}': "knownsize must be a number",
        '{"command": "work", "subcommand": "results", "unitid": "a", "startpos": true}': "start position",
        '{"command": "work", "subcommand": "results", "unitid": "a", "startpos": 1.5}': "start position",
        '{"command": "work", "subcommand": "results", "unitid": "a", "startpos": 1e300}': "start position",
        '{"command": "work", "subcommand": "results", "unitid": "a", "startpos": null}': "start position",
        '{"command": "work", "subcommand": "submit", "node": "localhost"}': "lacks 'worktype'",
        '{"command": "work", "subcommand": "submit", "worktype": "cat"}': "lacks 'node'",
        '{"command": "work", "subcommand": "submit", "node": "a", "worktype": 7}': "'worktype' is not",
        '{"command": "work", "subcommand": "submit", "node": "a", "worktype": "b", "secret_n": 7}': "'secret_n' is not",
        '{"command": "work", "subcommand": "submit", "node": "a", "worktype": "b", "signwork": "1"}': "signwork must",
        '{"command": "work", "subcommand": "submit", "node": "a", "worktype": "b", "unitname": "%s"}'
        % ("n" * 129): "unitname must be at most 128 printable characters",
        '{"command": "work", "subcommand": "submit", "node": "a", "worktype": "b", "unitname": "\\n"}': "unitname must",
        '{"command": "work", "subcommand": "submit", "node": "a", "worktype": "b", "unitname": 7}': "'unitname' is not",
        '{"command": "ping", "target": "\\ud800"}': "no JSON object",
    }.items(),
)
def test_malformed_lines_are_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(CommandError) as refusal:
        parse(line.encode())
    assert reason in str(refusal.value)


@pytest.mark.parametrize("unit", ["../outside", "..", ".", "a/b", "/etc", "x\0y", "../../../../tmp", "", "a" * 5000])
@pytest.mark.parametrize("verb", ["status", "cancel", "release", "force-release", "results", "list"])
def test_unit_ids_are_single_path_components(unit: str, verb: str) -> None:
    fields = {"command": "work", "subcommand": verb, "unitid": unit, "startpos": 0}
    with pytest.raises(CommandError, match="unknown work unit"):
        parse(json.dumps(fields).encode())


@pytest.mark.parametrize("line", [b"x" * 1_000_000, b'{"command": "%b"}' % (b"\\n" * 1000), b"\xff\xfe\n"])
def test_an_error_shows_only_a_little_of_the_line(line: bytes) -> None:
    with pytest.raises(CommandError) as refusal:
        parse(line)
    assert len(str(refusal.value)) < 400
    assert str(refusal.value).isprintable()


def test_which_commands_change_something() -> None:
    acting = {type(command) for command in WORDS.values() if not isinstance(command, Multiplex) and acts(command)}
    assert acting == {WorkSubmit, WorkCancel, WorkRelease, Connect, Reload}


def test_secrets_do_not_show() -> None:
    fields = {"command": "work", "signature": "hush1", "unitid": "abcd1234", "node": "bar", "worktype": "cat"}
    for verb in ("cancel", "release", "results"):
        assert "hush" not in repr(parse(json.dumps(fields | {"subcommand": verb}).encode()))
    submit = parse(json.dumps(fields | {"subcommand": "submit", "secret_a": "hush2", "params": "hush3"}).encode())
    assert "cat" in repr(submit)
    assert "hush" not in repr(submit)


def test_a_value_of_the_wrong_type_does_not_show() -> None:
    fields = {"command": "work", "subcommand": "submit", "node": "a", "worktype": "b", "secret_pin": 314159265}
    with pytest.raises(CommandError) as refusal:
        parse(json.dumps(fields).encode())
    assert "314159265" not in str(refusal.value)


HEADS = [
    b"",
    b"{",
    b'{"command":',
    b'{"command":"work","subcommand":',
    b"work ",
    b"work results a ",
    b"status",
    b"ping ",
]


@given(st.sampled_from(HEADS), st.binary())
@example(b"", b"[" * 100_000)
@example(b'{"command":', b"[" * 100_000)
@example(b'{"command":"status","x":', b"9" * 5000 + b"}")
@example(b'{"command":"work","subcommand":"results","unitid":"a","startpos":', b"9" * 400 + b"}")
@example(b'{"command":"status","x":', b"1e999}")
@example(b'{"command":"status","x":', b"-1e999999999}")
@example(b"work results a ", b"9" * 5000)
def test_any_bytes_are_a_command_or_refused(head: bytes, tail: bytes) -> None:
    try:
        parse(head + tail)
    except CommandError as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017 (both ways are right)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["status", "work", "submit"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(["command", "subcommand", "target", "node", "service", "unitid", "startpos", "requested_fields"])


@given(st.dictionaries(keys | st.text(), json_values))
def test_any_json_object_is_a_command_or_refused(fields: dict[str, object]) -> None:
    try:
        parse(json.dumps(fields).encode())
    except CommandError as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017 (both ways are right)
