from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import stat
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from commands import eventually, is_alive
from other_node import OtherNode

from receptor.config.actions import WorkCommand
from receptor.config.kinds import Right
from receptor.config.protection import AccessRule
from receptor.control.access import AccessPolicy
from receptor.errors import CommandError, OperatingError, UnknownUnit, UnknownWorkType
from receptor.events import LONGEST_TEXT, Events, Follower, UnitEvent
from receptor.node.byte_stream import Carrier, Origin
from receptor.workceptor import runner
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.limits import DEFAULT_LIMITS, WorkLimits
from receptor.workceptor.records import ExitRecord, Order, Submission
from receptor.workceptor.remote import expiration_text
from receptor.workceptor.remote_unit import RemoteWorkUnit
from receptor.workceptor.results import follow
from receptor.workceptor.runner_client import Outcome, RunnerClient
from receptor.workceptor.status import (
    NO_EXPIRATION,
    CommandExtra,
    RemoteExtra,
    State,
    Status,
    answer,
    decode_status,
    encode_status,
)
from receptor.workceptor.tokens import Signer
from receptor.workceptor.unit import Unit
from receptor.workceptor.work import CommandWork, RemoteWork, Work
from receptor.workceptor.workceptor import Workceptor

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

BAR = Origin(Carrier.MESH, "bar", "bar:abcdefgh")
BASH = WorkCommand(work_type="bash", command="bash", params="-c", allow_runtime_params=True)
CAT = WorkCommand(work_type="cat", command="cat")
OPEN = WorkCommand(
    work_type="open", command="bash", params="-c", allow_runtime_params=True, allow_runtime_environment=True
)
NAP = WorkCommand(work_type="nap", command="sleep", params="60")


class Mesh(OtherNode):
    """A mesh with one other node."""

    def __init__(self) -> None:
        super().__init__()
        self.watchers: list[Callable[[dict[str, str]], None]] = []

    def watch_routes(self, watcher: Callable[[dict[str, str]], None]) -> None:
        self.watchers.append(watcher)

    def check_tls_client(self, name: str) -> None:
        if name not in self.tls_clients:
            raise CommandError(f"there is no tls-client {name}")

    def tell_routes(self, **routes: str) -> None:
        for watcher in self.watchers:
            watcher(routes)


class Node:
    """A data folder on which workceptors live one after the other, and the other node."""

    def __init__(self, data_folder: Path) -> None:
        self.data_folder = data_folder
        self.mesh = Mesh()
        self.events = Events()
        self.signer: Signer | None = None

    @asynccontextmanager
    async def up(self, *work_commands: WorkCommand, limits: WorkLimits = DEFAULT_LIMITS) -> AsyncIterator[Workceptor]:
        """The node from its start to its end."""
        commands = work_commands or (BASH, CAT, OPEN, NAP)
        workceptor = Workceptor(self.mesh, self.data_folder, commands, self.signer, limits, events=self.events)
        try:
            await workceptor.start()
            yield workceptor
        finally:
            await workceptor.close()
            self.mesh.watchers.clear()

    def folder(self, unit_id: str) -> UnitFolder:
        return UnitFolder(self.data_folder / unit_id)

    def store(
        self, unit_id: str, status: Status | bytes, output: bytes = b"", submission: Submission | None = None
    ) -> UnitFolder:
        """Make a unit as an earlier daemon would have left it."""
        folder = self.folder(unit_id)
        folder.create(status if isinstance(status, bytes) else encode_status(status), submission)
        folder.stdout_file.write_bytes(output)
        return folder


def command_work(work_type: str, parameters: dict[str, str]) -> CommandWork:
    return CommandWork(work_type=work_type, parameters=parameters)


Story = Callable[[Node], Coroutine[Any, Any, None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(units_folder: Path) -> Play:
    def play(story: Story) -> None:
        async def main() -> None:
            node = Node(units_folder)
            try:
                async with asyncio.timeout(20):
                    await story(node)
            finally:
                await node.mesh.close()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks without owner: {left}"

        asyncio.run(main())

    return play


async def parts(*payload: bytes) -> AsyncIterator[bytes]:
    for part in payload:
        yield part


async def submit(workceptor: Workceptor, work_type: str, params: str = "", payload: bytes = b"") -> Unit:
    unit = await workceptor.make_unit(command_work(work_type, {"params": params} if params else {}))
    await unit.receive_payload(parts(payload))
    assert await unit.start() == "Job Started"
    return unit


async def submit_to_bar(workceptor: Workceptor, payload: bytes = b"payload", ttl: str = "") -> Unit:
    unit = await workceptor.make_unit(remote_work(ttl=ttl))
    await unit.receive_payload(parts(payload))
    await unit.start()
    return unit


def remote_work(
    parameters: Mapping[str, str] | None = None, tls_client: str = "", ttl: str = "", sign_work: bool = False
) -> RemoteWork:
    return RemoteWork(
        node="bar",
        work_type="echo",
        tls_client=tls_client,
        ttl=ttl,
        sign_work=sign_work,
        parameters=parameters or {},
    )


async def results(workceptor: Workceptor, unit_id: str) -> bytes:
    return b"".join([data async for data in follow(workceptor.get(unit_id), 0, workceptor.growth)])


def pid_of(unit: Unit) -> int:
    start = unit.folder.read_start()
    assert start is not None
    return start.pid


async def has_output(unit: Unit, output: bytes) -> None:
    await asyncio.to_thread(eventually, lambda: unit.folder.stdout_file.read_bytes() == output)


def outcome(unit: Unit) -> tuple[State, str]:
    return unit.shown.state, unit.shown.detail


class TestMaking:
    def test_a_unit_for_a_command(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit(workceptor, "cat", payload=b"hi\n")
                assert workceptor.get(unit.unit_id) is unit
                assert stat.S_IMODE(unit.folder.path.stat().st_mode) == 0o700
                await unit.final()
                assert await results(workceptor, unit.unit_id) == b"hi\n"
                assert decode_status(node.folder(unit.unit_id).read_status()) == Status(
                    state=State.SUCCEEDED, detail="exit status 0", stdout_size=3, work_type="cat"
                )

        play(story)

    def test_is_on_disk_before_its_id_is_told(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(command_work("cat", {}))
                assert decode_status(unit.folder.read_status()).detail == "Waiting for Input Data"

        play(story)

    def test_params_of_the_submitter_come_last(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(command_work("bash", {"params": "'echo $0 $1' a b"}))
                assert unit.status.extra == CommandExtra(params="-c 'echo $0 $1' a b")
                await unit.receive_payload(parts())
                await unit.start()
                assert await results(workceptor, unit.unit_id) == b"a b\n"

        play(story)

    def test_params_that_are_not_allowed(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(CommandError, match="extra params provided but not allowed"):
                    await workceptor.make_unit(command_work("cat", {"params": "/etc/shadow"}))
                assert workceptor.units == {}

        play(story)

    def test_unknown_work_type(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(UnknownWorkType, match="unknown work type nope"):
                    await workceptor.make_unit(command_work("nope", {}))

        play(story)

    def test_unknown_unit(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(UnknownUnit, match="unknown work unit nope"):
                    workceptor.get("nope")

        play(story)

    @pytest.mark.parametrize("name", ["secret_token", "SECRET_TOKEN", "Secret_"])
    def test_secrets_need_tls(self, play: Play, name: str) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(CommandError, match="cannot send secrets over a non-TLS connection") as refused:
                    await workceptor.make_unit(remote_work({name: "s3cr3t"}))
                assert "s3cr3t" not in str(refused.value)
                assert workceptor.units == {}

        play(story)

    def test_a_tls_client_that_is_not_there(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(CommandError, match="there is no tls-client nope"):
                    await workceptor.make_unit(remote_work(tls_client="nope"))

        play(story)

    def test_signing_without_a_key(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(CommandError, match="no work-signing key"):
                    await workceptor.make_unit(remote_work(sign_work=True))

        play(story)

    @pytest.mark.parametrize("ttl", ["soon", "1", "9" * 60 + "h"])
    def test_a_ttl_that_is_none(self, play: Play, ttl: str) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(CommandError, match=r"^ttl: "):
                    await workceptor.make_unit(remote_work(ttl=ttl))
                assert workceptor.units == {}

        play(story)

    def test_what_the_record_of_remote_work_holds(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(remote_work({"params": "-n", "color": "red"}, ttl="1h"))
                extra = decode_status(unit.folder.read_status()).extra
                assert isinstance(extra, RemoteExtra)
                assert extra.remote_params == {"params": "-n", "color": "red"}
                assert (extra.remote_node, extra.remote_work_type, extra.remote_started) == ("bar", "echo", False)
                assert expiration_text(time.time() + 3500) < extra.expiration < expiration_text(time.time() + 3700)
                forever = await workceptor.make_unit(remote_work())
                assert isinstance(forever.status.extra, RemoteExtra)
                assert forever.status.extra.expiration == NO_EXPIRATION

        play(story)

    def test_parameters_beyond_what_a_status_may_hold(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(CommandError, match=r"too large .*; send large data as the payload"):
                    await workceptor.make_unit(command_work("bash", {"params": "\x01" * 900_000}))
                assert workceptor.units == {}

        play(story)

    def test_many_at_once_have_different_ids(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                made = await asyncio.gather(*(workceptor.make_unit(command_work("cat", {})) for _ in range(50)))
                assert len({unit.unit_id for unit in made}) == len(workceptor.units) == 50

        play(story)


KEYED_WORK = [command_work("cat", {}), remote_work({"params": "-n"}, ttl="1h")]
KINDS = pytest.mark.parametrize("work", KEYED_WORK, ids=["command", "remote"])


class TestIdempotencyKeys:
    @KINDS
    def test_the_same_again_is_the_same_unit(self, play: Play, work: Work) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(work, "node foo", "key-1")
                assert await workceptor.make_unit(work, "node foo", "key-1") is unit
                await unit.receive_payload(parts(b"payload"))
                await unit.start()
                assert await workceptor.make_unit(work, "node foo", "key-1") is unit
                assert unit.has_payload
                assert list(workceptor.units) == [unit.unit_id]

        play(story)

    @KINDS
    def test_at_once(self, play: Play, work: Work) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                made = await asyncio.gather(*(workceptor.make_unit(work, "local", "key-1") for _ in range(20)))
                assert set(made) == set(workceptor.units.values())
                assert [path.name for path in node.data_folder.iterdir()] == [made[0].unit_id]

        play(story)

    def test_whole_submissions_at_once_run_once(self, play: Play) -> None:
        """Each takes the place of the one before, whose connection it ends: the last tells how it goes."""

        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                runs = node.data_folder.with_name("runs")
                work = command_work("bash", {"params": f"'cat >> {runs}'"})

                async def client() -> str:
                    unit = await workceptor.make_unit(work, "node foo", "key-1")
                    if not unit.has_payload:
                        await unit.receive_payload(parts(b"one ", b"run"))
                        await unit.start()
                    return unit.unit_id

                told = await asyncio.gather(*(client() for _ in range(20)), return_exceptions=True)
                ids = {unit_id for unit_id in told if isinstance(unit_id, str)}
                assert {type(answer) for answer in told} == {str, asyncio.CancelledError}
                assert ids == set(workceptor.units)
                await workceptor.get(ids.pop()).final()
                assert runs.read_bytes() == b"one run"

        play(story)

    @pytest.mark.parametrize(
        "other",
        [
            command_work("bash", {}),
            command_work("cat", {"params": "-n"}),
            command_work("cat", {"color": "red"}),
            remote_work(),
        ],
        ids=str,
    )
    def test_for_other_work_are_refused(self, play: Play, other: Work) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(command_work("cat", {}), "local", "key-1")
                with pytest.raises(CommandError, match=f"used for other work, in unit {unit.unit_id}; give each"):
                    await workceptor.make_unit(other, "local", "key-1")
                assert list(workceptor.units) == [unit.unit_id]

        play(story)

    def test_other_remote_work_is_other_work(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                await workceptor.make_unit(remote_work({"params": "-n"}, ttl="1h"), "local", "key-1")
                for other in (remote_work({"params": "-n"}), remote_work({"params": "-x"}, ttl="1h")):
                    with pytest.raises(CommandError, match="used for other work"):
                        await workceptor.make_unit(other, "local", "key-1")

        play(story)

    def test_are_each_submitters_own(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                submitters = ["local", "node foo", "node bar", "tcp 192.0.2.7", "tcp 192.0.2.8"]
                work = command_work("cat", {})
                units = [await workceptor.make_unit(work, submitter, "key-1") for submitter in submitters]
                assert len({unit.unit_id for unit in units}) == len(submitters)
                assert [unit.submitter for unit in units] == submitters

        play(story)

    def test_of_what_could_not_be_started_tells_why_again(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up(WorkCommand("nosuch", "/no/such/program")) as workceptor:
                unit = await workceptor.make_unit(command_work("nosuch", {}), "local", "key-1")
                await unit.receive_payload(parts())
                with pytest.raises(CommandError, match="No such file"):
                    await unit.start()
                again = await workceptor.make_unit(command_work("nosuch", {}), "local", "key-1")
                assert again is unit
                with pytest.raises(CommandError, match=r"Error starting worker: .*No such file"):
                    _ = again.start_result

        play(story)

    def test_a_refused_submission_does_not_use_up_its_key(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(UnknownWorkType):
                    await workceptor.make_unit(command_work("nope", {}), "local", "key-1")
                await workceptor.make_unit(command_work("cat", {}), "local", "key-1")

        play(story)

    @pytest.mark.parametrize("ends", [False, True])
    def test_are_known_after_a_restart(self, play: Play, ends: bool) -> None:
        async def story(node: Node) -> None:
            work = command_work("cat" if ends else "nap", {})
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(work, "node foo", "key-1")
                await unit.receive_payload(parts(b"payload"))
                await unit.start()
                if ends:
                    await unit.final()
                unit_id = unit.unit_id
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(work, "node foo", "key-1")
                assert unit is workceptor.get(unit_id)
                assert unit.has_payload
                assert (unit.submitter, unit.start_result) == ("node foo", "Job Started")
                with pytest.raises(CommandError, match="used for other work"):
                    await workceptor.make_unit(command_work("bash", {}), "node foo", "key-1")

        play(story)

    @KINDS
    @pytest.mark.parametrize("restarts", [False, True])
    def test_are_forgotten_with_the_unit(self, play: Play, work: Work, restarts: bool) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(work, "local", "key-1")
                assert await unit.release(force=False)
                if not restarts:
                    assert (await workceptor.make_unit(work, "local", "key-1")).unit_id != unit.unit_id
            async with node.up() as workceptor:
                again = await workceptor.make_unit(work, "local", "key-1")
                assert again.unit_id != unit.unit_id
                assert not unit.folder.path.exists()

        play(story)

    @KINDS
    @pytest.mark.parametrize(
        "problem", [ConnectionResetError("the client has left"), CommandError("too large")], ids=str
    )
    def test_a_unit_that_lacks_its_payload_is_replaced(self, play: Play, work: Work, problem: Exception) -> None:
        async def broken_payload() -> AsyncIterator[bytes]:
            yield b"half"
            raise problem

        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(work, "local", "key-1")
                with pytest.raises(type(problem)):
                    await unit.receive_payload(broken_payload())
                again = await workceptor.make_unit(work, "local", "key-1")
                assert list(workceptor.units) == [again.unit_id]
                assert not again.has_payload
                assert not unit.folder.path.exists()

        play(story)

    @KINDS
    def test_the_payload_of_a_node_was_still_coming_at_a_restart(self, play: Play, work: Work) -> None:
        """Nothing is kept of it: the node submits it anew."""

        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                await workceptor.make_unit(work, "node foo", "key-1")
                of_a_client = await workceptor.make_unit(work, "local", "key-1")
            async with node.up() as workceptor:
                await workceptor.get(of_a_client.unit_id).final()
                assert workceptor.get(of_a_client.unit_id).lacks_payload
                await asyncio.to_thread(eventually, lambda: list(workceptor.units) == [of_a_client.unit_id])
                await workceptor.make_unit(work, "node foo", "key-1")

        play(story)

    def test_one_unit_that_can_not_be_removed_does_not_keep_the_node_from_starting(
        self, play: Play, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(remote_work(), "node foo", "key-1")
            unit.folder.path.with_name(f".removed-{unit.unit_id}").write_text("in the way")
            async with node.up() as workceptor:
                assert list(workceptor.units) == [unit.unit_id]
                again = await workceptor.make_unit(remote_work(), "node foo", "key-1")
                assert again.unit_id == unit.unit_id, "it can still take its payload"
                await again.receive_payload(parts(b"whole"))
                assert again.has_payload

        play(story)
        assert "Not a directory" in caplog.text

    def test_a_payload_on_its_way_is_taken_over(self, play: Play) -> None:
        """The link was cut, and the node at its other end knows it before this one does."""

        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                has_begun = asyncio.Event()

                async def endless_payload() -> AsyncIterator[bytes]:
                    yield b"what came over the first link"
                    has_begun.set()
                    await asyncio.Event().wait()

                work = command_work("cat", {})
                unit = await workceptor.make_unit(work, "node foo", "key-1")
                first = asyncio.create_task(unit.receive_payload(endless_payload()))
                await has_begun.wait()
                assert await workceptor.make_unit(work, "node foo", "key-1") is unit
                assert first.cancelled()
                await unit.receive_payload(parts(b"the whole"))
                await unit.start()
                assert await results(workceptor, unit.unit_id) == b"the whole"
                assert outcome(unit) == (State.SUCCEEDED, "exit status 0")

        play(story)


class TestLimits:
    def test_of_units(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up(limits=WorkLimits(units=2)) as workceptor:
                units = [await submit(workceptor, "cat") for _ in range(2)]
                with pytest.raises(CommandError, match=r"this node has 2 units, .*; release what has ended"):
                    await workceptor.make_unit(command_work("cat", {}))
                await units[0].final()
                with pytest.raises(CommandError, match="this node has 2 units"):
                    await workceptor.make_unit(remote_work(), "node foo")
                assert await units[0].release(force=False)
                await submit(workceptor, "cat")

        play(story)

    @pytest.mark.parametrize("limits", [WorkLimits(units=5), WorkLimits(running=5)], ids=str)
    def test_are_kept_by_many_at_once(self, play: Play, limits: WorkLimits) -> None:
        async def story(node: Node) -> None:
            async with node.up(limits=limits) as workceptor:
                asked = [workceptor.make_unit(command_work("cat", {})) for _ in range(20)]
                made = await asyncio.gather(*asked, return_exceptions=True)
                assert sum(isinstance(unit, Unit) for unit in made) == len(workceptor.units) == 5
                assert sum(isinstance(unit, CommandError) for unit in made) == 15
                assert len(list(node.data_folder.iterdir())) == 5

        play(story)

    def test_of_the_unended_units_of_each_submitter(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up(limits=WorkLimits(running=2)) as workceptor:
                work = command_work("cat", {})
                ended = await workceptor.make_unit(work, "node foo")
                released = await workceptor.make_unit(remote_work(), "node foo")
                with pytest.raises(CommandError, match=r"2 units of node foo have not ended .* wait until some have"):
                    await workceptor.make_unit(work, "node foo")
                for submitter in ("local", "node foobar", "tcp 192.0.2.7"):
                    await workceptor.make_unit(work, submitter)
                await ended.receive_payload(parts())
                await ended.start()
                await ended.final()
                await workceptor.make_unit(work, "node foo")
                with pytest.raises(CommandError, match="2 units of node foo"):
                    await workceptor.make_unit(work, "node foo")
                assert await released.release(force=False)
                await workceptor.make_unit(work, "node foo")

        play(story)

    def test_the_same_submission_again_is_not_limited(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up(limits=WorkLimits(units=1, running=1)) as workceptor:
                unit = await workceptor.make_unit(command_work("cat", {}), "local", "key-1")
                assert await workceptor.make_unit(command_work("cat", {}), "local", "key-1") is unit

        play(story)

    def test_count_what_an_earlier_daemon_has_left(self, play: Play) -> None:
        async def story(node: Node) -> None:
            of_foo = Submission(submitter="node foo")
            node.store("unit0001", Status(state=State.FAILED, detail="x", stdout_size=0, work_type="cat"), b"", of_foo)
            node.store("unit0002", b"{", b"", of_foo)
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(command_work("nap", {}), "node foo")
                await unit.receive_payload(parts())
                await unit.start()
            async with node.up(limits=WorkLimits(running=1)) as workceptor:
                with pytest.raises(CommandError, match="1 units of node foo"):
                    await workceptor.make_unit(command_work("cat", {}), "node foo")
                await submit(workceptor, "cat")
                unit = workceptor.get(unit.unit_id)
                assert await unit.cancel()
                await workceptor.make_unit(command_work("cat", {}), "node foo")

        play(story)


class TestRestartWithCommands:
    def test_one_that_runs_goes_on(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                go = node.data_folder.with_name("go")
                os.mkfifo(go)
                unit = await submit(workceptor, "bash", f"'echo one; read -r < {go}; echo two; exit 3'")
                unit_id, pid = unit.unit_id, pid_of(unit)
            async with node.up() as workceptor:
                unit = workceptor.get(unit_id)
                assert outcome(unit) == (State.RUNNING, f"Running: PID {pid}")
                following = asyncio.create_task(results(workceptor, unit_id))
                await asyncio.to_thread(go.write_text, "\n")
                await unit.final()
                assert outcome(unit) == (State.FAILED, "exit status 3")
                assert await following == b"one\ntwo\n"

        play(story)

    @pytest.mark.parametrize("order", ["cancel", "release"])
    def test_one_that_runs_can_be_stopped(self, play: Play, order: str) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit(workceptor, "nap")
                unit_id, pid = unit.unit_id, pid_of(unit)
            async with node.up() as workceptor:
                unit = workceptor.get(unit_id)
                if order == "cancel":
                    assert await unit.cancel()
                    assert outcome(unit) == (State.CANCELED, "Canceled")
                else:
                    assert await unit.release(force=False)
                    assert not unit.folder.path.exists()
                    assert workceptor.units == {}
                assert not is_alive(pid)

        play(story)

    def test_one_that_ended_meanwhile(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit(workceptor, "bash", "'echo done; exec sleep 60'")
                await asyncio.to_thread(eventually, unit.folder.stdout_size)
                unit_id, folder = unit.unit_id, unit.folder
                pid = pid_of(unit)
            os.kill(pid, signal.SIGTERM)
            await asyncio.to_thread(eventually, folder.read_exit)
            async with node.up() as workceptor:
                assert outcome(workceptor.get(unit_id)) == (State.FAILED, "signal: terminated")
                assert workceptor.get(unit_id).shown.stdout_size == 5
                assert await results(workceptor, unit_id) == b"done\n"

        play(story)

    def test_one_that_vanished(self, play: Play) -> None:
        """As when the machine loses its power, but for the boot id."""

        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit(workceptor, "nap")
                unit_id, pid = unit.unit_id, pid_of(unit)
            for victim in (int((node.data_folder / runner.LOCK).read_text()), pid):
                os.kill(victim, signal.SIGKILL)
                await asyncio.to_thread(_reap, victim)
            async with node.up() as workceptor:
                state, detail = outcome(workceptor.get(unit_id))
                assert state is State.FAILED
                assert f"process {pid} is gone" in detail
                assert await workceptor.get(unit_id).release(force=False)

        play(story)

    @pytest.mark.parametrize("detail", ["Unit Created", "Waiting for Input Data"])
    def test_one_whose_payload_was_still_coming(self, play: Play, detail: str) -> None:
        async def story(node: Node) -> None:
            folder = node.store("unit0001", pending("cat", detail))
            folder.stdin_file.write_bytes(b"half")
            async with node.up() as workceptor:
                unit = workceptor.get("unit0001")
                await unit.final()
                assert outcome(unit) == (
                    State.FAILED,
                    "Error reading input data: the node ended before it was complete",
                )
                assert not folder.was_begun()

        play(story)

    def test_one_that_was_about_to_start(self, play: Play) -> None:
        async def story(node: Node) -> None:
            folder = node.store("unit0001", pending("cat", "Starting Worker"))
            folder.stdin_file.write_bytes(b"whole")
            async with node.up() as workceptor:
                unit = workceptor.get("unit0001")
                await unit.final()
                assert outcome(unit) == (State.SUCCEEDED, "exit status 0")
                assert await results(workceptor, "unit0001") == b"whole"

        play(story)

    def test_one_whose_work_type_is_no_more(self, play: Play) -> None:
        async def story(node: Node) -> None:
            node.store("unit0001", pending("cat", "Starting Worker"))
            async with node.up(NAP) as workceptor:
                unit = workceptor.get("unit0001")
                await unit.final()
                assert outcome(unit) == (State.FAILED, "Error starting worker: unknown work type cat")

        play(story)

    def test_one_that_runs_and_whose_work_type_is_no_more(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit_id = (await submit(workceptor, "nap")).unit_id
            async with node.up(CAT) as workceptor:
                unit = workceptor.get(unit_id)
                assert unit.shown.state is State.RUNNING
                assert await unit.cancel()

        play(story)

    def test_ended_ones_are_as_they_were(self, play: Play) -> None:
        async def story(node: Node) -> None:
            ends = {
                f"unit{state:04}": Status(state=state, detail=f"the end {state}", stdout_size=3, work_type="cat")
                for state in (State.SUCCEEDED, State.FAILED, State.CANCELED)
            }
            for unit_id, status in ends.items():
                node.store(unit_id, status, b"out")
            async with node.up() as workceptor:
                assert {unit_id: unit.shown for unit_id, unit in workceptor.units.items()} == ends
                for unit_id, status in ends.items():
                    unit = workceptor.get(unit_id)
                    assert await results(workceptor, unit_id) == b"out"
                    assert await unit.cancel()
                    assert decode_status(unit.folder.read_status()) == status
                    assert await unit.release(force=False)
                assert workceptor.units == {}

        play(story)

    def test_300_units(self, play: Play) -> None:
        async def story(node: Node) -> None:
            for number in range(290):
                state = State(2 + number % 3)
                node.store(f"unit{number:04}", Status(state=state, detail="x", stdout_size=0, work_type="cat"))
            async with node.up() as workceptor:
                for _ in range(10):
                    await submit(workceptor, "nap")
            async with node.up() as workceptor:
                listed = [answer(await unit.current_status()) for unit in workceptor.units.values()]
                assert len(listed) == 300
                assert sum(one.state_name == "Running" for one in listed) == 10

        play(story)

    def test_the_remains_of_a_removal_are_removed(self, play: Play) -> None:
        async def story(node: Node) -> None:
            (node.data_folder / ".removed-unit0001").mkdir()
            (node.data_folder / "not a unit").mkdir()
            async with node.up() as workceptor:
                assert workceptor.units == {}
            assert [path.name for path in node.data_folder.iterdir()] == ["not a unit"]

        play(story)

    def test_a_data_folder_that_can_not_be_used(self, play: Play) -> None:
        async def story(node: Node) -> None:
            node.data_folder /= "file"
            node.data_folder.write_text("x")
            with pytest.raises(OperatingError, match=r"file can't be used: .*; check its permissions or set datadir"):
                async with node.up():
                    pass

        play(story)


STUBBORN = """'trap "echo INT" INT; echo on; exec 2>/dev/null; while :; do sleep 0.01; done'"""
"""It takes no notice of the first signal, but of the second."""
HASTY = WorkCommand(work_type="bash", command="bash", params="-c", allow_runtime_params=True, grace=0.05)
"""As BASH, but the second signal follows soon."""


class TestEndsDuringTheAdoption:
    def test_they_can_be_released_like_all_others(self, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                pids = [pid_of(await submit(workceptor, "nap")) for _ in range(10)]
            adopt = RunnerClient.adopt

            async def adopt_what_ends_then(client: RunnerClient, units: Iterable[str]) -> Mapping[str, Outcome]:
                outcomes = await adopt(client, units)
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                return outcomes

            monkeypatch.setattr(RunnerClient, "adopt", adopt_what_ends_then)
            async with node.up() as workceptor:
                for unit in list(workceptor.units.values()):
                    await unit.final()
                    assert unit.shown.detail == "signal: killed"
                    assert await unit.release(force=False)
                assert workceptor.units == {}

        play(story)


@contextmanager
def without_descriptors() -> Iterator[None]:
    """This process has none left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


class TestWithoutDescriptors:
    def test_a_start_fails_the_unit_with_the_reason(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(command_work("cat", {}))
                await unit.receive_payload(parts(b"x"))
                with without_descriptors(), pytest.raises(CommandError, match="Too many open files; raise the limit"):
                    await unit.start()
                assert await unit.release(force=False)
                assert await results(workceptor, (await submit(workceptor, "cat", payload=b"y")).unit_id) == b"y"

        play(story)

    def test_a_cancel_says_so_and_can_be_repeated(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit(workceptor, "nap")
                with without_descriptors(), pytest.raises(OperatingError, match="Too many open files"):
                    await unit.cancel()
                assert not unit.shown.state.is_final
                assert await unit.cancel()
                assert unit.shown.state is State.CANCELED

        play(story)


class TestRestartWithOrders:
    """What a user has ordered is carried out, whatever dies before it is done."""

    @staticmethod
    async def interrupted(node: Node, order: Order) -> UnitFolder:
        """A stubborn command, whose node ends while it carries out the order."""
        async with node.up() as workceptor:
            unit = await submit(workceptor, "bash", STUBBORN)
            await has_output(unit, b"on\n")
            asking = asyncio.create_task(unit.cancel() if order is Order.CANCEL else unit.release(force=False))
            await has_output(unit, b"on\nINT\n")
        await asyncio.gather(asking, return_exceptions=True)
        assert unit.folder.read_order() is order
        return unit.folder

    def test_a_cancel_goes_on(self, play: Play) -> None:
        async def story(node: Node) -> None:
            folder = await self.interrupted(node, Order.CANCEL)
            async with node.up(HASTY) as workceptor:
                unit = workceptor.get(folder.unit_id)
                assert unit.shown.state is State.RUNNING, "the start does not wait for it"
                await unit.final()
                assert outcome(unit) == (State.CANCELED, "Canceled")
                assert decode_status(folder.read_status()) == unit.shown
                assert await results(workceptor, folder.unit_id) == b"on\nINT\nINT\n"
                assert not is_alive(pid_of(unit))

        play(story)

    def test_a_release_goes_on(self, play: Play) -> None:
        async def story(node: Node) -> None:
            folder = await self.interrupted(node, Order.RELEASE)
            start = folder.read_start()
            assert start is not None
            async with node.up(HASTY) as workceptor:
                await asyncio.to_thread(eventually, lambda: not folder.path.exists())
                await asyncio.to_thread(eventually, lambda: not workceptor.units)
                assert not is_alive(start.pid)

        play(story)

    def test_over_two_restarts(self, play: Play) -> None:
        async def story(node: Node) -> None:
            folder = await self.interrupted(node, Order.CANCEL)
            async with node.up():
                pass
            async with node.up(HASTY) as workceptor:
                await workceptor.get(folder.unit_id).final()
                assert outcome(workceptor.get(folder.unit_id)) == (State.CANCELED, "Canceled")

        play(story)

    @pytest.mark.parametrize("order", Order)
    def test_a_command_that_the_signal_ended_meanwhile(self, play: Play, order: Order) -> None:
        async def story(node: Node) -> None:
            folder = await self.interrupted(node, order)
            start = folder.read_start()
            assert start is not None
            os.kill(start.pid, signal.SIGTERM)
            await asyncio.to_thread(eventually, folder.read_exit)
            async with node.up() as workceptor:
                if order is Order.CANCEL:
                    assert outcome(workceptor.get(folder.unit_id)) == (State.CANCELED, "Canceled")
                else:
                    await asyncio.to_thread(eventually, lambda: not folder.path.exists())

        play(story)

    @pytest.mark.parametrize("order", Order)
    @pytest.mark.parametrize("detail", ["Waiting for Input Data", "Starting Worker"])
    def test_what_was_not_begun_never_is(self, play: Play, order: Order, detail: str) -> None:
        async def story(node: Node) -> None:
            folder = node.store("unit0001", pending("bash", detail))
            folder.write_order(order)
            async with node.up() as workceptor:
                if order is Order.CANCEL:
                    await workceptor.get("unit0001").final()
                    assert outcome(workceptor.get("unit0001")) == (State.CANCELED, "Canceled")
                    assert not folder.was_begun()
                else:
                    await asyncio.to_thread(eventually, lambda: not workceptor.units)
                    assert not folder.path.exists()
            assert not (node.data_folder / runner.LOCK).exists(), "no runner was needed"

        play(story)

    def test_a_release_of_what_has_ended_is_finished(self, play: Play) -> None:
        async def story(node: Node) -> None:
            folder = node.store("unit0001", Status(state=State.CANCELED, detail="x", stdout_size=0, work_type="cat"))
            folder.write_order(Order.RELEASE)
            async with node.up() as workceptor:
                await asyncio.to_thread(eventually, lambda: not workceptor.units)
                assert not folder.path.exists()

        play(story)

    def test_a_cancel_does_not_change_what_has_ended(self, play: Play) -> None:
        async def story(node: Node) -> None:
            ended = Status(state=State.SUCCEEDED, detail="exit status 0", stdout_size=0, work_type="cat")
            node.store("unit0001", ended).write_order(Order.CANCEL)
            async with node.up() as workceptor:
                assert workceptor.get("unit0001").shown == ended

        play(story)

    @pytest.mark.parametrize("order", Order)
    def test_what_runs_though_its_status_was_damaged(self, play: Play, order: Order) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit(workceptor, "nap")
            unit.folder.write_order(order)
            unit.folder.status_file.write_bytes(b"{")
            pid = pid_of(unit)
            async with node.up() as workceptor:
                await asyncio.to_thread(eventually, lambda: not is_alive(pid))
                if order is Order.RELEASE:
                    await asyncio.to_thread(eventually, lambda: not workceptor.units)
                    assert not unit.folder.path.exists()

        play(story)


class TestDamagedStatus:
    @pytest.mark.parametrize(
        "damage",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"\xff\xfe",
            b"\0" * 100,
            b'{"State":"two"}',
            b'{"State":9,"Detail":"","StdoutSize":0,"WorkType":"cat","ExtraData":null}',
            b'{"State":0,"Detail":"","StdoutSize":-1,"WorkType":"cat","ExtraData":null}',
            b'{"State":0,"Detail":"","StdoutSize":0,"WorkType":"remote","ExtraData":{"Expiration":"tomorrow"}}',
        ],
        ids=repr,
    )
    def test_is_reported_and_can_be_released(self, play: Play, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
        async def story(node: Node) -> None:
            node.store("unit0001", damage, b"output")
            async with node.up() as workceptor:
                unit = workceptor.get("unit0001")
                status = await unit.current_status()
                assert status.state is State.FAILED
                assert status.detail.startswith("the status on disk can't be read: ")
                assert status.detail in caplog.text
                assert await results(workceptor, "unit0001") == b"output"
                assert await unit.cancel()
                assert unit.folder.status_file.read_bytes() == damage, "what is left may help somebody"
                assert await unit.release(force=False)
                assert not unit.folder.path.exists()

        play(story)

    def test_that_is_missing(self, play: Play) -> None:
        async def story(node: Node) -> None:
            node.folder("unit0001").create(b"")
            async with node.up() as workceptor:
                assert workceptor.get("unit0001").shown.state is State.FAILED

        play(story)

    def test_other_units_are_not_touched(self, play: Play) -> None:
        async def story(node: Node) -> None:
            node.store("unit0001", b"{")
            node.store("unit0002", Status(state=State.SUCCEEDED, detail="x", stdout_size=0, work_type="cat"))
            async with node.up() as workceptor:
                assert outcome(workceptor.get("unit0002")) == (State.SUCCEEDED, "x")

        play(story)

    def test_of_a_command_that_still_runs(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit(workceptor, "nap")
                unit_id, pid = unit.unit_id, pid_of(unit)
            node.folder(unit_id).status_file.write_bytes(b"{")
            async with node.up() as workceptor:
                unit = workceptor.get(unit_id)
                assert unit.shown.state is State.FAILED
                assert is_alive(pid)
                assert await unit.release(force=False)
                assert not is_alive(pid)
                assert not unit.folder.path.exists()

        play(story)

    def test_that_can_not_even_be_looked_at(self, play: Play) -> None:
        async def story(node: Node) -> None:
            folder = node.store("unit0001", b"{}")
            folder.stdout_file.unlink()
            folder.stdout_file.symlink_to(folder.stdout_file)
            async with node.up() as workceptor:
                assert workceptor.get("unit0001").shown.state is State.FAILED

        play(story)

    def test_a_damaged_record_of_the_process(self, play: Play) -> None:
        async def story(node: Node) -> None:
            folder = node.store("unit0001", pending("cat", "Starting Worker"))
            folder.process_file.write_bytes(b"{")
            async with node.up() as workceptor:
                state, detail = outcome(workceptor.get("unit0001"))
                assert state is State.FAILED
                assert "damaged" in detail

        play(story)


class TestRemoteUnits:
    def test_undelivered_work_is_delivered_after_a_restart(self, play: Play) -> None:
        async def story(node: Node) -> None:
            node.mesh.is_reachable = False
            async with node.up() as workceptor:
                unit_id = (await submit_to_bar(workceptor)).unit_id
            node.mesh.is_reachable = True
            async with node.up() as workceptor:
                await node.mesh.asked("status")
                assert node.mesh.unit.payload == b"payload"
                node.mesh.unit.output(b"late but whole")
                node.mesh.unit.succeed()
                assert await results(workceptor, unit_id) == b"late but whole"
                assert outcome(workceptor.get(unit_id)) == (State.SUCCEEDED, "exit status 0")

        play(story)

    def test_output_goes_on_after_a_restart(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit_to_bar(workceptor)
                node.mesh.unit.output(b"first ")
                output = follow(unit, 0, workceptor.growth)
                assert await anext(output) == b"first "
                await output.aclose()
                unit_id = unit.unit_id
            async with node.up() as workceptor:
                node.mesh.unit.output(b"second")
                node.mesh.unit.succeed()
                assert await results(workceptor, unit_id) == b"first second"
                assert node.mesh.runs == 1

        play(story)

    def test_one_whose_payload_was_still_coming(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(remote_work())
                unit_id = unit.unit_id
            async with node.up() as workceptor:
                assert outcome(workceptor.get(unit_id)) == (
                    State.FAILED,
                    "Error reading input data: the node ended before it was complete",
                )
            assert node.mesh.dialled_at == []

        play(story)

    @pytest.mark.parametrize("detail", ["Waiting for Input Data", "Unit Created"])
    def test_a_payload_that_the_other_node_says_to_wait_for_is_not_our_clients(self, play: Play, detail: str) -> None:

        async def story(node: Node) -> None:
            node.mesh.begins_at_once = False
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(remote_work(), "node foo", "key-1")
                await unit.receive_payload(parts(b"payload"))
                await unit.start()
                node.mesh.unit.become(State.PENDING, detail)
                while unit.shown.detail != detail:
                    await unit.changed_since(unit.version)
            async with node.up() as workceptor:
                unit = workceptor.get(unit.unit_id)
                assert unit.has_payload
                assert await workceptor.make_unit(remote_work(), "node foo", "key-1") is unit
                node.mesh.unit.begin()
                node.mesh.unit.succeed()
                await unit.final()
                assert outcome(unit) == (State.SUCCEEDED, "exit status 0")

        play(story)

    def test_a_failure_that_the_other_node_tells_of_is_the_end(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(remote_work(), "local", "key-1")
                await unit.receive_payload(parts(b"payload"))
                await unit.start()
                node.mesh.unit.become(State.FAILED, "Error reading input data: so it says")
                await unit.final()
                assert await workceptor.make_unit(remote_work(), "local", "key-1") is unit
                assert unit.has_payload

        play(story)

    def test_a_release_while_the_payload_came_is_finished_after_a_restart(self, play: Play) -> None:
        async def story(node: Node) -> None:
            extra = RemoteExtra(remote_node="bar", local_cancelled=True, local_released=True)
            detail = "Waiting for Input Data"
            status = Status(state=State.CANCELED, detail=detail, stdout_size=0, work_type="remote", extra=extra)
            folder = node.store("unit0001", status)
            async with node.up() as workceptor:
                assert workceptor.units == {}
                assert not folder.path.exists()

        play(story)

    def test_a_pending_release_is_carried_out_after_a_restart(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit_to_bar(workceptor)
                node.mesh.is_reachable = False
                node.mesh.cut_all()
                assert not await unit.release(force=False)
                folder = unit.folder.path
            node.mesh.is_reachable = True
            async with node.up():
                await asyncio.to_thread(eventually, lambda: not folder.exists())
            assert node.mesh.units["there001"].is_released

        play(story)

    def test_a_route_to_the_node_ends_all_pauses(self, play: Play) -> None:
        async def story(node: Node) -> None:
            node.mesh.is_reachable = False
            async with node.up() as workceptor:
                units = [await submit_to_bar(workceptor) for _ in range(3)]
                node.mesh.tell_routes(foo="foo")
                assert len(node.mesh.dialled_at) == 3
                node.mesh.is_reachable = True
                node.mesh.tell_routes(foo="foo", bar="foo")
                await node.mesh.asked("submit", 3)
                tries = len(node.mesh.dialled_at)
                node.mesh.tell_routes(bar="foo")
                await asyncio.sleep(0)
                assert len(node.mesh.dialled_at) == tries, "it was in reach before"
                assert all(isinstance(unit, RemoteWorkUnit) for unit in units)

        play(story)

    def test_nothing_is_begun_when_the_node_ends(self, play: Play) -> None:
        async def story(node: Node) -> None:
            node.mesh.is_reachable = False
            async with node.up() as workceptor:
                await submit_to_bar(workceptor)
                closing = asyncio.create_task(workceptor.close())
                while not closing.done():
                    node.mesh.tell_routes(bar="bar")
                    node.mesh.tell_routes()
                    await asyncio.sleep(0)
                await closing
                node.mesh.tell_routes(bar="bar")
            assert node.mesh.commands == []

        play(story)

    def test_a_release_of_what_an_older_daemon_left(self, play: Play) -> None:
        """Its files lack our newer keys."""

        async def story(node: Node) -> None:
            old = Status(
                state=State.SUCCEEDED,
                detail="exit status 0",
                stdout_size=2,
                work_type="remote",
                extra=RemoteExtra(remote_node="bar", remote_unit_id="there001", remote_started=True),
            )
            raw = msgspec.json.decode(encode_status(old))
            del raw["ExtraData"]["SignWork"]
            node.store("AbCd1234", msgspec.json.encode(raw), b"hi")
            async with node.up() as workceptor:
                assert await results(workceptor, "AbCd1234") == b"hi"
                assert await workceptor.get("AbCd1234").release(force=False), "gone there is released too"
                assert node.mesh.count("release") == 1

        play(story)


class TestHowRemoteCommandsEnded:
    PROCESS: ClassVar[dict[str, object]] = {
        "Signal": 9,
        "Started": "2026-11-23T12:00:00Z",
        "Ended": "2026-11-23T12:00:02.5Z",
        "UserSeconds": 1.5,
        "SystemSeconds": 0.25,
        "PeakMemory": 4096,
    }

    @pytest.mark.parametrize("told", [False, True])
    def test_is_still_known_after_a_restart_if_it_was_told(self, play: Play, told: bool) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit_to_bar(workceptor)
                node.mesh.unit.process = self.PROCESS if told else None
                node.mesh.unit.become(State.FAILED, "signal: killed")
                await unit.final()
                before = unit.end
            async with node.up() as workceptor:
                end = workceptor.get(unit.unit_id).end
                assert end == before
                assert (msgspec.to_builtins(end.answer()) if end else None) == (self.PROCESS if told else None)

        play(story)


class TestManyUnits:
    @pytest.fixture(autouse=True)
    def few_descriptors(self) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, limits[1]))
        yield
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    def test_at_once_need_few_descriptors(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                clients = asyncio.Semaphore(20)

                async def client() -> Unit:
                    async with clients:
                        return await submit(workceptor, "nap")

                units = await asyncio.gather(*(client() for _ in range(300)))
                pids = [pid_of(unit) for unit in units]
                assert {(await unit.current_status()).state for unit in units} == {State.RUNNING}
                assert all(map(is_alive, pids))
                starter = (node.data_folder / runner.LOCK).read_text().strip()
                for process in ("self", starter):
                    assert len(os.listdir(f"/proc/{process}/fd")) < 50
            async with node.up() as workceptor:
                units = list(workceptor.units.values())
                assert all(await asyncio.gather(*(unit.cancel() for unit in units[:150])))
                assert {outcome(unit) for unit in units[:150]} == {(State.CANCELED, "Canceled")}
                assert all(await asyncio.gather(*(unit.release(force=False) for unit in units)))
                assert workceptor.units == {}
                assert not any(map(is_alive, pids))

        play(story)


class TestTheEnd:
    def test_commands_go_on_and_followers_are_no_burden(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit(workceptor, "nap")
                following = asyncio.create_task(results(workceptor, unit.unit_id))
                await asyncio.sleep(0)
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
                pid = pid_of(unit)
            assert is_alive(pid)

        play(story)

    def test_with_an_order_under_way(self, play: Play) -> None:
        """The client that gave it is told nothing, and no signal follows."""

        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await submit(workceptor, "bash", STUBBORN)
                await has_output(unit, b"on\n")
                asking = [asyncio.create_task(unit.cancel()), asyncio.create_task(unit.release(force=True))]
                await has_output(unit, b"on\nINT\n")
                await workceptor.close()
                assert await asyncio.gather(*asking, return_exceptions=True) != [True, True]
                assert is_alive(pid_of(unit))
                assert unit.folder.path.exists()

        play(story)


def pending(work_type: str, detail: str) -> Status:
    return Status(state=State.PENDING, detail=detail, stdout_size=0, work_type=work_type, extra=CommandExtra())


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
    eventually(lambda: not is_alive(pid))


async def heard(follower: Follower, last: str) -> list[UnitEvent]:
    """Events up to the first of that kind."""
    events: list[UnitEvent] = []
    while not events or events[-1].event != last:
        events += [event for event in await follower.take() if isinstance(event, UnitEvent)]
    return events


def test_what_becomes_of_a_unit_is_told_to_those_who_follow(play: Play) -> None:
    async def story(node: Node) -> None:
        async with node.up() as workceptor:
            with node.events.followed(lambda _: True) as follower:
                unit = await submit(workceptor, "bash", "-c 'exit 3'")
                await unit.final()
                assert await unit.release(force=False)
                made, *changed, gone = await heard(follower, "unit.released")
            assert (made.event, made.state_name, made.work_type) == ("unit.created", "Pending", "bash")
            assert (gone.event, gone.state_name) == ("unit.released", "Failed")
            assert {event.event for event in changed} == {"unit.changed"}
            assert [event.state for event in changed] == sorted({event.state for event in changed})
            assert changed[-1].detail == "exit status 3"
            assert {event.unit_id for event in [made, *changed, gone]} == {unit.unit_id}
            assert made.remote_node is msgspec.UNSET

    play(story)


def test_of_a_unit_on_another_node_it_is_told_which(play: Play) -> None:
    async def story(node: Node) -> None:
        async with node.up() as workceptor:
            with node.events.followed(lambda _: True) as follower:
                unit = await workceptor.make_unit(RemoteWork(node="bar", work_type="cat", parameters={}))
                assert await unit.release(force=False)
                events = [event for event in await follower.take() if isinstance(event, UnitEvent)]
            assert [event.event for event in events].count("unit.released") == 1
            assert {event.remote_node for event in events} == {"bar"}

    play(story)


def test_of_units_of_others_nobody_hears_who_may_not_list_them(play: Play) -> None:
    async def story(node: Node) -> None:
        async with node.up() as workceptor:
            lists_own = AccessRule(allow=frozenset({Right.LIST}), nodes=frozenset({"*"}))
            told_to_bar = AccessPolicy("foo", (lists_own,), workceptor.units).told_to(BAR)
            with node.events.followed(told_to_bar) as follower:
                others = [await workceptor.make_unit(command_work("cat", {}), who) for who in ("local", "node baz")]
                own = await workceptor.make_unit(command_work("cat", {}), BAR.who)
                for unit in (*others, own):
                    assert await unit.release(force=False)
                events = await heard(follower, "unit.released")
            assert {event.unit_id for event in events} == {own.unit_id}
            assert events[0].event == "unit.created"

    play(story)


class TestNamesAndTimes:
    """What is known of a unit besides its status, and stays so."""

    def test_of_commands(self, play: Play) -> None:
        async def story(node: Node) -> None:
            began = time.time()
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(command_work("cat", {}), name="nightly run")
                await unit.receive_payload(parts(b"x"))
                await unit.start()
                await unit.final()
                assert unit.end is not None
                assert unit.ended_at == pytest.approx(unit.end.ended, abs=1e-6)
                assert unit.ended_at is not None
                assert began <= unit.created_at <= unit.ended_at <= time.time()
                unnamed = await submit(workceptor, "cat")
                assert not unnamed.folder.submission_file.exists()
                await unnamed.final()
            async with node.up() as workceptor:
                again = workceptor.get(unit.unit_id)
                assert again.submission.name == "nightly run"
                assert shown_times(again) == shown_times(unit)
                assert shown_times(workceptor.get(unnamed.unit_id)) == shown_times(unnamed)

        play(story)

    def test_of_units_that_end_without_a_command(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(remote_work(), name="far away")
                assert shown_times(unit)[1] is None
                before = time.time()
                assert await unit.cancel()
                assert unit.ended_at is not None
                assert before <= unit.ended_at <= time.time()
            async with node.up() as workceptor:
                again = workceptor.get(unit.unit_id)
                assert again.submission.name == "far away"
                assert shown_times(again) == shown_times(unit)

        play(story)

    def test_of_units_that_an_existing_node_has_left(self, play: Play) -> None:
        async def story(node: Node) -> None:
            ended = Status(state=State.FAILED, detail="exit status 1", stdout_size=0, work_type="cat")
            folder = node.store("unit0001", ended)
            os.utime(folder.lock_file, (2000, 2000))
            os.utime(folder.stdin_file, (1000, 1000))
            os.utime(folder.status_file, (2000, 2000))
            async with node.up() as workceptor:
                unit = workceptor.get("unit0001")
                assert (unit.created_at, unit.ended_at, unit.submission.name) == (1000, 2000, "")

        play(story)

    def test_a_key_stands_for_the_name_too(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(remote_work(), "local", "key-1", "nightly")
                assert await workceptor.make_unit(remote_work(), "local", "key-1", "nightly") is unit
                with pytest.raises(CommandError, match=f"was used for another name, in unit {unit.unit_id}; give each"):
                    await workceptor.make_unit(remote_work(), "local", "key-1", "weekly")

        play(story)


def shown_times(unit: Unit) -> tuple[object, object]:
    shown = answer(unit.shown, created=unit.created_at, ended=unit.ended_at)
    return shown.created, shown.ended


ENVIRONMENT = {"TOKEN": "hush", "HOME": "/nowhere"}


ENDED = ExitRecord(
    exit_code=0, signal=None, started=1.0, ended=2.0, user_seconds=0.0, system_seconds=0.0, peak_memory=4096
)


def with_environment(work_type: str, script: str = "", **environment: str) -> CommandWork:
    return command_work(work_type, {"params": f"'{script}'", "secret_env": json.dumps(environment or ENVIRONMENT)})


class TestEnvironment:
    def test_the_command_has_it_and_nobody_else_keeps_it(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(with_environment("open", "echo $TOKEN $HOME; exec sleep 60"))
                file = unit.folder.environment_file
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
                await unit.receive_payload(parts(b""))
                await unit.start()
                stdout = unit.folder.stdout_file
                await asyncio.to_thread(eventually, lambda: stdout.read_bytes() == b"hush /nowhere\n")
                while unit.shown.state is not State.RUNNING:
                    await unit.changed_since(unit.version)
                await unit.saved()
                assert unit.environment == ""
                for kept in unit.folder.path.iterdir():
                    assert b"hush" not in kept.read_bytes() or kept == unit.folder.stdout_file
                await unit.release(force=True)

        play(story)

    def test_it_must_be_allowed(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                with pytest.raises(
                    CommandError, match=r"^secret_env provided but not allowed: work type bash takes none$"
                ):
                    await workceptor.make_unit(with_environment("bash"))
                with pytest.raises(CommandError, match="can't be the name of a variable"):
                    await workceptor.make_unit(with_environment("open", **{"a-b": "x"}))
                with pytest.raises(CommandError, match="cannot send secrets over a non-TLS connection"):
                    await workceptor.make_unit(remote_work({"secret_env": "{}"}))
                with pytest.raises(CommandError, match="must be a JSON object"):
                    await workceptor.make_unit(remote_work({"secret_env": "[]"}, tls_client="secure"))
                assert workceptor.units == {}

        play(story)

    def test_it_is_there_after_a_restart_before_the_start(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(with_environment("open", "echo $TOKEN"))
                await unit.receive_payload(parts(b"payload"))
            async with node.up() as workceptor:
                again = workceptor.get(unit.unit_id)
                await again.final()
                assert again.folder.stdout_file.read_bytes() == b"hush\n"
                await again.saved()
                assert not again.folder.environment_file.exists()

        play(story)

    def test_no_trace_is_left_of_one_that_never_ran(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                unit = await workceptor.make_unit(with_environment("open"))
                await unit.cancel()
                await unit.saved()
                assert not unit.folder.environment_file.exists()
            leftover = node.store(
                "unit0001",
                Status(state=State.FAILED, detail="x", stdout_size=0, work_type="open"),
                submission=Submission(has_environment=True),
            )
            leftover.environment_file.write_text("{}")
            lost = node.store(
                "unit0002",
                Status(state=State.PENDING, detail="Starting Worker", stdout_size=0, work_type="open"),
                submission=Submission(has_environment=True),
            )
            async with node.up() as workceptor:
                assert not leftover.environment_file.exists()
                assert workceptor.get(lost.unit_id).status.state is State.FAILED
                assert not lost.process_file.exists()

        play(story)

    def test_no_trace_is_left_after_a_crash_before_it_was_noted_that_the_command_runs(self, play: Play) -> None:
        async def story(node: Node) -> None:
            pending = Status(state=State.PENDING, detail="Starting Worker", stdout_size=0, work_type="open")
            leftover = node.store("unit0001", pending, submission=Submission(has_environment=True))
            leftover.environment_file.write_text(json.dumps(ENVIRONMENT))
            leftover.write_exit(ENDED)
            async with node.up() as workceptor:
                unit = workceptor.get("unit0001")
                await unit.final()
                await unit.saved()
                assert unit.status.state is State.SUCCEEDED
                assert not leftover.environment_file.exists()

        play(story)

    def test_no_trace_is_left_of_one_that_could_not_be_started(
        self, play: Play, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def story(node: Node) -> None:
            missing = WorkCommand(work_type="missing", command="/no/such/program", allow_runtime_environment=True)
            async with node.up(missing) as workceptor:
                unit = await workceptor.make_unit(
                    command_work("missing", {"secret_env": json.dumps(ENVIRONMENT)}), name="named"
                )
                await unit.receive_payload(parts(b""))
                with caplog.at_level(logging.DEBUG), pytest.raises(CommandError) as refused:
                    await unit.start()
                await unit.saved()
                assert not unit.folder.environment_file.exists()
                shown = msgspec.json.encode(answer(unit.shown))
                assert not [text for text in (str(refused.value), caplog.text, str(shown)) if "hush" in text]

        play(story)

    def test_what_others_write_takes_little_room_in_events(self, play: Play) -> None:
        async def story(node: Node) -> None:
            long = "x" * (LONGEST_TEXT + 1)
            async with node.up() as workceptor:
                with node.events.followed(lambda _: True) as follower:
                    unit = await workceptor.make_unit(RemoteWork(node=long, work_type="cat", parameters={}))
                    await unit.update(detail=long)
                    events = [event for event in await follower.take() if isinstance(event, UnitEvent)]
                assert unit.shown.detail == long
                assert {event.remote_node for event in events} == {long[:LONGEST_TEXT]}
                assert events[-1].detail == long[:LONGEST_TEXT]
                await unit.release(force=True)

        play(story)

    def test_a_remote_unit_has_it_apart_from_its_status(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                parameters = {"secret_env": '{"TOKEN": "hush"}', "secret_other": "s3"}
                unit = await workceptor.make_unit(remote_work(parameters, tls_client="secure"))
                assert isinstance(unit, RemoteWorkUnit)
                assert unit.logic.remote.remote_params == {"secret_other": "s3"}
                assert b"hush" not in unit.folder.status_file.read_bytes()
                assert unit.environment == '{"TOKEN": "hush"}'

        play(story)

    def test_a_key_stands_for_it_too(self, play: Play) -> None:
        async def story(node: Node) -> None:
            async with node.up() as workceptor:
                await workceptor.make_unit(with_environment("open", A="1"), "local", "key-1")
                with pytest.raises(CommandError, match="used for other work"):
                    await workceptor.make_unit(with_environment("open", A="2"), "local", "key-1")

        play(story)
