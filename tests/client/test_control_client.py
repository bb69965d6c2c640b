from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from fake_control import FakeNode, Peer, answering

from receptor.client.address import UnixAddress
from receptor.client.control_client import ControlClient
from receptor.client.operations import results_error
from receptor.client.replies import Hop
from receptor.client.submission import Submission
from receptor.client.unit_replies import UnitState, UnitStatus
from receptor.errors import (
    CommandError,
    ConfigurationError,
    OperatingError,
    PeerError,
    UnknownUnit,
    UnknownWorkType,
    UnreachableError,
)

CREATED = "Work unit created with ID abcd1234. Send stdin data and EOF."


def client_of(node: FakeNode) -> ControlClient:
    return ControlClient(UnixAddress(node.path))


def test_many_commands_use_one_connection(node: FakeNode) -> None:
    pong = {"Success": True, "From": "bar", "Time": 5, "TimeStr": "5ns"}
    hops = {"1": {"From": "bar", "TimeStr": "2ms"}, "0": {"From": "foo", "TimeStr": "1ms"}}
    node.plays(answering({"Version": "1.2"}, pong, hops, {"Success": False, "Error": "no"}, {}, {}, {"State": 1}))
    with client_of(node) as client:
        assert client.version() == "1.2"
        assert client.ping("bar").time_text == "5ns"
        assert client.traceroute("bar") == [Hop(0, "foo", "1ms", ""), Hop(1, "bar", "2ms", "")]
        assert client.reload().error == "no"
        assert client.units() == {}
        assert client.units("a1") == {}
        assert client.unit_status("a1") == {"State": 1}
    assert node.commands == [
        {"command": "status", "requested_fields": ["Version"]},
        {"command": "ping", "target": "bar"},
        {"command": "traceroute", "target": "bar"},
        {"command": "reload"},
        {"command": "work", "subcommand": "list"},
        {"command": "work", "subcommand": "list", "unitid": "a1"},
        {"command": "work", "subcommand": "status", "unitid": "a1"},
    ]


def test_refusals_have_types(node: FakeNode) -> None:
    node.plays(answering("ERROR: unknown work unit a1", "ERROR: out of paper", "ERROR: Unknown command"))
    with client_of(node) as client:
        with pytest.raises(UnknownUnit) as unknown:
            client.unit_status("a1")
        assert unknown.value.unit_id == "a1"
        with pytest.raises(CommandError, match=r"^out of paper$"):
            client.status()
        with pytest.raises(CommandError, match=r"^Unknown command$"):
            client.reload()


@pytest.mark.parametrize("answer", ["", "hello", "[1]", "5", "null", "[" * 100_000, '{"a":'])
def test_an_answer_that_is_no_json_object(node: FakeNode, answer: str) -> None:
    node.plays(answering(answer))
    with client_of(node) as client, pytest.raises(PeerError, match="is not"):
        client.status()


def test_the_node_hangs_up_instead_of_an_answer(node: FakeNode) -> None:
    node.plays(Peer.greet)
    with client_of(node) as client, pytest.raises(UnreachableError, match=r"status|broke"):
        client.status()


def test_an_answer_that_does_not_come(node: FakeNode) -> None:
    def silent(peer: Peer) -> None:
        peer.greet()
        peer.command()
        assert peer.rest() == b""

    node.plays(silent)
    with client_of(node) as client, pytest.raises(UnreachableError, match="did not send the answer to work list"):
        client.ask({"command": "work", "subcommand": "list"}, seconds=0.01)


@pytest.mark.parametrize("outcome", ["cancelled", "cancel pending"])
def test_ending_a_unit(node: FakeNode, outcome: str) -> None:
    node.plays(answering({outcome: "a1"}, {"elsewhere": "b2"}))
    with client_of(node) as client:
        assert client.end_unit("cancel", "a1") == outcome
        with pytest.raises(PeerError, match="does not say what became of unit a1"):
            client.end_unit("cancel", "a1")


def test_another_nodes_control_service(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Connecting\nReceptor Control, node bar")
        peer.command()
        peer.say('{"a1": {}}')

    node.plays(session)
    with client_of(node) as client:
        client.go_to("bar", "mytls")
        assert client.units() == {"a1": {}}
    assert node.commands[0] == {"command": "connect", "node": "bar", "service": "control", "tls": "mytls"}


STATUS = "; 'receptorctl status' shows the routes and services that it knows"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("no route to node", STATUS),
        ("service unknown: echo on bar", STATUS),
        (
            "insecure connection to secure service: it wants TLS, so name a tls-client",
            "; name one that this node has (--tls-client, in Python tls_client=)",
        ),
        ("the far end's certificate is not accepted: it has expired", ""),
        ("there is no tls-client 'mytls' on this node", ""),
    ],
)
def test_a_service_that_can_not_be_reached(node: FakeNode, reason: str, advice: str) -> None:
    node.plays(answering(f"ERROR: {reason}"))
    with client_of(node) as client, pytest.raises(CommandError) as told:
        client.bridge("bar", "echo")
    assert str(told.value) == f"fake can't connect to the service echo of bar: {reason}{advice}"


def test_submit_with_every_choice(node: FakeNode) -> None:
    submission = Submission("sort", "bar", "mytls", "1h", sign=True, params={"params": "-r", "secret_word": "hush"})
    payloads: list[bytes] = []

    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        payloads.append(peer.rest())
        peer.say('{"unitid": "abcd1234", "result": "Job Submitted"}')

    node.plays(session)
    with client_of(node) as client:
        upload = client.submit(submission)
        upload.send(b"one ")
        upload.send(b"two")
        submitted = upload.finish()
    assert (submitted.unit_id, submitted.result) == ("abcd1234", "Job Submitted")
    assert payloads == [b"one two"]
    assert node.commands == [
        {
            "command": "work",
            "subcommand": "submit",
            "node": "bar",
            "worktype": "sort",
            "tlsclient": "mytls",
            "ttl": "1h",
            "signwork": "true",
            "params": "-r",
            "secret_word": "hush",
        }
    ]
    assert "hush" not in repr(submission)


@pytest.mark.parametrize("name", ["command", "subcommand", "node", "worktype", "ttl"])
def test_a_parameter_can_not_replace_what_is_set(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}' can't be a parameter"):
        Submission("sort", ttl="1h", params={name: "x"}).command()


def test_submit_refused_at_once(node: FakeNode) -> None:
    node.plays(answering("ERROR: unknown work type sort", "Good day"))
    with client_of(node) as client:
        with pytest.raises(UnknownWorkType, match="unknown work type sort"):
            client.submit(Submission("sort"))
        with pytest.raises(PeerError, match="'Good day'"):
            client.submit(Submission("sort"))


def test_a_unit_that_could_not_be_started_is_named(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        peer.rest()
        peer.say("ERROR: no such program")

    node.plays(session)
    with client_of(node) as client:
        upload = client.submit(Submission("sort"))
        with pytest.raises(CommandError, match=r"unit abcd1234 was created, but .*: no such program"):
            upload.finish()


def test_a_payload_refused_midway_gives_the_nodes_reason(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        peer.some(10)
        peer.say("ERROR: disk full")

    node.plays(session)
    with client_of(node) as client:
        upload = client.submit(Submission("sort"))
        with pytest.raises(CommandError, match="disk full"):
            upload.send(b"x" * 10_000_000)


def test_a_connection_that_breaks_within_the_payload(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        peer.some(10)

    node.plays(session)
    with client_of(node) as client:
        upload = client.submit(Submission("sort"))
        with pytest.raises(UnreachableError, match="unit abcd1234 got only part of its payload"):
            upload.send(b"x" * 10_000_000)


def test_a_payload_is_passed_on_as_it_comes(node: FakeNode) -> None:
    first_came = threading.Event()
    received: list[bytes] = []

    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        received.append(peer.some(5))
        first_came.set()
        received.append(peer.rest())
        peer.say('{"unitid": "abcd1234", "result": "Job Started"}')

    def feed() -> None:
        os.write(source, b"first")
        assert first_came.wait(10)
        os.write(source, b"second")
        os.close(source)

    node.plays(session)
    sink, source = os.pipe()
    feeder = threading.Thread(target=feed)
    feeder.start()
    with client_of(node) as client, open(sink, "rb") as payload:
        upload = client.submit(Submission("sort"))
        upload.send(payload)
        upload.finish()
    feeder.join()
    assert received == [b"first", b"second"]


def test_a_payload_from_a_descriptor_that_does_not_block(node: FakeNode) -> None:
    received: list[bytes] = []

    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        os.write(source, b"late")  # the client has found the pipe empty, or will not
        os.close(source)
        received.append(peer.rest())
        peer.say('{"unitid": "abcd1234", "result": "Job Started"}')

    node.plays(session)
    sink, source = os.pipe()
    os.set_blocking(sink, False)
    with client_of(node) as client, open(sink, "rb") as payload:
        upload = client.submit(Submission("sort"))
        upload.send(payload)
        upload.finish()
    assert received == [b"late"]


def test_a_payload_that_can_not_be_read(node: FakeNode, tmp_path: Path) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        peer.rest()

    node.plays(session, answering({"released": "abcd1234"}))
    with client_of(node) as client, open(tmp_path / "write-only", "wb") as payload:
        upload = client.submit(Submission("sort"))
        with pytest.raises(OperatingError, match="can't read the payload to its end: Bad file descriptor"):
            upload.send(payload)
        upload.abandon()


def test_an_abandoned_unit_is_released_while_the_node_still_waits_for_the_payload(node: FakeNode) -> None:
    released = threading.Event()

    def upload_session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        assert peer.rest() == b"half"
        assert released.is_set()

    def release_session(peer: Peer) -> None:
        peer.greet()
        assert peer.command() == {"command": "work", "subcommand": "release", "unitid": "abcd1234"}
        released.set()
        peer.say('{"released": "abcd1234"}')

    node.plays(upload_session, release_session)
    with client_of(node) as client:
        upload = client.submit(Submission("sort"))
        upload.send(b"half")
        upload.abandon()


def test_an_abandoned_unit_with_a_key_is_not_released_as_it_may_run_already(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        assert peer.rest() == b"half"

    node.plays(session)
    with client_of(node) as client:
        upload = client.submit(Submission("sort", idempotency_key="k1"))
        upload.send(b"half")
        upload.abandon()
    assert [command["subcommand"] for command in node.commands] == ["submit"]


def test_results_as_they_come(node: FakeNode) -> None:
    got_first = threading.Event()

    def session(peer: Peer) -> None:
        peer.greet()
        assert peer.command() == {"command": "work", "subcommand": "results", "unitid": "a1", "startpos": 7}
        peer.send(b"Streaming results for work unit a1\nfirst\0")
        assert got_first.wait(10)
        peer.send(b"\xff\nlast")

    node.plays(session, answering({"State": 2}))
    with client_of(node) as client:
        stream = client.results("a1", 7)
        assert next(stream) == b"first\0"
        got_first.set()
        assert b"".join(stream) == b"\xff\nlast"
        assert client.unit_status("a1") == {"State": 2}


def test_results_of_an_unknown_unit(node: FakeNode) -> None:
    node.plays(answering("ERROR: unknown work unit a1"))
    with client_of(node) as client, pytest.raises(UnknownUnit):
        next(client.results("a1"))


@pytest.mark.parametrize(
    ("state", "received", "complaint"),
    [
        (1, 5, "after 5 bytes, but the unit goes on"),
        (2, 5, "after 5 of 6 bytes"),
        (3, 5, "after 5 of 6 bytes"),
        (2, 6, ""),
        (4, 7, ""),
    ],
)
def test_a_stream_of_results_that_ends_too_early(state: int, received: int, complaint: str) -> None:
    error = results_error(UnitStatus(UnitState(state), "", 6), received)
    assert complaint in error
    assert bool(error) == bool(complaint)
