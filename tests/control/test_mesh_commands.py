from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from event_loops import EventLoop
from running_mesh import read_all, row, running
from scripted_stream import Script, ScriptedStream
from tls_settings import profiles
from two_way_stream import TwoWayStream

import receptor
from receptor.control.answers import PingAnswer, PingFailure
from receptor.control.commands import Connect, Ping, ShowStatus, Traceroute
from receptor.control.mesh_commands import MeshCommands
from receptor.errors import CommandError, OperatingError, UnreachableError
from receptor.events import MOST_KEPT, LinkEvent, now_text
from receptor.netceptor.messages import WorkCommand
from receptor.node.byte_stream import ByteStream
from receptor.node.mesh_node import MeshNode


@pytest.fixture
def run() -> EventLoop:
    return EventLoop("uvloop")


def shown(answer: msgspec.Struct) -> dict[str, object]:
    fields: dict[str, object] = msgspec.json.decode(msgspec.json.encode(answer))
    return fields


def test_status_of_a_lone_node(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            status = shown(await MeshCommands(foo).status(ShowStatus(), is_local=True))
        memory = status.pop("SystemMemoryMiB")
        assert isinstance(memory, int)
        assert 64 < memory < 2**30
        assert status == {
            "Version": receptor.__version__,
            "NodeID": "foo",
            "SystemCPUCount": os.cpu_count(),
            "Connections": [],
            "RoutingTable": {},
            "Advertisements": [],
            "KnownConnectionCosts": {},
        }

    run(main())


def test_status_of_a_node_in_a_mesh(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "hop", "bar") as (foo, hop, _):
            hop.advertise("control", {"type": "Control Service"}, [WorkCommand("cat", secure=False)])
            await hop.ping("foo")
            status = shown(await MeshCommands(foo).status(ShowStatus(), is_local=True))
        assert status["Connections"] == [{"NodeID": "hop", "Cost": 1}]
        assert status["RoutingTable"] == {"hop": "hop", "bar": "hop"}
        assert status["KnownConnectionCosts"] == {"foo": {"hop": 1}, "hop": {"foo": 1, "bar": 1}, "bar": {"hop": 1}}
        assert isinstance(status["Advertisements"], list)
        (advertisement,) = status["Advertisements"]
        assert advertisement["NodeID"] == "hop"
        assert advertisement["Service"] == "control"
        assert advertisement["WorkCommands"] == [{"WorkType": "cat", "Secure": False}]
        assert "1.0" not in str(status["KnownConnectionCosts"])

    run(main())


def test_status_of_some_fields(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            commands = MeshCommands(foo)
            assert shown(await commands.status(ShowStatus(("NodeID", "nonsense")), is_local=True)) == {"NodeID": "foo"}
            assert shown(await commands.status(ShowStatus(()), is_local=True)) == {}

    run(main())


OURS = ("Time", "StartTime", "Certificates", "DataFolder")


def test_what_is_told_only_when_asked_for_by_name(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        before = datetime.now(UTC)
        async with running("foo") as foo:
            commands = MeshCommands(foo, profiles(tmp_path, "foo"), tmp_path)
            assert not set(OURS) & shown(await commands.status(ShowStatus(), is_local=True)).keys()
            local = await commands.status(ShowStatus(OURS), is_local=True)
            far = await commands.status(ShowStatus((*OURS, "NodeID")), is_local=False)
        assert shown(local).keys() == set(OURS)
        assert shown(far).keys() == {"Time", "StartTime", "Certificates", "NodeID"}
        assert local.time is not None
        assert local.start_time is not None
        assert before <= local.start_time <= local.time <= datetime.now(UTC)
        assert local.data_folder is not None
        assert local.data_folder.path == str(tmp_path)
        assert abs(local.data_folder.free_mib - shutil.disk_usage(tmp_path).free // 2**20) < 1024
        server, client = shown(local)["Certificates"], shown(far)["Certificates"]
        assert isinstance(server, list)
        assert [certificate["Name"] for certificate in server] == ["tls-server own", "tls-client own"]
        assert server[0].keys() == {"Name", "Subject", "NodeIDs", "NotBefore", "NotAfter", "File"}
        assert server[0]["NodeIDs"] == ["foo"]
        assert server[0]["File"] == str(tmp_path / "tls-foo.crt")
        assert server[0]["NotBefore"] < shown(local)["Time"] < server[0]["NotAfter"]
        assert isinstance(client, list)
        assert client[0].keys() == {"Name", "Subject", "NodeIDs", "NotBefore", "NotAfter"}

    run(main())


def test_a_node_without_tls_shows_no_certificates(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            assert shown(await MeshCommands(foo).status(ShowStatus(OURS[2:]), is_local=True)) == {"Certificates": []}

    run(main())


def test_a_data_folder_that_is_gone_is_told(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            commands = MeshCommands(foo, data_folder=tmp_path / "gone")
            with pytest.raises(OperatingError, match="gone: No such file or directory; it was removed from outside"):
                await commands.status(ShowStatus(("DataFolder",)), is_local=True)

    run(main())


def test_events_end_with_the_node(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            client = ScriptedStream()
            following = asyncio.create_task(MeshCommands(foo).follow_events(client, lambda _: True))
            await client.has_got(b"\n")
            foo.advertise("echo", {})
            await client.has_got(b"}\n")
            foo.events.close()
            await following
        assert client.is_finished
        greeting, event = client.lines
        assert greeting == "Streaming events of node foo"
        assert msgspec.json.decode(event).items() >= {"Event": "service.added", "Service": "echo"}.items()

    run(main())


def test_who_reads_no_events_is_told_how_many_were_lost(run: EventLoop) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            client = TwoWayStream()
            following = asyncio.create_task(MeshCommands(foo).follow_events(client, lambda _: True))
            await client.line()
            client.reads.clear()
            event = LinkEvent(now_text(), "link.up", "bar", 1.0)
            foo.events.publish(event)
            for _ in range(10):
                await asyncio.sleep(0)
            for _ in range(MOST_KEPT + 5):
                foo.events.publish(event)
            client.reads.set()
            told = [msgspec.json.decode(await client.line()) for _ in range(MOST_KEPT + 2)]
            assert {each["Event"] for each in told[:-1]} == {"link.up"}
            assert told[-1].items() >= {"Event": "events.lost", "Count": 5}.items()
            client.break_off()
            with pytest.raises(ConnectionResetError):
                await following

    run(main())


def test_ping(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "hop", "bar") as (foo, _, _):
            pong = await MeshCommands(foo).ping(Ping("bar"))
            assert isinstance(pong, PingAnswer)
            assert pong.source == "bar"
            assert 0 < pong.nanoseconds < 5_000_000_000
            assert pong.duration.endswith("s")
            failed = await MeshCommands(foo).ping(Ping("nowhere"))
            assert isinstance(failed, PingFailure)
            assert "no route" in failed.error

    run(main())


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("bar", [("foo", ""), ("hop", ""), ("bar", "")]),
        ("hop", [("foo", ""), ("hop", "")]),
        ("foo", [("foo", "")]),
        ("localhost", [("foo", "")]),
    ],
)
def test_traceroute_names_the_nodes_on_the_way(run: EventLoop, target: str, expected: list[tuple[str, str]]) -> None:
    async def main() -> None:
        async with row("foo", "hop", "bar") as (foo, _, _):
            hops = await MeshCommands(foo).traceroute(Traceroute(target))
            assert [(hop.source, hop.error) for hop in hops.values()] == expected
            assert list(hops) == [str(number) for number in range(len(hops))]

    run(main())


def test_traceroute_ends_with_what_went_wrong(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, _):
            hops = list((await MeshCommands(foo).traceroute(Traceroute("nowhere"))).values())
            assert "no route" in hops[-1].error
            assert len(hops) <= 2

    run(main())


def unheard() -> None:
    """Nobody listens."""


def never() -> None:
    raise AssertionError("there is nothing to be bridged with")


@asynccontextmanager
async def shouting() -> AsyncIterator[MeshNode]:
    """A node foo that is linked with bar, whose service answers in capitals."""

    async def shout(stream: ByteStream) -> None:
        await stream.write((await read_all(stream)).upper())
        await stream.finish()

    async with row("foo", "bar") as (foo, bar):
        bar.listen("shout", shout)
        yield foo


def test_connect_bridges_the_client_to_a_service(run: EventLoop) -> None:
    async def main() -> None:
        async with shouting() as foo:
            client = ScriptedStream(b"hello ", b"bar")
            begun: list[bytes] = []
            await MeshCommands(foo).connect(Connect("bar", "shout"), client, lambda: begun.append(client.written))
            assert begun == [b""]
            assert client.written == b"Connecting\nHELLO BAR"
            assert client.is_finished

    run(main())


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Connect("nowhere", "shout"), "no route to node nowhere"),
        (Connect("bar", "nosuch"), "service unknown: nosuch on bar"),
        (Connect("bar", ""), "can't be a service"),
        (Connect("bar", "too-long-a-name"), "can't be a service: its name must have 1 to 8 bytes"),
        (Connect("bar", "shout", "secure"), "tls-client"),
    ],
)
def test_connect_to_what_is_not_there_leaves_the_client_alone(run: EventLoop, command: Connect, reason: str) -> None:
    async def main() -> None:
        async with shouting() as foo:
            client = ScriptedStream()
            with pytest.raises((CommandError, UnreachableError), match=reason):
                await MeshCommands(foo).connect(command, client, never)
            assert client.written == b""
            assert not client.is_closed

    run(main())


@pytest.mark.parametrize(
    "client",
    [
        ScriptedStream(Script.SILENCE, breaks_after=5),
        ScriptedStream(b"hello", Script.BREAK),
        ScriptedStream(b"hello", breaks_after=12),
    ],
    ids=["at once", "while it sends", "while it receives"],
)
def test_a_client_that_vanishes_drops_its_connection_to_the_service(run: EventLoop, client: ScriptedStream) -> None:
    served = asyncio.Event()

    async def until_dropped(stream: ByteStream) -> None:
        try:
            await stream.write(b"a greeting")
            await read_all(stream)
        finally:
            served.set()

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar):
            bar.listen("service", until_dropped)
            try:
                await MeshCommands(foo).connect(Connect("bar", "service"), client, unheard)
            except ConnectionError:
                assert client.written == b"Connecting\n"
            await served.wait()

    run(main())


def test_a_session_dropped_while_its_client_does_not_read_drops_the_connection(run: EventLoop) -> None:
    class Stuck(ScriptedStream):
        async def write(self, data: bytes) -> None:
            writing.set()
            await asyncio.get_running_loop().create_future()

    writing = asyncio.Event()
    served = asyncio.Event()

    async def until_dropped(stream: ByteStream) -> None:
        try:
            await read_all(stream)
        finally:
            served.set()

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar):
            bar.listen("service", until_dropped)
            session = asyncio.create_task(MeshCommands(foo).connect(Connect("bar", "service"), Stuck(), unheard))
            await writing.wait()
            session.cancel()
            with pytest.raises(asyncio.CancelledError):
                await session
            await served.wait()

    run(main())
