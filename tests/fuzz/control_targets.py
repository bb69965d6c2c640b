"""What clients write to a node, and what they and other nodes read from one."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import TypeVar

import msgspec
from fuzz.damage import damaged, like, noise, numbers, texts, without_path
from fuzz.fuzzing import target
from hypothesis import strategies as st
from scripted_stream import ScriptedSession, ScriptedStream

from receptor.client.address import UnixAddress
from receptor.client.connection import Connection
from receptor.client.control_client import ControlClient
from receptor.client.replies import NodeStatus
from receptor.client.submission import Submission
from receptor.client.unit_replies import UnitStatus
from receptor.control.commands import (
    Command,
    Connect,
    FollowEvents,
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
    parse,
)
from receptor.errors import CommandError, PeerError, ReceptorError, UnreachableError
from receptor.identifiers import is_unit_id
from receptor.workceptor import conversations, numbered
from receptor.workceptor.environment import parse_environment
from receptor.workceptor.records import ExitRecord
from receptor.workceptor.remote import RemoteUnit
from receptor.workceptor.status import RemoteExtra, Report, State, Status, answer, decode_status, encode_status

T = TypeVar("T")

LINES = [
    b"status",
    b"ping bar",
    b"traceroute bar",
    b"connect bar control tls",
    b"reload",
    b"events",
    b"work list",
    b"work submit bar echo -n two words",
    b"work status abcd1234",
    b"work cancel abcd1234",
    b"work force-release abcd1234",
    b"work results abcd1234 1048576",
    b'{"command":"status","requested_fields":["NodeID"]}',
    b'{"command":"work","subcommand":"submit","node":"bar","worktype":"echo","params":"a","ttl":"1h","signwork":"true"}',
    b'{"command":"work","subcommand":"results","unitid":"abcd1234","startpos":7,"signature":"hush"}',
]
NAMES = ["status", "ping", "traceroute", "connect", "reload", "events", "multiplex", "work"]
SUBCOMMANDS = ["submit", "list", "status", "results", "cancel", "release", "force-release"]
unit_ids = st.sampled_from(["abcd1234", "A-b_9", "../x", "a/b", ".", "x\0y", "-a", ""]) | texts
json_lines = like(
    {
        "command": st.just("work") | st.sampled_from(NAMES),
        "subcommand": st.sampled_from(SUBCOMMANDS),
        "node": texts,
        "worktype": texts,
        "service": texts,
        "target": texts,
        "unitid": unit_ids,
        "signature": st.just("hush"),
        "startpos": numbers | numbers.map(str),
        "knownsize": numbers | numbers.map(str),
        "knownstate": st.integers(0, 4) | numbers,
        "signwork": st.sampled_from(["true", "False"]),
        "idempotencykey": texts | st.just("k" * 129),
        "unitname": texts | st.just("n" * 129),
    }
)
word_lines = st.lists(
    st.sampled_from([*NAMES, *SUBCOMMANDS, "", "abcd1234", "../x", "7", "-1", "٣"]) | texts, max_size=6
).map(lambda words: " ".join(words).encode())


@target("control-lines", 1000, damaged(LINES) | json_lines | word_lines)
def control_lines_target(line: bytes) -> None:
    """A control line is a command, which can be written again, or is refused in a line of text."""
    try:
        command = parse(line)
    except CommandError as error:
        assert str(error).isprintable()  # noqa: PT017 (both ways are right)
        assert len(without_path(str(error))) < 400  # noqa: PT017
        return
    assert "hush" not in repr(command)
    assert parse(json.dumps(_written(command)).encode()) == command
    unit_id = getattr(command, "unit_id", None)
    assert unit_id is None or is_unit_id(unit_id)
    assert not isinstance(command, WorkResults) or 0 <= command.start < 2**63


variables = st.dictionaries(st.sampled_from(["TOKEN", "_", "9", "RECEPTOR_UNIT", "a=b"]) | texts, texts, max_size=4)
ENVIRONMENTS = [b"{}", b'{"TOKEN":"hush","HOME":"/root"}', b'{"A":1}', b"[]"]


@target("environments", 1000, damaged(ENVIRONMENTS) | variables.map(lambda given: json.dumps(given).encode()))
def environments_target(raw: bytes) -> None:
    """A ``secret_env`` is what a process can have in its environment, or is refused without a word of the values."""
    text = raw.decode(errors="replace")
    try:
        environment = parse_environment(text)
    except CommandError as error:
        assert "hush" not in str(error)  # noqa: PT017 (both ways are right)
        assert len(str(error)) < 400  # noqa: PT017
        return
    assert parse_environment(json.dumps(environment)) == environment
    assert all(name.isascii() and name.isidentifier() for name in environment)
    assert not any(name.startswith("RECEPTOR_") or "\0" in value for name, value in environment.items())


def _written(command: Command | Multiplex) -> dict[str, object]:
    """The command as a client writes it."""
    work: dict[str, object] = {"command": "work"}
    match command:
        case ShowStatus(fields):
            return {"command": "status", "requested_fields": fields}
        case Ping(node):
            return {"command": "ping", "target": node}
        case Traceroute(node):
            return {"command": "traceroute", "target": node}
        case Connect(node, service, tls):
            return {"command": "connect", "node": node, "service": service, "tls": tls}
        case Reload():
            return {"command": "reload"}
        case FollowEvents():
            return {"command": "events"}
        case Multiplex():
            return {"command": "multiplex"}
        case WorkList(None, key):
            return work | {"subcommand": "list", "idempotencykey": key}
        case WorkList(unit_id):
            return work | {"subcommand": "list", "unitid": unit_id}
        case WorkStatus(unit_id, known, start, size):
            state = None if known is None else known.value
            numbers_told = {"knownstate": state, "startpos": start, "knownsize": size}
            told = {key: value for key, value in numbers_told.items() if value is not None}
            return work | {"subcommand": "status", "unitid": unit_id} | told
        case WorkCancel(unit_id, signature):
            return work | {"subcommand": "cancel", "unitid": unit_id, "signature": signature}
        case WorkRelease(unit_id, signature, force):
            verb = "force-release" if force else "release"
            return work | {"subcommand": verb, "unitid": unit_id, "signature": signature}
        case WorkResults(unit_id, start, signature):
            return work | {"subcommand": "results", "unitid": unit_id, "startpos": start, "signature": signature}
        case WorkSubmit():
            given = {"node": command.node, "worktype": command.work_type, "tlsclient": command.tls_client}
            given |= {"idempotencykey": command.idempotency_key, "unitname": command.name}
            given |= {"ttl": command.ttl, "signwork": str(command.sign_work), "signature": command.signature}
            return {**work, "subcommand": "submit", **given, **command.parameters}


NODE_STATUS = (
    b'{"Advertisements":[{"NodeID":"a","Service":"control","ConnType":1,"Time":"2026-11-23T18:23:43Z","Tags":null,'
    b'"WorkCommands":[{"WorkType":"echo","Secure":false}]}],"Connections":[{"NodeID":"b","Cost":1}],'
    b'"KnownConnectionCosts":{"a":{"b":1.5}},"NodeID":"a","RoutingTable":{"b":"b"},"SystemCPUCount":2,'
    b'"SystemMemoryMiB":7,"Version":"1"}'
)
UNIT_STATUS = (
    b'{"State":2,"StateName":"Succeeded","Detail":"exit status 0","StdoutSize":4,"WorkType":"remote","ExtraData":'
    b'{"RemoteNode":"b","RemoteWorkType":"echo","RemoteParams":{},"RemoteUnitID":"abcd1234","RemoteStarted":true}}'
)
ANSWERS = [
    NODE_STATUS,
    UNIT_STATUS,
    b'{"abcd1234":' + UNIT_STATUS + b"}",
    b'{"Success":true,"From":"b","Time":7,"TimeStr":"7ns"}',
    b'{"0":{"From":"a","Time":7,"TimeStr":"7ns"},"1":{"From":"b","Time":7,"TimeStr":"7ns","Error":"x"}}',
    b'{"Success":false,"Error":"ERRORCODE 3"}',
    b'{"unitid":"abcd1234","result":"Job Started"}',
    b'{"cancelled":"abcd1234"}',
    b"Work unit created with ID abcd1234. Send stdin data and EOF.",
    b"Streaming results for work unit abcd1234",
    b"Connecting",
    b"ERROR: unknown work unit abcd1234",
    b"ERROR: unknown work type x",
    b"Receptor Control, node b",
]
moments = st.sampled_from(["2026-11-23T18:23:43.5Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "now"])
ends = st.fixed_dictionaries(
    {
        "ExitCode": st.none() | st.integers(-1, 300),
        "Signal": st.none() | st.integers(-1, 300),
        "Started": moments,
        "Ended": moments,
        "UserSeconds": st.floats(allow_nan=False, allow_infinity=False),
        "SystemSeconds": st.just(0.5),
        "PeakMemory": st.integers(0, 2**63),
    }
)
state_answers = like(
    {
        "State": st.integers(0, 4),
        "StateName": texts,
        "Detail": st.sampled_from(["Unit Created", "exit status 0"]) | texts,
        "StdoutSize": st.integers(0, 2**63),
        "WorkType": st.sampled_from(["remote", "echo"]),
        "ExtraData": st.none() | st.fixed_dictionaries({"Pid": numbers}),
        "Process": st.none() | ends,
        "IdempotencyKey": texts,
    }
)
answers = st.lists(
    st.one_of(st.sampled_from(ANSWERS), damaged(ANSWERS), state_answers, state_answers).map(lambda line: line + b"\n")
    | noise,
    max_size=4,
)


class ClientOfScript(ControlClient):
    """A client whose node has said everything already and then closed its direction."""

    def __init__(self, script: bytes) -> None:
        super().__init__(UnixAddress("/script"))
        ours, self._theirs = socket.socketpair()
        self._theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(script) + 4096)
        self._theirs.sendall(script)
        self._theirs.shutdown(socket.SHUT_WR)
        self._connection = Connection(ours, UnixAddress("/script"))

    def connect(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def close(self) -> None:
        super().close()
        self._theirs.close()


def _submitted(client: ControlClient) -> object:
    upload = client.submit(Submission("echo"))
    upload.send(b"payload")
    return upload.finish()


QUESTIONS: dict[str, Callable[[ControlClient], object]] = {
    "greeting": lambda client: client.connect().read_greeting(),
    "status": lambda client: NodeStatus.parse(client.status()),
    "version": lambda client: client.version(),
    "ping": lambda client: client.ping("b"),
    "traceroute": lambda client: client.traceroute("b"),
    "reload": lambda client: client.reload(),
    "units": lambda client: client.units(),
    "unit status": lambda client: UnitStatus.parse(client.unit_status("abcd1234")),
    "cancel": lambda client: client.end_unit("cancel", "abcd1234"),
    "submit": _submitted,
    "results": lambda client: b"".join(client.results("abcd1234")),
    "bridge": lambda client: client.bridge("b", "control").close(),
    "go to": lambda client: client.go_to("b"),
}


@target("client-answers", 500, st.sampled_from(sorted(QUESTIONS)), answers)
def client_answers_target(question: str, script: list[bytes]) -> None:
    """Whatever a node answers, the client understands it or raises one of the project's errors."""
    client = ClientOfScript(b"".join(script))
    connection = client.connect()
    try:
        QUESTIONS[question](client)
    except ReceptorError as error:
        assert str(error)  # noqa: PT017 (both ways are right)
    finally:
        connection.close()
        client.close()


NUMBERED = [
    b'1 0 {"command":"status"}\n',
    b'2 6 {"command":"work","subcommand":"submit","node":"localhost","worktype":"cat"}\nhello\n',
    b"3 0 work status abcd1234\n4 0 work list\n",
    b'2 5 {"State":1}\nabcde',
]


@target("numbered-messages", 1000, damaged(NUMBERED))
def numbered_messages_target(data: bytes) -> None:
    """Numbered messages are read as they were written, or end their session as broken or not understood."""
    stream = ScriptedStream(*([data] if data else []))
    read = b""
    try:
        while (message := _finish(numbered.read(stream, 200))) is not None:
            assert len(message.attached) <= numbered.MOST_ATTACHED
            read += numbered.encode(message)
    except (ConnectionError, PeerError):
        return
    assert _without_zeros(read) == _without_zeros(data)


def _without_zeros(data: bytes) -> bytes:
    """Numbers may be written with zeros before them."""
    return data.replace(b"0", b"")


REMOTE = RemoteExtra(remote_node="b", remote_work_type="echo", remote_params={"params": "x"}, remote_started=True)
REQUEST = conversations.Request(remote=REMOTE, idempotency_key="key", name="nightly", signature="token")
TALKS = ["greet", "multiplex", "submit", "submit at once", "find", "status", "status", "results", "cancel", "release"]


@target("node-answers", 1000, st.sampled_from(TALKS), answers)
def node_answers_target(talk: str, script: list[bytes]) -> None:
    """Whatever another node answers, a conversation understands it or ends as a broken or refused one."""
    stream = ScriptedStream(*(part for part in script if part))
    try:
        _finish(_talk(talk, stream))
    except (ConnectionError, conversations.Refused, PeerError, UnreachableError) as error:
        assert len(without_path(str(error))) <= conversations.LONGEST_TEXT + 200  # noqa: PT017 (both ways are right)
    for line in stream.lines:
        assert isinstance(json.loads(line), dict)


async def _talk(talk: str, stream: ScriptedStream) -> None:
    made: list[str] = []
    session = ScriptedSession(stream)
    match talk:
        case "greet":
            await conversations.greet(stream, "b")
        case "multiplex":
            await conversations.multiplex(stream)
        case "submit at once":
            assert is_unit_id(await conversations.submit_at_once(session, REQUEST, b"{}"))
        case "find":
            found = await conversations.find(session, "key")
            assert found is None or is_unit_id(found)
        case "submit":
            await conversations.submit(stream, REQUEST, _payload(), _noting(made))
            assert is_unit_id(made[0])
        case "status":
            report, _ = await conversations.ask_status(session, "abcd1234")
            _follow(report)
        case "results":
            async with aclosing(conversations.results(stream, "abcd1234", 0, "")) as output:
                async for data in output:
                    assert data
        case "cancel":
            await conversations.cancel(session, "abcd1234", "")
        case _:
            await conversations.release(session, "abcd1234", "")


def _follow(report: Report) -> None:
    """What another node says of its unit can be copied into ours, saved and shown."""
    own = Status(state=State.PENDING, detail="", stdout_size=0, work_type="remote", extra=REMOTE)
    unit = RemoteUnit(own, 0)
    unit.status_received(report.status)
    assert unit.status.extra == REMOTE
    assert decode_status(encode_status(unit.status)) == unit.status
    process = None
    if report.process is not None:
        try:
            process = ExitRecord.of(report.process).answer()
        except ValueError:  # as documented
            return
    assert msgspec.json.encode(answer(unit.status, process, report.idempotency_key))


async def _payload() -> AsyncIterator[bytes]:
    yield b"{}\n"


def _noting(made: list[str]) -> Callable[[str], Coroutine[None, None, None]]:
    async def note(unit_id: str) -> None:
        made.append(unit_id)

    return note


def _finish(talk: Coroutine[object, None, T]) -> T:
    """Run what never has to wait, without an event loop."""
    try:
        talk.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("the script made a conversation wait")
