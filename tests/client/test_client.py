"""``Client`` and ``SyncClient``: what both do is shown once for each, what only one can do below."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import os
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from both_clients import OPENERS, Opener
from event_loops import EventLoop
from fake_control import FakeNode, Peer, Session, answering
from receptor_process import Action, NodeProcess, free_port
from receptor_process import node as running_node

from receptor.client import (
    ByteStream,
    Client,
    SyncByteStream,
    SyncClient,
    SyncUnit,
    TlsSettings,
    Unit,
    async_sessions,
    sessions,
)
from receptor.client.payloads import Payload
from receptor.client.sessions import MOST_IDLE
from receptor.client.unit_replies import UnitState
from receptor.errors import (
    CommandError,
    ConfigurationError,
    OperatingError,
    PeerError,
    TimeExpired,
    UnitFailed,
    UnknownUnit,
    UnknownWorkType,
    UnreachableError,
)

ALONE: Action = {"local-only": {}}
CREATED = "Work unit created with ID a1. Send stdin data and EOF."


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Opener:
    """Opens a client of each kind."""
    opener: Opener = OPENERS[request.param]
    return opener


@pytest.fixture(scope="module")
def secured_port() -> int:
    """Where foo's control service listens with TLS."""
    return free_port()


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, certificates: Path, secured_port: int) -> Iterator[NodeProcess]:
    """foo, with bar as its neighbour."""
    port = free_port()
    server = str(certificates / "server.pem")
    secured: list[Action] = [
        {"tls-server": {"name": "secured", "cert": server, "key": server, "skipreceptornamescheck": True}},
        {"control-service": {"service": "secured", "tcplisten": f"127.0.0.1:{secured_port}", "tcptls": "secured"}},
    ]
    folder = tmp_path_factory.mktemp("m")
    commands: list[Action] = [
        {"work-command": {"worktype": "cat", "command": "cat"}},
        {"work-command": {"worktype": "args", "command": "echo", "allowruntimeparams": True}},
        {"work-command": {"worktype": "fail", "command": "bash", "params": "-c 'echo before; exit 7'"}},
        {"work-command": {"worktype": "nap", "command": "bash", "params": "-c 'echo on; exec sleep 600'"}},
    ]
    listener: Action = {"tcp-listener": {"port": port, "bindaddr": "127.0.0.1"}}
    peer: Action = {"tcp-peer": {"address": f"127.0.0.1:{port}"}}
    with (
        running_node(folder, "foo", listener, *secured, *commands) as foo,
        running_node(folder, "bar", peer, *commands),
    ):
        foo.wait_for_route_to("bar")
        yield foo


def test_what_a_node_knows(opened: Opener, mesh: NodeProcess) -> None:
    with opened(str(mesh.socket), timeout=10) as client:
        assert client.node_id == "foo"
        assert client.status().routes == {"bar": "bar"}
        assert client.ping("bar").seconds > 0
        assert [hop.node_id for hop in client.traceroute("bar")] == ["foo", "bar"]
        assert client.reload().success
        assert client.ping("nowhere").error


def test_over_tls_the_end_of_a_payload_leaves_the_answer_readable(
    opened: Opener, mesh: NodeProcess, certificates: Path, secured_port: int
) -> None:
    trusted = TlsSettings(rootcas=str(certificates / "ca.pem"))
    with opened(f"tls://localhost:{secured_port}", tls=trusted) as client:
        unit = client.submit("cat", os.urandom(1000) * 1000)
        assert len(unit.read_stdout()) == 1_000_000
        assert unit.wait().succeeded
    with (
        pytest.raises(ConfigurationError, match="is not trusted"),
        opened(f"tls://localhost:{secured_port}"),
    ):
        pass


@pytest.mark.parametrize("where", ["localhost", "bar"])
def test_work_from_submission_to_release(opened: Opener, mesh: NodeProcess, where: str) -> None:
    with opened(str(mesh.socket)) as client:
        unit = client.submit("cat", b"hello" * 100_000, node=where)
        assert b"".join(unit.stdout(250_000)) == b"hello" * 50_000
        result = unit.wait(timeout=10)
        assert (result.unit_id, result.state, result.exit_code) == (unit.unit_id, UnitState.SUCCEEDED, 0)
        assert (result.stdout_size, result.work_type) == (500_000, "cat")
        assert result.check() is result
        assert client.units()[unit.unit_id].ended
        assert unit.release()
        with pytest.raises(UnknownUnit):
            unit.status()


def test_what_may_be_a_payload(opened: Opener, mesh: NodeProcess, tmp_path: Path) -> None:
    file = tmp_path / "payload"
    file.write_bytes(b"from a file")
    with opened(str(mesh.socket)) as client:
        payloads: list[tuple[Payload, bytes]] = [
            ("grüße", "grüße".encode()),
            (file, b"from a file"),
            (io.BytesIO(b"in memory"), b"in memory"),
            ([b"one ", b"", b"two"], b"one two"),
            (memoryview(b"a view"), b"a view"),
            (b"", b""),
        ]
        for payload, expected in payloads:
            assert client.submit("cat", payload).read_stdout() == expected
        with pytest.raises(OperatingError, match=r"can't read the payload file .*nosuch"):
            client.submit("cat", tmp_path / "nosuch")


def test_what_is_no_payload_leaves_no_unit(opened: Opener, mesh: NodeProcess, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    with opened(str(mesh.socket)) as client, (tmp_path / "text").open() as text_file:
        before = set(client.units())
        with pytest.raises(TypeError, match="consists of bytes, not of str"):
            client.submit("cat", iter(cast(list[bytes], ["text"])))
        with pytest.raises(TypeError, match="open files with 'rb'"):
            client.submit("cat", cast(BinaryIO, text_file))
        assert set(client.units()) == before


def test_work_that_fails(opened: Opener, mesh: NodeProcess) -> None:
    with opened(str(mesh.socket)) as client:
        result = client.submit("fail", node="bar").wait()
        assert (result.succeeded, result.exit_code, result.remote_node) == (False, 7, "bar")
        with pytest.raises(UnitFailed, match=rf"^unit {result.unit_id} on bar failed: exit status 7") as failed:
            result.check()
        assert (failed.value.unit_id, failed.value.exit_code) == (result.unit_id, 7)


def test_a_unit_is_found_again_by_its_id(opened: Opener, mesh: NodeProcess) -> None:
    with opened(str(mesh.socket)) as client:
        unit_id = client.submit("args", params={"params": "one two"}).unit_id
    with opened(str(mesh.socket)) as client:
        unit = client.unit(unit_id)
        assert unit.wait().succeeded
        assert unit.read_stdout() == b"one two\n"


def test_a_wait_that_takes_too_long_leaves_the_unit_running(opened: Opener, mesh: NodeProcess) -> None:
    with opened(str(mesh.socket)) as client:
        unit = client.submit("nap")
        chunks = unit.stdout()
        assert next(chunks) == b"on\n"
        with pytest.raises(TimeExpired, match=f"unit {unit.unit_id} is still Running") as expired:
            unit.wait(timeout=0.05)
        assert isinstance(expired.value, TimeoutError)
        with pytest.raises(TimeoutError, match="go on from byte 3"):
            list(unit.stdout(3, timeout=0.05))
        assert unit.status().state == UnitState.RUNNING
        assert unit.cancel()
        assert list(chunks) == []
        assert unit.wait().state == UnitState.CANCELED
        with pytest.raises(UnitFailed, match="was canceled"):
            unit.wait().check()


def test_the_control_service_of_another_node(opened: Opener, mesh: NodeProcess) -> None:
    with opened(str(mesh.socket)) as client, opened(str(mesh.socket), on="bar") as far:
        assert far.node_id == "bar"
        there = client.submit("cat", b"hi", node="bar")
        there.wait()
        assert far.unit(there.status().remote_unit_id).read_stdout() == b"hi"
        unit = far.submit("cat", b"hello")
        assert unit.wait().check().remote_node == ""
        assert unit.read_stdout() == b"hello"
    with pytest.raises(UnreachableError, match="nowhere"), opened(str(mesh.socket), on="nowhere"):
        pass


def test_a_stream_to_a_service(opened: Opener, mesh: NodeProcess) -> None:
    with opened(str(mesh.socket)) as client:
        stream = client.connect("bar", "control")
        assert stream.read(timeout=10) == b"Receptor Control, node bar\n"
        with pytest.raises(TimeExpired):
            stream.read(timeout=0.01)
        stream.write(b"work list nosuch12\n")
        stream.end_writing()
        assert b"unknown work unit" in stream.read(timeout=10)
        assert stream.read(timeout=10) == b""
        stream.close()
        with pytest.raises(CommandError, match="can't connect to the service nosuch of bar"):
            client.connect("bar", "nosuch")


def test_refusals_have_types(opened: Opener, mesh: NodeProcess) -> None:
    with opened(str(mesh.socket)) as client:
        with pytest.raises(UnknownWorkType):
            client.submit("nosuch")
        with pytest.raises(UnknownUnit):
            client.unit("nosuch12").wait()
        with pytest.raises(UnknownUnit):
            client.unit("nosuch12").read_stdout()


def test_the_same_key_is_the_same_unit(opened: Opener, mesh: NodeProcess) -> None:
    with opened(str(mesh.socket)) as client:
        key = f"key {time.monotonic_ns()}"
        units = {client.submit("cat", b"once", idempotency_key=key).unit_id for _ in range(2)}
        assert len(units) == 1


def test_waits_and_output_survive_a_restart_of_the_node(opened: Opener, short_folder: Path) -> None:
    go_on = short_folder / "go-on"
    script = f"echo before; until [ -e {go_on} ]; do sleep 0.02; done; echo after"
    work: Action = {"work-command": {"worktype": "slow", "command": "bash", "params": f"-c '{script}'"}}
    with running_node(short_folder, "foo", work, ALONE) as foo, opened(str(foo.socket)) as client:
        unit = client.submit("slow")
        output = unit.stdout()
        assert next(output) == b"before\n"
        foo.end(signal.SIGKILL)
        again = threading.Thread(target=foo.start_again)
        again.start()
        go_on.touch()
        assert b"".join(output) == b"after\n"
        assert unit.wait().succeeded
        again.join()


def test_no_node_at_that_address(opened: Opener, tmp_path: Path) -> None:
    with pytest.raises(OperatingError, match="there is no socket"), opened(str(tmp_path / "nosuch.sock")):
        pass


# Nodes that do what real ones seldom do


def test_a_unit_of_an_existing_node_is_asked_for_again(opened: Opener, node: FakeNode) -> None:
    """It knows no ``knownstate`` and answers at once."""
    states = [{"State": state, "Detail": "exit status 3"} for state in (0, 0, 1, 1, 1, 3)]
    node.plays(answering(*states))
    with opened(node.path) as client:
        result = client.unit("a1").wait(timeout=10)
    assert (result.state, result.exit_code, result.process) == (UnitState.FAILED, 3, None)
    assert len(node.commands) == 6


def test_output_over_connections_that_break(opened: Opener, node: FakeNode) -> None:
    node.plays(streaming(b"one "), answering({"State": 1}), streaming(b"two"), answering({"State": 2, "StdoutSize": 7}))
    with opened(node.path) as client:
        assert list(client.unit("a1").stdout(1)) == [b"one ", b"two"]
    starts = [str(command["startpos"]) for command in node.commands if command["subcommand"] == "results"]
    assert starts == ["1", "5"]


def test_a_node_that_stays_away_is_given_up(opened: Opener, node: FakeNode) -> None:
    node.plays(answering({"State": 1}))
    with opened(node.path, patience=0.01) as client:
        unit = client.unit("a1")
        os.rename(node.path, f"{node.path}.away")
        try:
            with pytest.raises((OperatingError, UnreachableError), match=r"there is no socket|broke|closed"):
                unit.wait()
        finally:
            os.rename(f"{node.path}.away", node.path)


def test_the_time_of_a_call(opened: Opener, node: FakeNode) -> None:
    node.plays(silent, silent)
    with opened(node.path, timeout=0.2) as client:
        with pytest.raises(TimeExpired, match=r"did not send the answer to status within 0\.2 s"):
            client.status()
        with pytest.raises(TimeExpired, match=r"within 0\.01 s"):
            client.ping("bar", timeout=0.01)


def test_a_submission_whose_time_is_over_leaves_no_unit(opened: Opener, node: FakeNode) -> None:
    released = threading.Event()
    node.plays(taking_payload(released), releasing(released))
    with opened(node.path) as client, pytest.raises(TimeExpired):
        client.submit("cat", b"all of it", timeout=0.5)


def test_a_submission_that_the_node_refuses_midway(opened: Opener, node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        peer.some(10)
        peer.say("ERROR: disk full")

    node.plays(session)
    with opened(node.path) as client, pytest.raises(CommandError, match="disk full"):
        client.submit("cat", (b"x" * 100_000 for _ in range(1000)))


def test_a_kept_connection_that_the_node_has_closed_is_not_used(opened: Opener, node: FakeNode) -> None:
    ended = threading.Event()

    def first(peer: Peer) -> None:
        answering({"NodeID": "fake"})(peer)
        peer.hang_up()
        ended.set()

    node.plays(first, answering({"NodeID": "fake"}))
    with opened(node.path) as client:
        client.status()
        assert ended.wait(10)
        assert client.status().node_id == "fake"


def test_after_its_end_a_client_keeps_no_connection(opened: Opener, node: FakeNode) -> None:
    ended = threading.Semaphore(0)

    def session(peer: Peer) -> None:
        peer.greet()
        for _ in peer.each_command():
            peer.say('{"NodeID": "fake"}')
        ended.release()

    node.plays(session, session, session)
    with opened(node.path) as client:
        client.close()
        assert ended.acquire(timeout=10)
        for _ in range(2):
            assert client.status().node_id == "fake"
            assert ended.acquire(timeout=10)


def test_the_time_of_a_call_to_a_node_that_says_a_byte_now_and_then(opened: Opener, node: FakeNode) -> None:
    over = threading.Event()

    def session(peer: Peer) -> None:
        with suppress(ConnectionError):
            while not over.wait(0.01):
                peer.send(b"R")

    node.plays(session)
    try:
        with (
            pytest.raises(TimeExpired, match=r"could not be reached within 0\.1 s"),
            opened(node.path, timeout=0.1),
        ):
            pass
    finally:
        over.set()


def test_a_submission_whose_time_is_over_is_not_held_up_by_a_node_that_says_a_byte_now_and_then(
    opened: Opener, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "TIDY_SECONDS", 0.1)
    monkeypatch.setattr(async_sessions, "TIDY_SECONDS", 0.1)
    over = threading.Event()

    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        with suppress(ConnectionError):
            while not over.wait(0.01):
                peer.send(b"W")

    node.plays(session)
    try:
        with opened(node.path) as client, pytest.raises(TimeExpired, match=r"the id of the new unit within 0\.05 s"):
            client.submit("cat", timeout=0.05)
    finally:
        over.set()


def test_a_wait_in_which_the_node_says_nothing(opened: Opener, node: FakeNode) -> None:
    node.plays(silent)
    with opened(node.path) as client, pytest.raises(TimeExpired, match="nothing was heard of unit a1 after the time"):
        client.unit("a1").wait(timeout=0.05)


def test_a_service_whose_node_answers_nonsense(opened: Opener, node: FakeNode) -> None:
    node.plays(answering("nonsense"))
    with opened(node.path) as client, pytest.raises(PeerError, match="the node answers 'nonsense'"):
        client.connect("bar", "control")


def test_events_as_they_come(opened: Opener, node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        assert peer.command() == {"command": "events"}
        peer.say("Streaming events")
        peer.say(json.dumps({"Event": "link.up", "NodeID": "bar", "Cost": 1.5, "Time": "2026-03-01T10:20:30Z"}))
        peer.say(json.dumps({"Event": "unit.created", "UnitID": "a1", "State": 0, "Name": "nightly"}))

    node.plays(session)
    with opened(node.path) as client:
        events = client.events()
        assert [(event.name, event.node_id, event.cost) for event in (next(events),)] == [("link.up", "bar", 1.5)]
        created = next(events)
        assert (created.unit_id, created.state, created.unit_name) == ("a1", UnitState.PENDING, "nightly")
        with pytest.raises(UnreachableError, match="instead of sending the next event"):
            next(events)


def test_a_node_that_tells_no_events(opened: Opener, node: FakeNode) -> None:
    node.plays(answering("ERROR: Unknown command"))
    with opened(node.path) as client, pytest.raises(CommandError, match="does not tell events"):
        next(client.events())


def test_an_answer_that_can_not_be_understood(opened: Opener, node: FakeNode) -> None:
    node.plays(answering('{"State": 9}'))
    with opened(node.path) as client, pytest.raises(PeerError, match="the State 9, which is none"):
        client.unit("a1").status()


# What only one of them can do


def test_many_commands_at_once(run: EventLoop, mesh: NodeProcess) -> None:
    async def main() -> None:
        async with Client(mesh.socket) as client:
            replies = await asyncio.gather(*(client.ping("bar") for _ in range(3 * MOST_IDLE)))
            assert all(reply.success for reply in replies)
            units = await asyncio.gather(*(client.submit("cat", f"{number}") for number in range(5)))
            assert [result.stdout_size for result in await asyncio.gather(*units)] == [1] * 5

    run(main())


def test_threads_share_a_client(mesh: NodeProcess) -> None:
    successes: list[bool] = []
    with SyncClient(mesh.socket) as client:
        threads = [threading.Thread(target=lambda: successes.append(client.ping("bar").success)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert successes == [True] * 5


def test_a_forked_process_has_connections_of_its_own(node: FakeNode) -> None:
    node.plays(answering({"NodeID": "the parent's"}), answering({"NodeID": "the child's"}))
    with SyncClient(node.path) as client:
        child = os.fork()
        if not child:
            try:
                os._exit(0 if client.status().node_id == "the child's" else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert client.status().node_id == "the parent's"


def test_a_client_shows_where_it_connects_to() -> None:
    assert repr(Client("tcp://localhost:7323")) == "Client('tcp://localhost:7323')"
    assert repr(SyncClient("/run/foo.sock")) == "SyncClient('/run/foo.sock')"


def test_a_payload_that_comes_bit_by_bit(run: EventLoop, mesh: NodeProcess) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            yield b"%d" % number

    async def main() -> None:
        async with Client(mesh.socket) as client:
            unit = await client.submit("cat", numbers())
            assert await unit.read_stdout() == b"012"

    run(main())


def test_a_cancelled_submission_releases_its_unit(run: EventLoop, mesh: NodeProcess) -> None:
    async def main() -> None:
        sent = asyncio.Event()

        async def never_whole() -> AsyncIterator[bytes]:
            yield b"half"
            sent.set()
            await asyncio.Event().wait()

        async with Client(mesh.socket) as client:
            before = set(await client.units())
            submitting = asyncio.create_task(client.submit("cat", never_whole()))
            await sent.wait()
            assert len(set(await client.units()) - before) == 1
            submitting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await submitting
            assert set(await client.units()) == before

    run(main())


def test_a_cancelled_wait_leaves_the_unit_running(run: EventLoop, mesh: NodeProcess) -> None:
    async def main() -> None:
        async with Client(mesh.socket) as client:
            unit = await client.submit("nap")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await unit
            assert not (await unit.status()).ended
            await unit.release()

    run(main())


def test_output_that_nobody_reads_to_its_end_leaves_nothing_behind(run: EventLoop, mesh: NodeProcess) -> None:
    async def main() -> None:
        async with Client(mesh.socket) as client:
            unit = await client.submit("nap")
            async with aclosing(unit.stdout()) as chunks:
                async for chunk in chunks:
                    assert chunk == b"on\n"
                    break
            async for _ in unit.stdout():
                break
            await unit.release()

    run(main())


def test_ctrl_c_within_a_submission_releases_its_unit(mesh: NodeProcess) -> None:
    def interrupted() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with SyncClient(mesh.socket) as client:
        before = set(client.units())
        with pytest.raises(KeyboardInterrupt):
            client.submit("cat", interrupted())
        assert set(client.units()) == before


def test_both_have_the_same_calls() -> None:
    for one, twin in ((Client, SyncClient), (Unit, SyncUnit), (ByteStream, SyncByteStream)):
        names = {name for name in vars(one) if not name.startswith("_")}
        assert names == {name for name in vars(twin) if not name.startswith("_")}
        for name in names:
            first, second = (inspect.signature(getattr(kind, name)) for kind in (one, twin))
            for given, likewise in zip(first.parameters.values(), second.parameters.values(), strict=True):
                assert str(given).replace("AsyncPayload", "Payload") == str(likewise), name
            assert _without_asyncio(str(first.return_annotation)) == str(second.return_annotation), name


def _without_asyncio(annotation: str) -> str:
    """What the twin has instead."""
    annotation = re.sub(r"AsyncGenerator\[(.+), None\]", r"Generator[\1, None, None]", annotation)
    return f"Sync{annotation}" if annotation in ("Client", "Unit", "ByteStream") else annotation


def streaming(data: bytes) -> Session:
    """Greet, then stream that much of the results and break off."""

    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Streaming results for work unit a1")
        peer.send(data)

    return session


def silent(peer: Peer) -> None:
    try:
        peer.greet()
        peer.rest()
    except ConnectionError:
        pass  # it has left early


def taking_payload(released: threading.Event) -> Session:
    """Take a payload, and tell nothing of the unit until it is released."""

    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        assert peer.rest() == b"all of it"
        assert released.wait(10)

    return session


def releasing(released: threading.Event) -> Session:
    def session(peer: Peer) -> None:
        peer.greet()
        assert peer.command() == {"command": "work", "subcommand": "release", "unitid": "a1"}
        released.set()
        peer.say('{"released": "a1"}')

    return session
