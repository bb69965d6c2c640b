from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import resource
import stat
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from other_node import FarUnit, OtherNode
from played_keeper import PlayedKeeper
from virtual_time import inline_disk, run_in_virtual_time

from receptor.errors import CommandError, OperatingError
from receptor.node.byte_stream import ByteStream
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.growth import GrowthWatcher
from receptor.workceptor.node_session import WARM_TIME, NodeSessions
from receptor.workceptor.receiving import CREATED
from receptor.workceptor.records import ExitRecord, Submission
from receptor.workceptor.remote import CHECKS, LOCALLY_CANCELLED, REMOTE_IS_GONE, expiration_text
from receptor.workceptor.remote_talks import ANSWER_TIME, NEWS_TIME
from receptor.workceptor.remote_unit import ORDER_TIME, RemoteWorkUnit
from receptor.workceptor.results import follow
from receptor.workceptor.status import RemoteExtra, State, Status, decode_status
from receptor.workceptor.tokens import Deed, Signer
from receptor.workceptor.unit import FIRST_BREATH

PAYLOAD = b"p4yl04d " * 75_000
SHORT_PAYLOAD = b"p4yl04d " * 75
SECRET = "s3cr3t"


@dataclass(frozen=True)
class Kind:
    """With whom a story is played, and about what."""

    is_ours: bool
    payload: bytes = PAYLOAD


ENVIRONMENT = '{"TOKEN": "hush"}'
KINDS = {"existing": Kind(False), "ours": Kind(True), "short": Kind(True, SHORT_PAYLOAD)}


def only(*kinds: str) -> pytest.MarkDecorator:
    """For stories that make sense only with nodes of these kinds."""
    return pytest.mark.parametrize("kind", [KINDS[name] for name in kinds], ids=kinds, indirect=True)


class FakeSigner(Signer):
    def __init__(self) -> None:
        self.signed: list[tuple[str, Deed, str | None]] = []

    def token(self, audience: str, now: float, deed: Deed, payload_digest: str | None) -> str:
        assert abs(now - time.time()) < 60
        self.signed.append((audience, deed, payload_digest))
        return f"token{len(self.signed)}"


class Here:
    """This node with one unit, and the node for which its work is."""

    def __init__(self, data_folder: Path, kind: Kind) -> None:
        self.kind = kind
        self.meet(OtherNode())
        self.folder = UnitFolder(data_folder / "here0001")
        self.folder.create(b"")
        self.keeper = PlayedKeeper()
        self.signer: Signer | None = None
        self.environment = ""
        self.unit = self.new_unit()

    def meet(self, other: OtherNode) -> None:
        self.other = other
        self.other.is_ours = self.kind.is_ours
        self.sessions = NodeSessions(other)

    def new_unit(self, **remote: str | bool) -> RemoteWorkUnit:
        parameters = {"secret_key": SECRET}
        extra = RemoteExtra(remote_node="bar", remote_work_type="echo", remote_params=parameters)
        extra = msgspec.structs.replace(extra, **remote)
        return self.unit_with(
            Status(state=State.PENDING, detail=CREATED, stdout_size=0, work_type="remote", extra=extra)
        )

    def give_environment(self, environment: str) -> None:
        """The next unit, and the one that there is, has such an environment, which is on disk."""
        self.environment = environment
        self.folder.environment_file.write_text(environment)
        self.unit.environment = environment

    def unit_with(self, status: Status) -> RemoteWorkUnit:
        size = self.folder.stdout_size()
        base = (self.folder, status, inline_disk(), self.keeper, Submission())
        self.unit = RemoteWorkUnit(*base, self.sessions, self.signer, size)
        self.unit.environment = self.environment
        return self.unit

    @property
    def payload(self) -> bytes:
        return self.kind.payload

    async def submit(self, payload: bytes | None = None) -> str:
        """What a client does that submits the unit; the result that it is told."""
        await self.unit.save(self.unit.status)
        await self.unit.receive_payload(parts(self.payload if payload is None else payload))
        return await self.unit.start()

    async def run_to_the_end(self, output: bytes = b"output") -> None:
        """The other node's unit begins to run sooner or later, and succeeds."""
        await self.until(lambda: any(unit.runs for unit in self.other.units.values()))
        self.running.output(output)
        self.running.succeed()
        await self.end()

    async def end(self) -> None:
        """The unit is final, and all output is here."""
        await self.unit.final()
        while not self.unit.logic.is_complete:
            await self.unit.changed_since(self.unit.version)

    async def until(self, condition: Callable[[], bool], within: float = 1e6) -> None:
        """Looks once in a (virtual) second, and at the latest moment that is allowed."""
        latest = now() + within
        while not condition():
            assert now() < latest, "too late"
            await asyncio.sleep(min(1, latest - now()))

    async def restart(self) -> None:
        """The daemon ends and comes up again."""
        await self.close()
        self.sessions = NodeSessions(self.other)
        self.unit_with(self.on_disk)
        await self.unit.resume()

    async def close(self) -> None:
        await self.unit.close()
        await self.sessions.close()

    @property
    def running(self) -> FarUnit:
        (unit,) = (unit for unit in self.other.units.values() if unit.runs)
        return unit

    @property
    def on_disk(self) -> Status:
        return decode_status(self.folder.read_status())

    @property
    def output(self) -> bytes:
        return self.folder.stdout_file.read_bytes()

    @property
    def outcome(self) -> tuple[State, str]:
        assert self.unit.shown == self.on_disk
        return self.unit.shown.state, self.unit.shown.detail

    @property
    def is_removed(self) -> bool:
        return not self.folder.path.exists() and "here0001" in self.keeper.forgotten


async def parts(payload: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(payload), 100_000):
        yield payload[start : start + 100_000]


def now() -> float:
    return asyncio.get_running_loop().time()


Story = Callable[[Here], Coroutine[Any, Any, None]]
Play = Callable[[Story], None]


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def play(tmp_path: Path, kind: Kind, caplog: pytest.LogCaptureFixture) -> Play:
    """Plays a story in virtual time, with every kind of other node. No secret may show up in the log."""

    def play(story: Story) -> None:
        async def main() -> None:
            here = Here(tmp_path, kind)
            try:
                await story(here)
            finally:
                await here.close()
                await here.other.close()

        with caplog.at_level(logging.DEBUG):
            run_in_virtual_time(main())
        assert SECRET not in caplog.text
        assert "p4yl04d" not in caplog.text
        assert "token" not in caplog.text

    return play


class TestSubmit:
    def test_to_the_last_byte(self, play: Play) -> None:
        async def story(here: Here) -> None:
            assert await here.submit() == "Job Started"
            await asyncio.sleep(2 * FIRST_BREATH)
            assert here.on_disk.extra == msgspec.structs.replace(
                here.unit.logic.remote, remote_unit_id="there001", remote_started=True
            )
            assert here.other.unit.payload == here.payload
            assert here.other.unit.command["secret_key"] == SECRET
            await here.run_to_the_end(bytes(range(256)) * 1000)
            assert here.output == bytes(range(256)) * 1000
            assert here.outcome == (State.SUCCEEDED, "exit status 0")
            assert here.unit.shown.stdout_size == 256_000

        play(story)

    def test_pending_turns_to_running_when_the_other_node_says_so(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.begins_at_once = False
            await here.submit()
            await here.other.asked("status", 3)
            assert here.outcome == (State.PENDING, "Starting Worker")
            here.other.unit.begin()
            await here.until(lambda: here.unit.shown.state is State.RUNNING)
            assert here.outcome == (State.RUNNING, "Running: PID 7")

        play(story)

    @only("ours", "short")
    def test_the_environment_goes_with_the_work_and_is_kept_no_longer(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.give_environment(ENVIRONMENT)
            here.signer = FakeSigner()
            here.new_unit(sign_work=True)
            await here.submit()
            assert here.other.unit.command["secret_env"] == ENVIRONMENT
            ((_, deed, _),) = here.signer.signed
            assert deed.parameters["secret_env"] == ENVIRONMENT
            assert here.other.unit.command["signature"] == "token1"
            await here.run_to_the_end()
            assert not here.folder.environment_file.exists()
            assert here.unit.environment == ""

        play(story)

    @only("existing")
    def test_a_node_that_would_pass_over_the_environment_does_not_get_the_work(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.give_environment(ENVIRONMENT)
            with pytest.raises(CommandError, match="bar does not know secret_env and would run the command without it"):
                await here.submit()
            assert here.outcome[0] is State.FAILED
            assert here.other.units == {}
            assert not here.folder.environment_file.exists()

        play(story)

    @only("ours")
    def test_work_with_an_environment_waits_until_it_is_known_who_takes_it(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.give_environment(ENVIRONMENT)
            here.other.is_advertised = False
            assert await here.submit() == "Job Submitted"
            assert "the mesh has not told yet whether it takes secret_env" in here.outcome[1]
            await asyncio.sleep(2 * WARM_TIME)
            here.other.is_advertised = True
            await here.run_to_the_end()
            assert here.other.unit.command["secret_env"] == ENVIRONMENT

        play(story)

    def test_an_empty_payload(self, play: Play) -> None:
        async def story(here: Here) -> None:
            assert await here.submit(b"") == "Job Started"
            await here.run_to_the_end(b"")
            assert (here.other.unit.payload, here.output) == (b"", b"")

        play(story)

    def test_refused(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.refusals["submit"] = "unknown work type echo"
            with pytest.raises(CommandError, match="bar refused the work: unknown work type echo"):
                await here.submit()
            assert here.outcome == (State.FAILED, "bar refused the work: unknown work type echo")

        play(story)

    def test_refused_when_the_payload_is_there(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.refusals["payload"] = "no such program"
            here.other.begins_at_once = False
            with pytest.raises(CommandError, match="no such program"):
                await here.submit()
            await here.until(lambda: here.other.units["there001"].is_released)
            assert here.outcome == (State.FAILED, "bar refused the work: no such program")

        play(story)

    def test_signed(self, play: Play) -> None:
        """Each token is for one deed on that node: a submit with all that it says, or an order about the unit there."""

        async def story(here: Here) -> None:
            here.signer = signer = FakeSigner()
            here.new_unit(sign_work=True)
            await here.submit()
            here.running.output(b"x")
            await here.until(lambda: here.output == b"x")
            assert await here.unit.cancel()
            await here.end()
            assert await here.unit.release(force=True)
            signed = [command["subcommand"] for command in here.other.commands if "signature" in command]
            assert sorted(map(str, signed)) == ["cancel", "release", "results", "submit"]
            submit = Deed("submit", "echo", {"secret_key": SECRET, "idempotencykey": "here0001"})
            assert signer.signed == [
                ("bar", submit, hashlib.sha256(here.payload).hexdigest()),
                ("bar", Deed("results", "there001"), None),
                ("bar", Deed("cancel", "there001"), None),
                ("bar", Deed("release", "there001"), None),
            ]

        play(story)

    @only("existing")
    def test_signed_once_more_when_it_is_sent_once_more(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.signer = signer = FakeSigner()
            here.new_unit(sign_work=True)
            here.other.troubles = ["after unit", "in payload"]
            await here.submit()
            await here.run_to_the_end()
            submits = [command for command in here.other.commands if command["subcommand"] == "submit"]
            assert len({command["signature"] for command in submits}) == len(submits) == 3
            deeds = [(deed, digest) for _, deed, digest in signer.signed if deed.command == "submit"]
            assert deeds == [deeds[0]] * 3
            assert [deed.subject for _, deed, _ in signer.signed if deed.command == "release"] == ["there002"]

        play(story)

    def test_the_key_to_sign_with_is_gone(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.new_unit(sign_work=True)
            assert await here.submit() == "Job Submitted"
            state, detail = here.outcome
            assert state is State.PENDING
            assert "configure work-signing" in detail
            here.signer = FakeSigner()
            await here.restart()
            await here.run_to_the_end()

        play(story)

    def test_a_node_that_has_no_room_is_asked_again(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.refusals["submit"] = "not now: 2 units of node foo have not ended on this node"
            assert await here.submit() == "Job Submitted"
            assert here.outcome == (State.PENDING, f"bar does not take the work yet: {here.other.refusals['submit']}")
            await asyncio.sleep(100)
            here.other.refusals.clear()
            await here.run_to_the_end()
            assert here.outcome == (State.SUCCEEDED, "exit status 0")

        play(story)

    def test_nothing_is_sent_while_the_payload_comes(self, play: Play) -> None:
        """The other node would run on the half that is there."""

        async def story(here: Here) -> None:
            whole = asyncio.Event()

            async def payload() -> AsyncIterator[bytes]:
                yield b"first half, "
                await whole.wait()
                yield b"second half"

            await here.unit.save(here.unit.status)
            receiving = asyncio.create_task(here.unit.receive_payload(payload()))
            await asyncio.sleep(1)
            here.unit.route_found()
            await asyncio.sleep(100)
            assert here.other.units == {}
            whole.set()
            await receiving
            assert await here.unit.start() == "Job Started"
            assert here.other.unit.payload == b"first half, second half"

        play(story)

    def test_the_size_of_the_output_that_is_here_is_told_while_it_runs(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.output(b"12345")
            await here.until(lambda: here.output == b"12345")
            status = await here.unit.current_status()
            assert (status.state, status.stdout_size) == (State.RUNNING, 5)

        play(story)


class TestOutOfReach:
    def test_it_is_delivered_later(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.is_reachable = False
            assert await here.submit() == "Job Submitted"
            assert here.outcome == (State.PENDING, "the work waits for a way to bar: no route to bar")
            await here.other.dialled(5)
            assert here.other.dialled_at == [0.0, 1.0, 2.5, 4.75, 8.125]
            here.other.is_reachable = True
            await here.run_to_the_end()
            assert here.output == b"output"
            assert here.other.unit.payload == here.payload

        play(story)

    def test_the_pauses_grow_to_a_minute(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.is_reachable = False
            await here.submit()
            await here.other.dialled(20)
            times = here.other.dialled_at
            assert [later - earlier for earlier, later in zip(times[-6:], times[-5:], strict=False)] == [60.0] * 5

        play(story)

    def test_a_route_ends_the_pause(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.is_reachable = False
            await here.submit()
            await here.other.dialled(15)
            await asyncio.sleep(0.5)
            here.other.is_reachable = True
            found = now()
            here.unit.route_found()
            await here.other.asked("submit")
            assert now() == found

        play(story)

    @pytest.mark.parametrize("greeting", ["Receptor Control, node barbara", "ERROR: too many sessions, try again"])
    def test_somebody_else_greets_or_the_node_is_busy(self, play: Play, greeting: str) -> None:
        async def story(here: Here) -> None:
            here.other.greeting = greeting
            assert await here.submit() == "Job Submitted"
            assert here.other.commands == []
            here.other.greeting = "Receptor Control, node bar"
            await here.run_to_the_end()

        play(story)

    def test_a_restart_before_it_was_delivered(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.is_reachable = False
            await here.submit()
            await here.restart()
            here.other.is_reachable = True
            await here.run_to_the_end()
            assert here.other.unit.payload == here.payload

        play(story)


class TestNoSecureWay:
    """The two nodes don't accept each other."""

    def test_before_the_start_it_fails_the_unit_at_once(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.tls_problem = "its certificate expired"
            with pytest.raises(CommandError, match="no secure way to bar: its certificate expired"):
                await here.submit()
            assert here.outcome == (State.FAILED, "no secure way to bar: its certificate expired")
            await asyncio.sleep(300)
            assert len(here.other.dialled_at) == 1

        play(story)

    def test_also_when_the_node_comes_into_reach_later(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.is_reachable = False
            await here.submit()
            await here.other.dialled(2)
            here.other.tls_problem = "its certificate expired"
            here.other.is_reachable = True
            await here.until(lambda: here.unit.status.state is State.FAILED)
            assert here.unit.status.detail == "no secure way to bar: its certificate expired"

        play(story)

    def test_what_runs_already_waits_until_somebody_has_changed_that(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.other.tls_problem = "its certificate expired"
            await here.restart()
            await asyncio.sleep(300)
            assert here.unit.status.state is not State.FAILED
            here.other.tls_problem = ""
            await here.run_to_the_end()
            assert here.output == b"output"

        play(story)


BREAKS = ["before submit", "after unit", "in payload", "after submit"]


class TestABrokenSubmission:
    @pytest.mark.parametrize("place", BREAKS)
    def test_is_not_lost_and_does_not_run_twice(self, play: Play, place: str) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = [place]
            await here.submit()
            await here.run_to_the_end()
            assert here.other.troubles == []
            assert (here.other.runs, here.running.payload) == (1, here.payload)
            assert here.outcome == (State.SUCCEEDED, "exit status 0")
            assert here.output == b"output"

        play(story)

    @pytest.mark.parametrize("place", BREAKS)
    def test_with_a_restart_right_then(self, play: Play, place: str) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = [place]
            await here.submit()
            await here.restart()
            await here.run_to_the_end()
            assert (here.other.runs, here.running.payload) == (1, here.payload)
            assert here.output == b"output"

        play(story)

    @only("existing")
    @pytest.mark.parametrize("place", ["before status", "before release", "after release"])
    def test_broken_again_while_that_is_settled(self, play: Play, place: str) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["in payload", place]
            await here.submit()
            await here.run_to_the_end()
            assert here.other.troubles == []
            assert (here.other.runs, here.running.payload) == (1, here.payload)

        play(story)

    @only("existing")
    def test_half_a_unit_is_removed_from_the_other_node(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["in payload"]
            assert await here.submit() == "Job Submitted"
            await here.run_to_the_end()
            assert [unit.is_released for unit in here.other.units.values()] == [True, False]

        play(story)

    @only("existing", "ours")
    def test_the_other_node_forgot_the_half(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["in payload", "before status"]
            await here.submit()
            await here.until(lambda: here.other.troubles == [])
            here.other.units["there001"].is_released = True
            await here.run_to_the_end()
            assert here.other.count("release") == 0

        play(story)

    @only("existing")
    def test_the_other_node_is_slow_to_take_notice_of_what_it_has(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["with the payload in a queue"]
            await here.submit()
            await here.other.asked("status", 2)
            here.other.unit.begin()
            await here.run_to_the_end()
            assert here.other.runs == 1

        play(story)

    @only("existing")
    def test_the_other_node_never_takes_notice(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["with the payload in a queue"]
            await here.submit()
            await here.run_to_the_end()
            assert here.other.units["there001"].is_released
            assert here.other.runs == 1
            assert now() < 10

        play(story)


class TestIdempotencyKeys:
    """A link was cut, and only this node knows it: the other one still waits for the rest of what was sent."""

    @staticmethod
    async def cut_off(here: Here, place: str) -> None:
        """The submission is hanging at that place when the link is cut."""
        here.other.troubles = [place]
        submitting = asyncio.create_task(here.submit())
        await here.until(lambda: here.other.troubles == [])
        await asyncio.sleep(1)
        here.other.cut_all()
        assert await submitting == "Job Submitted"

    @only("ours", "short")
    @pytest.mark.parametrize("restarts", [False, True])
    def test_an_answer_that_was_lost_leads_to_the_same_unit(self, play: Play, restarts: bool) -> None:
        async def story(here: Here) -> None:
            await self.cut_off(here, "silent unit")
            assert here.unit.logic.remote.remote_unit_id == ""
            if restarts:
                await here.restart()
            await here.run_to_the_end()
            assert list(here.other.units) == ["there001"]
            assert (here.other.runs, here.running.payload) == (1, here.payload)
            assert [command["idempotencykey"] for command in here.other.commands[:2]] == ["here0001"] * 2

        play(story)

    @only("ours")
    @pytest.mark.parametrize("restarts", [False, True])
    def test_half_a_payload_is_replaced_in_the_same_unit(self, play: Play, restarts: bool) -> None:
        async def story(here: Here) -> None:
            await self.cut_off(here, "silent payload")
            assert here.unit.logic.remote.remote_unit_id == "there001"
            if restarts:
                await here.restart()
            cut = now()
            await here.run_to_the_end()
            assert now() - cut <= 2
            assert list(here.other.units) == ["there001"]
            assert (here.other.runs, here.running.payload) == (1, here.payload)
            assert here.other.count("release") == 0

        play(story)

    @only("existing", "ours")
    def test_a_payload_that_arrived_is_not_run_again(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.begins_at_once = False
            here.other.troubles = ["after submit", "before status"]
            await here.submit()
            here.other.unit.begin()
            await here.run_to_the_end()
            assert (here.other.runs, here.other.count("submit")) == (1, 1)

        play(story)

    @only("ours")
    def test_a_unit_that_began_after_all_takes_no_second_payload(self, play: Play) -> None:
        """It was still waiting when it was looked at."""

        async def story(here: Here) -> None:
            here.other.troubles = ["with the payload in a queue"]
            await here.submit()
            await here.other.asked("status")
            assert here.other.count("submit") == 1
            here.other.unit.begin()
            await here.run_to_the_end()
            assert here.other.count("submit") == 2
            assert (here.other.runs, here.running.payload) == (1, here.payload)

        play(story)

    @only("existing")
    def test_an_existing_node_gets_a_new_unit(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await self.cut_off(here, "silent payload")
            await here.run_to_the_end()
            assert here.other.count("status") >= CHECKS
            assert here.other.units["there001"].is_released
            assert here.running.unit_id == "there002"
            assert (here.other.runs, here.running.payload) == (1, here.payload)

        play(story)

    @only("existing", "ours")
    def test_a_cancelled_unit_is_not_submitted_once_more(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await self.cut_off(here, "silent payload")
            assert await here.unit.cancel()
            await here.end()
            assert here.outcome == (State.CANCELED, LOCALLY_CANCELLED)
            await asyncio.sleep(1000)
            assert here.other.units["there001"].is_released
            assert (here.other.runs, here.other.count("submit")) == (0, 1)

        play(story)


PROCESS: dict[str, object] = {
    "ExitCode": 0,
    "Started": "2026-11-23T12:00:00Z",
    "Ended": "2026-11-23T12:00:02.5Z",
    "UserSeconds": 1.5,
    "SystemSeconds": 0.25,
    "PeakMemory": 4096,
}
EXIT = ExitRecord(
    exit_code=0,
    signal=None,
    started=1795435200.0,
    ended=1795435202.5,
    user_seconds=1.5,
    system_seconds=0.25,
    peak_memory=4096,
)


class TestHowTheCommandEnded:
    def test_is_copied_from_the_other_node(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.process = PROCESS
            await here.run_to_the_end()
            assert here.unit.end == here.folder.read_exit() == EXIT
            assert stat.S_IMODE(here.folder.exit_file.stat().st_mode) == 0o600

        play(story)

    def test_is_not_told_by_existing_nodes(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            await here.run_to_the_end()
            assert here.unit.end is None
            assert not here.folder.exit_file.exists()

        play(story)

    @only("ours", "short")
    @pytest.mark.parametrize(
        "damaged",
        [
            {**PROCESS, "Started": "x"},
            {**PROCESS, "Ended": "0001-01-01T00:00:00Z"},
            {**PROCESS, "Signal": 9},
            {**PROCESS, "PeakMemory": "much"},
            {},
            5,
        ],
        ids=str,
    )
    def test_that_can_not_be_understood_ends_the_conversation_only(
        self, play: Play, damaged: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.process = damaged
            here.running.output(b"output")
            here.running.succeed()
            await asyncio.sleep(100)
            assert here.unit.shown.state is not State.FAILED
            assert "can't be understood" in caplog.text
            here.running.process = PROCESS
            await here.end()
            assert here.outcome == (State.SUCCEEDED, "exit status 0")
            assert here.output == b"output"
            assert here.folder.read_exit() == EXIT

        play(story)

    def test_that_the_disk_does_not_take(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.folder.exit_file.symlink_to("/dev/full")
            here.running.process = PROCESS
            await here.run_to_the_end()
            assert here.unit.end == EXIT
            assert here.outcome == (State.SUCCEEDED, "exit status 0")

        play(story)
        assert "how the command ended can't be noted: " in caplog.text
        assert "No space left on device" in caplog.text


class TestFollow:
    @only("ours", "short")
    def test_the_end_is_known_soon_after_the_last_byte(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            await asyncio.sleep(100)
            here.other.unit.output(b"last")
            here.other.unit.succeed()
            ended = now()
            await here.end()
            assert now() == ended

        play(story)

    @only("existing")
    def test_a_quiet_unit_is_asked_after_once_in_a_second(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            await asyncio.sleep(100)
            assert here.other.count("status") < 110
            assert here.other.count("results") == 0
            assert len(here.other.dialled_at) == 2, "for the payload, and for all else"
            here.running.output(b"output")
            here.running.succeed()
            ended = now()
            await here.end()
            assert now() - ended <= 1
            assert here.output == b"output"

        play(story)

    @only("ours", "short")
    def test_a_quiet_unit_of_a_node_of_ours_is_hardly_asked_after(self, play: Play, kind: Kind) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            await asyncio.sleep(100)
            assert here.other.count("status") < 5
            assert len(here.other.dialled_at) == (1 if kind.payload is SHORT_PAYLOAD else 2)

        play(story)

    @only("ours", "short")
    def test_a_node_of_ours_tells_of_the_end_at_once(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            await asyncio.sleep(100)
            here.other.unit.succeed()
            ended = now()
            await here.end()
            assert now() == ended

        play(story)

    def test_output_is_followed_live(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            growth = GrowthWatcher()
            output = follow(here.unit, 0, growth)
            for word in (b"one", b"two", b"three"):
                here.running.output(word)
                assert await anext(output) == word
            here.running.succeed()
            assert [data async for data in output] == []
            growth.close()

        play(story)

    @only("ours", "short")
    @pytest.mark.parametrize("quiet", [0.01, 1, 250, 450])
    def test_output_of_signed_work_comes_at_once_though_it_takes_a_signature_to_have_it(
        self, play: Play, quiet: float
    ) -> None:
        """However long after the last answer of the other node it comes."""

        async def story(here: Here) -> None:
            here.signer = FakeSigner()
            here.new_unit(sign_work=True)
            await here.submit()
            await here.other.asked("status", 2)
            for number in range(5):
                await asyncio.sleep(quiet)
                here.running.output(b"%d\n" % number)
                await here.until(lambda: here.output == here.running.stdout, within=0.01)
            here.running.succeed()
            await here.end()
            assert here.output == here.other.unit.stdout

        play(story)

    @only("ours", "short")
    def test_quiet_signed_work_takes_no_stream_of_its_own(self, play: Play, kind: Kind) -> None:
        async def story(here: Here) -> None:
            here.signer = FakeSigner()
            here.new_unit(sign_work=True)
            await here.submit()
            await asyncio.sleep(1000)
            assert here.other.count("results") == 0
            assert here.other.count("status") < 8
            assert len(here.other.dialled_at) == (1 if kind.payload is SHORT_PAYLOAD else 2)

        play(story)

    @only("ours", "short")
    @pytest.mark.parametrize("is_signed", [True, False])
    def test_output_goes_on_though_only_the_stream_that_brings_it_breaks(self, play: Play, is_signed: bool) -> None:
        """The question for the status, in the session that lives, was asked when nobody needed it to tell of output."""

        async def story(here: Here) -> None:
            here.signer = FakeSigner()
            here.new_unit(sign_work=is_signed)
            await here.submit()
            here.running.output(b"x" * 100_000)
            await here.until(lambda: len(here.output) == 100_000)
            await asyncio.sleep(2)
            for _ in range(10):
                here.other.cut_results()
                here.running.output(b"more")
                await here.until(lambda: here.output == here.running.stdout, within=2)
            here.other.cut_results()
            here.other.is_reachable = False
            here.running.output(b"and more")
            await asyncio.sleep(100)
            here.other.is_reachable = True
            here.unit.route_found()
            await here.until(lambda: here.output == here.running.stdout, within=0.01)

        play(story)

    @only("short")
    @pytest.mark.parametrize("is_signed", [True, False])
    def test_output_without_a_pause_comes_once(
        self, play: Play, caplog: pytest.LogCaptureFixture, is_signed: bool
    ) -> None:
        """Also when it changes who brings it, as it may whenever the other node answers in between."""

        async def story(here: Here) -> None:
            here.signer = FakeSigner()
            here.new_unit(sign_work=is_signed)
            await here.submit()
            here.running.output(b"x" * 100_000)
            for number in range(650):
                here.running.output(b"%d\n" % number)
                await asyncio.sleep(1)
            here.running.succeed()
            await here.end()
            assert here.output == here.other.unit.stdout
            assert here.other.count("results") < 5

        play(story)
        assert "ERROR" not in [record.levelname for record in caplog.records]

    @only("ours", "short")
    def test_what_a_conversation_wrote_that_was_given_up_is_not_written_again(
        self, play: Play, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.output(b"one ")
            await here.until(lambda: here.output == b"one ")
            here.running.stdout += b"two "
            here.folder.stdout_file.write_bytes(b"one two ")
            here.running.output(b"three")
            here.running.succeed()
            await here.end()
            assert here.output == b"one two three"

        play(story)
        assert "ERROR" not in [record.levelname for record in caplog.records]

    def test_every_connection_breaks_once_a_second(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            sent = b""
            for number in range(100):
                here.running.output(b"%d\n" % number)
                sent += b"%d\n" % number
                await asyncio.sleep(1)
                here.other.cut_all()
            here.running.succeed()
            await here.end()
            assert here.output == sent
            assert here.outcome == (State.SUCCEEDED, "exit status 0")

        play(story)

    def test_output_goes_on_at_the_offset(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.output(b"12345")
            await here.until(lambda: here.output == b"12345")
            here.other.cut_all()
            here.running.output(b"x" * 100_000)
            await here.other.asked("results", 1)
            await here.until(lambda: len(here.output) == 100_005)
            await here.restart()
            here.running.output(b"67")
            here.running.output(b"y" * 100_000)
            await here.until(lambda: len(here.output) == 200_007)
            assert here.output == here.running.stdout

        play(story)

    def test_a_node_that_has_lost_some_of_it_is_not_asked_for_ever(
        self, play: Play, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            unit = here.running
            unit.output(b"all of it")
            here.other.is_reachable = False
            here.other.cut_all()
            unit.succeed()
            unit.stdout, unit.told_size = b"all", len(b"all of it")
            here.other.is_reachable = True
            here.folder.stdout_file.write_bytes(b"")
            await here.end()
            assert here.output == b"all"
            assert here.unit.shown.stdout_size == 3
            assert "the other node has lost 6 bytes of the output" in caplog.text

        play(story)

    def test_a_failed_unit_has_all_its_output(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.output(b"traceback")
            here.running.become(State.FAILED, "exit status 1")
            await here.end()
            assert here.outcome == (State.FAILED, "exit status 1")
            assert here.output == b"traceback"

        play(story)

    def test_results_that_never_end_for_a_cancelled_unit(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.never_ends_results_of_cancelled = True
            await here.submit()
            here.running.output(b"before")
            await here.until(lambda: here.output == b"before")
            here.running.become(State.CANCELED, "Killed")
            await here.end()
            assert here.outcome == (State.CANCELED, "Killed")
            assert here.output == b"before"

        play(story)

    def test_gone(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.output(b"some")
            await here.until(lambda: here.output == b"some")
            here.running.is_released = True
            await here.end()
            assert here.outcome == (State.FAILED, REMOTE_IS_GONE)
            assert here.output == b"some"

        play(story)

    def test_gone_while_this_node_was_down(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.is_released = True
            await here.restart()
            await here.end()
            assert here.outcome == (State.FAILED, REMOTE_IS_GONE)

        play(story)

    def test_a_node_that_falls_silent(self, play: Play, kind: Kind) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["silent status"]
            await here.submit()
            await here.run_to_the_end()
            patience = NEWS_TIME if kind.is_ours else ANSWER_TIME
            assert patience <= now() < patience + 5

        play(story)

    def test_the_other_node_restarts_in_between(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.output(b"before ")
            await here.until(lambda: here.output == b"before ")
            here.other.is_reachable = False
            here.other.cut_all()
            await asyncio.sleep(1000)
            here.running.output(b"after")
            here.running.succeed()
            here.other.is_reachable = True
            back = now()
            here.unit.route_found()
            await here.end()
            assert now() == back
            assert here.output == b"before after"

        play(story)


class TestOneSessionForAll:
    @staticmethod
    async def units(here: Here, tmp_path: Path, count: int) -> list[RemoteWorkUnit]:
        made = []
        for number in range(count):
            folder = UnitFolder(tmp_path / f"many{number:04}")
            folder.create(b"")
            extra = RemoteExtra(remote_node="bar", remote_work_type="echo")
            status = Status(state=State.PENDING, detail=CREATED, stdout_size=0, work_type="remote", extra=extra)
            base = (folder, status, inline_disk(), here.keeper, Submission())
            unit = RemoteWorkUnit(*base, here.sessions, None, 0)
            await unit.save(unit.status)
            await unit.receive_payload(parts(b"short"))
            made.append(unit)
        await asyncio.gather(*(unit.start() for unit in made))
        return made

    @only("short")
    def test_of_a_node_of_ours(self, play: Play, tmp_path: Path) -> None:
        async def story(here: Here) -> None:
            units = await self.units(here, tmp_path, 50)
            assert len(here.other.dialled_at) == 1
            for far in here.other.units.values():
                far.output(far.unit_id.encode())
            await asyncio.sleep(1)
            here.other.cut_all()
            await asyncio.sleep(1.5)
            assert len(here.other.dialled_at) == 2, "all are followed again after a pause, in one session"
            for far in here.other.units.values():
                far.output(b" and more")
                far.succeed()
            await asyncio.gather(*(unit.final() for unit in units))
            assert len(here.other.dialled_at) == 2
            outputs = {unit.folder.stdout_file.read_bytes() for unit in units}
            assert outputs == {far.stdout for far in here.other.units.values()}
            assert len(outputs) == 50
            assert here.other.runs == 50
            for unit in units:
                await unit.close()

        play(story)

    @only("existing")
    def test_of_an_existing_node(self, play: Play, tmp_path: Path) -> None:
        async def story(here: Here) -> None:
            units = await self.units(here, tmp_path, 50)
            await asyncio.sleep(100)
            assert len(here.other.dialled_at) == 1 + 50, "one for all statuses, one for each payload"
            for far in here.other.units.values():
                far.output(far.unit_id.encode())
                far.succeed()
            await asyncio.sleep(2)
            assert {unit.folder.stdout_file.read_bytes() for unit in units} == {
                far.stdout for far in here.other.units.values()
            }
            for unit in units:
                await unit.close()

        play(story)

    @only("short")
    def test_much_output_has_a_stream_of_its_own(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.output(b"a little")
            await here.until(lambda: here.output == b"a little")
            assert (len(here.other.dialled_at), here.other.count("results")) == (1, 0)
            here.running.output(b"x" * 1_000_000)
            await here.until(lambda: len(here.output) == 1_000_008)
            assert (len(here.other.dialled_at), here.other.count("results")) == (2, 1)
            here.running.succeed()
            await here.end()
            assert here.output == here.running.stdout

        play(story)


class TestAFullDisk:
    def test_while_output_is_fetched(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.output(b"before")
            await here.until(lambda: here.output == b"before")
            here.other.cut_all()
            here.folder.stdout_file.unlink()
            here.folder.stdout_file.symlink_to("/dev/full")
            here.running.output(b"x" * 100_000)
            here.running.succeed()
            await here.unit.final()
            await here.other.asked("results", 4)
            here.folder.stdout_file.unlink()
            await here.end()
            assert here.output == b"before" + b"x" * 100_000

        play(story)

    def test_that_takes_only_a_part(self, play: Play) -> None:
        """What was written before the error is not written once more."""
        output = random.Random(1).randbytes(300_000)

        async def story(here: Here) -> None:
            await here.submit()
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (123_456, limits[1]))
                here.running.output(output)
                here.running.succeed()
                await here.other.asked("results", 4)
                assert here.output == output[:123_456]
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            await here.end()
            assert here.output == output

        play(story)

    @only("short")
    def test_that_does_not_take_the_note_of_a_submission(self, play: Play) -> None:
        """Nothing is sent of which this node would know nothing after a restart."""

        async def story(here: Here) -> None:
            here.other.is_reachable = False
            await here.submit()
            draft = here.folder.path / "status.new"
            draft.unlink(missing_ok=True)
            draft.symlink_to("/dev/full")
            here.other.is_reachable = True
            here.unit.route_found()
            await asyncio.sleep(1000)
            assert here.other.commands == []
            draft.unlink()
            await here.run_to_the_end()
            assert (here.other.runs, here.running.payload) == (1, here.payload)
            assert here.on_disk == here.unit.shown

        play(story)

    @only("existing", "ours")
    def test_that_does_not_take_the_id_of_the_remote_unit(self, play: Play) -> None:
        """Nothing runs of which this node would know nothing after a restart."""

        async def story(here: Here) -> None:
            here.other.is_reachable = False
            await here.submit()
            draft = here.folder.path / "status.new"
            draft.unlink(missing_ok=True)
            draft.symlink_to("/dev/full")
            here.other.is_reachable = True
            here.unit.route_found()
            await here.other.asked("submit", 5)
            assert {unit.payload for unit in here.other.units.values()} == {b""}
            assert here.other.runs == 0
            assert msgspec.structs.replace(here.unit.logic.remote, remote_unit_id="") == here.on_disk.extra
            draft.unlink()
            await here.run_to_the_end()
            assert (here.other.runs, here.running.payload) == (1, here.payload)
            assert here.on_disk == here.unit.shown

        play(story)

    def test_while_the_payload_comes(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.folder.stdin_file.unlink()
            here.folder.stdin_file.symlink_to("/dev/full")
            with pytest.raises(OperatingError, match=r"stdin: No space left on device; free some space"):
                await here.submit()
            assert here.outcome[0] is State.FAILED
            assert here.outcome[1].startswith("Error reading input data: ")
            assert here.other.dialled_at == []

        play(story)


class TestExpiry:
    def test_of_a_unit_that_could_not_be_delivered(self, play: Play) -> None:
        async def story(here: Here) -> None:
            expiration = expiration_text(time.time() + 90)
            here.new_unit(expiration=expiration)
            here.other.is_reachable = False
            assert await here.submit() == "Job Submitted"
            await here.unit.final()
            assert 80 < now() <= 90
            assert here.outcome == (State.FAILED, f"Work unit expired on {expiration}")
            tries = len(here.other.dialled_at)
            await asyncio.sleep(1000)
            assert len(here.other.dialled_at) == tries

        play(story)

    def test_while_this_node_was_down(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.new_unit(expiration=expiration_text(time.time() - 1))
            await here.unit.save(here.unit.status)
            await here.unit.update(detail="the work waits for a way to bar")
            await here.restart()
            assert here.outcome[0] is State.FAILED
            await asyncio.sleep(1000)
            assert here.other.dialled_at == []

        play(story)

    def test_does_not_touch_what_runs(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.new_unit(expiration=expiration_text(time.time() + 90))
            await here.submit()
            await asyncio.sleep(100)
            await here.run_to_the_end()
            assert here.outcome == (State.SUCCEEDED, "exit status 0")

        play(story)

    def test_with_the_payload_on_its_way(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.new_unit(expiration=expiration_text(time.time() + 90))
            here.other.troubles = ["silent payload"]
            submitting = asyncio.create_task(here.submit())
            if here.payload is SHORT_PAYLOAD:
                await asyncio.sleep(100)
                here.other.cut_all()
            with pytest.raises(CommandError, match="expired"):
                await submitting
            await here.until(lambda: here.other.units["there001"].is_released)
            assert here.other.runs == 0
            assert here.outcome[0] is State.FAILED

        play(story)


class TestCancel:
    def test_what_never_reached_the_other_node(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.is_reachable = False
            await here.submit()
            assert await here.unit.cancel()
            assert here.outcome == (State.CANCELED, LOCALLY_CANCELLED)
            here.other.is_reachable = True
            here.unit.route_found()
            await asyncio.sleep(1000)
            assert here.other.commands == []

        play(story)

    def test_a_running_unit(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.output(b"before")
            assert await here.unit.cancel()
            assert here.running.state is State.CANCELED
            await here.end()
            assert here.outcome == (State.CANCELED, "Canceled")
            assert here.output == b"before"

        play(story)

    def test_an_ended_unit(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            await here.run_to_the_end()
            assert await here.unit.cancel()
            assert here.outcome == (State.SUCCEEDED, "exit status 0")
            assert here.other.count("cancel") == 0

        play(story)

    @pytest.mark.parametrize("restarts", [False, True])
    def test_pending_until_the_other_node_is_reached(self, play: Play, restarts: bool) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.other.is_reachable = False
            here.other.cut_all()
            asked = now()
            assert not await here.unit.cancel()
            assert now() == asked
            assert here.on_disk.extra == here.unit.logic.remote
            if restarts:
                await here.restart()
            await asyncio.sleep(1000)
            here.other.is_reachable = True
            await here.end()
            assert here.outcome == (State.CANCELED, "Canceled")

        play(story)

    def test_of_a_silent_node(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.other.troubles = ["silent cancel"]
            asked = now()
            assert not await here.unit.cancel()
            assert now() - asked == ORDER_TIME
            await here.end()
            assert here.outcome == (State.CANCELED, "Canceled")

        play(story)

    @pytest.mark.parametrize("place", ["before cancel", "after cancel"])
    def test_the_answer_is_lost(self, play: Play, place: str) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.other.troubles = [place]
            await here.unit.cancel()
            await here.end()
            assert here.outcome == (State.CANCELED, "Canceled")

        play(story)

    def test_of_a_node_that_forgot_the_unit(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.is_released = True
            assert await here.unit.cancel()
            await here.end()
            assert here.outcome == (State.FAILED, REMOTE_IS_GONE)

        play(story)

    @pytest.mark.parametrize("place", BREAKS)
    def test_after_a_broken_submission(self, play: Play, place: str) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = [place]
            await here.submit()
            assert await here.unit.cancel()
            await here.end()
            assert here.outcome[0] is State.CANCELED
            await asyncio.sleep(1000)
            assert here.other.count("submit") == 1
            assert all(unit.state.is_final for unit in here.other.units.values())

        play(story)

    @only("short")
    @pytest.mark.parametrize("is_lost", [False, True])
    def test_while_a_short_submission_is_in_flight(self, play: Play, is_lost: bool) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["silent payload"] if is_lost else []
            submitting = asyncio.create_task(here.submit())
            await here.other.asked("submit")
            cancelling = asyncio.create_task(here.unit.cancel())
            await asyncio.sleep(1)
            here.other.cut_all()
            assert await cancelling
            with suppress(CommandError):
                await submitting
            await here.end()
            assert here.outcome[0] is State.CANCELED
            await asyncio.sleep(1000)
            assert here.other.count("submit") == 1
            assert all(unit.state.is_final for unit in here.other.units.values())

        play(story)

    @only("short")
    @pytest.mark.parametrize("restarts", [False, True])
    @pytest.mark.parametrize("force", [False, True])
    def test_release_of_a_unit_whose_answer_was_lost(self, play: Play, restarts: bool, force: bool) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["after submit"]
            here.other.is_reachable = True
            submitting = asyncio.create_task(here.submit())
            await here.other.asked("submit")
            here.other.is_reachable = False
            assert await submitting == "Job Submitted"
            if restarts:
                await here.restart()
            here.other.is_reachable = True
            await here.unit.release(force)
            await here.until(lambda: here.is_removed)
            assert (here.other.count("submit"), here.other.runs) == (1, 1)
            assert all(unit.is_released for unit in here.other.units.values()) or force

        play(story)

    @only("existing", "ours")
    def test_with_the_payload_on_its_way(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["silent payload"]
            submitting = asyncio.create_task(here.submit())
            await here.until(lambda: here.unit.logic.remote.remote_unit_id != "")
            assert await here.unit.cancel()
            with pytest.raises(CommandError, match="cancelled before it was started"):
                await submitting
            assert here.outcome == (State.CANCELED, LOCALLY_CANCELLED)
            assert here.other.units["there001"].is_released
            assert here.other.runs == 0

        play(story)

    def test_while_the_client_still_sends_the_payload(self, play: Play) -> None:
        async def story(here: Here) -> None:
            more = asyncio.Event()

            async def payload() -> AsyncIterator[bytes]:
                yield b"p4yl04d"
                await more.wait()
                yield b"the rest"

            receiving = asyncio.create_task(here.unit.receive_payload(payload()))
            await asyncio.sleep(1)
            assert await here.unit.cancel()
            more.set()
            await receiving
            with pytest.raises(CommandError, match="cancelled before it was started"):
                await here.unit.start()
            assert here.outcome == (State.CANCELED, LOCALLY_CANCELLED)
            assert here.other.dialled_at == []

        play(story)


class TestRelease:
    def test_what_never_reached_the_other_node(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.is_reachable = False
            await here.submit()
            assert await here.unit.release(force=False)
            assert here.is_removed
            here.other.is_reachable = True
            await asyncio.sleep(1000)
            assert here.other.commands == []

        play(story)

    @pytest.mark.parametrize("force", [False, True])
    @pytest.mark.parametrize("has_ended", [False, True])
    def test_on_both_nodes(self, play: Play, force: bool, has_ended: bool) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            if has_ended:
                await here.run_to_the_end()
            assert await here.unit.release(force)
            assert here.is_removed
            assert here.running.is_released

        play(story)

    @pytest.mark.parametrize("restarts", [False, True])
    def test_pending_until_the_other_node_is_reached(self, play: Play, restarts: bool) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.other.is_reachable = False
            here.other.cut_all()
            asked = now()
            assert not await here.unit.release(force=False)
            assert not await here.unit.release(force=False)
            assert now() == asked
            if restarts:
                await here.restart()
            await asyncio.sleep(1000)
            assert here.folder.path.exists()
            here.other.is_reachable = True
            await here.until(lambda: here.is_removed)
            assert here.running.is_released

        play(story)

    def test_forced_tries_once(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.other.is_reachable = False
            here.other.cut_all()
            tries = len(here.other.dialled_at)
            assert await here.unit.release(force=True)
            assert here.is_removed
            await asyncio.sleep(1000)
            assert len(here.other.dialled_at) == tries + 1

        play(story)

    @pytest.mark.parametrize("force", [False, True])
    def test_of_a_silent_node(self, play: Play, force: bool) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.other.troubles = ["silent release"]
            asked = now()
            assert await here.unit.release(force) is force
            assert now() - asked == ORDER_TIME
            await here.until(lambda: here.is_removed)

        play(story)

    def test_forced_while_a_gentle_one_is_pending(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.other.troubles = ["silent release"]
            gentle = asyncio.create_task(here.unit.release(force=False))
            await here.other.asked("release")
            assert await here.unit.release(force=True)
            await gentle
            assert here.is_removed

        play(story)

    def test_of_a_node_that_forgot_the_unit(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            here.running.is_released = True
            assert await here.unit.release(force=False)
            assert here.is_removed

        play(story)

    @pytest.mark.parametrize("place", BREAKS)
    def test_after_a_broken_submission(self, play: Play, place: str) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = [place]
            await here.submit()
            assert await here.unit.release(force=False)
            assert here.is_removed
            await asyncio.sleep(1000)
            assert here.other.count("submit") == 1
            assert all(unit.state.is_final for unit in here.other.units.values())

        play(story)

    @only("existing", "ours")
    def test_with_the_payload_on_its_way(self, play: Play) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = ["silent payload"]
            submitting = asyncio.create_task(here.submit())
            await here.until(lambda: here.unit.logic.remote.remote_unit_id != "")
            assert await here.unit.release(force=False)
            with pytest.raises(CommandError, match="cancelled before it was started"):
                await submitting
            assert here.is_removed
            assert here.other.units["there001"].is_released

        play(story)

    def test_while_the_client_still_sends_the_payload(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        async def story(here: Here) -> None:
            more = asyncio.Event()

            async def payload() -> AsyncIterator[bytes]:
                yield b"p4yl04d"
                await more.wait()
                yield b"the rest"

            receiving = asyncio.create_task(here.unit.receive_payload(payload()))
            await asyncio.sleep(1)
            assert await here.unit.release(force=False)
            more.set()
            await receiving
            with pytest.raises(CommandError, match="cancelled before it was started"):
                await here.unit.start()
            assert here.is_removed, "nothing writes it anew"
            assert here.other.dialled_at == []

        play(story)
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

    def test_followers_end(self, play: Play) -> None:
        async def story(here: Here) -> None:
            await here.submit()
            growth = GrowthWatcher()
            output = follow(here.unit, 0, growth)
            here.running.output(b"one")
            assert await anext(output) == b"one"
            following = asyncio.ensure_future(anext(output, b"the end"))
            await here.unit.release(force=True)
            assert await following == b"the end"
            growth.close()

        play(story)

    def test_files_that_can_not_be_deleted(self, play: Play) -> None:
        class Stubborn(UnitFolder):
            is_stubborn = True

            def remove(self) -> None:
                if self.is_stubborn:
                    raise OperatingError("the disk is read-only")
                super().remove()

        async def story(here: Here) -> None:
            here.folder = stubborn = Stubborn(here.folder.path)
            here.new_unit()
            await here.submit()
            with pytest.raises(OperatingError, match="the disk is read-only"):
                await here.unit.release(force=False)
            assert here.keeper.forgotten == [], "it is still listed, and can be released again"
            stubborn.is_stubborn = False
            assert await here.unit.release(force=False)
            assert here.is_removed

        play(story)


class TestEnd:
    @pytest.mark.parametrize("place", ["silent submit", "silent payload", "silent status", "silent results"])
    def test_no_conversation_is_left_when_the_node_ends(self, play: Play, place: str) -> None:
        async def story(here: Here) -> None:
            here.other.troubles = [place]
            submitting = asyncio.create_task(here.submit())
            if place == "silent results":
                await submitting
                here.running.output(b"x" * 100_000)
            await here.until(lambda: here.other.troubles == [])
            await here.unit.close()
            here.unit.route_found()
            submitting.cancel()
            await asyncio.gather(submitting, return_exceptions=True)
            tries = len(here.other.dialled_at)
            await asyncio.sleep(1000)
            assert len(here.other.dialled_at) == tries

        play(story)


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_troubles(play: Play, seed: int) -> None:
    """Whatever breaks and restarts: it runs once, and every byte of the output arrives once."""
    rng = random.Random(seed)
    places = [*BREAKS, "silent unit", "silent payload", "with the payload in a queue"]
    places += ["before status", "before results", "in results", "before release", "after release"]

    async def story(here: Here) -> None:
        here.other.troubles = rng.choices(places, k=3)
        submitting = asyncio.create_task(here.submit())
        sent = b""
        for _ in range(30):
            await asyncio.sleep(rng.choice([0, 0.1, 1, 10]))
            here.other.troubles = [rng.choice(places)]
            here.other.is_reachable = rng.random() < 0.7
            match rng.randrange(5):
                case 0:
                    here.other.cut_all()
                case 1 if submitting.done():
                    await here.restart()
                case 2:
                    here.unit.route_found()
            for unit in here.other.units.values():
                if unit.runs:
                    data = rng.randbytes(rng.randrange(200_000))
                    unit.output(data)
                    sent += data
        here.other.troubles, here.other.is_reachable = [], True
        here.other.cut_all()
        await submitting
        await here.run_to_the_end(b"end")
        assert here.other.runs == 1
        assert here.running.payload == here.payload
        assert here.output == sent + b"end"
        assert here.outcome == (State.SUCCEEDED, "exit status 0")

    play(story)


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_output_goes_on_within_seconds_whatever_broke(play: Play, seed: int, is_signed: bool) -> None:
    rng = random.Random(seed)

    async def out_of_reach(here: Here) -> None:
        here.other.is_reachable = False
        here.other.cut_all()
        here.running.output(b"meanwhile")
        await asyncio.sleep(rng.choice([0.1, 5, 1000]))
        here.other.is_reachable = True
        here.unit.route_found()

    async def story(here: Here) -> None:
        here.signer = FakeSigner()
        here.new_unit(sign_work=is_signed)
        await here.submit()
        for _ in range(20):
            match rng.choice(["all", "results", "reach", "restart", "nothing", "nothing"]):
                case "all":
                    here.other.cut_all()
                case "results":
                    here.other.cut_results()
                case "reach":
                    await out_of_reach(here)
                case "restart":
                    await here.restart()
            await asyncio.sleep(rng.choice([0, 0.001, 0.5, 3, 299.9, 400]))
            here.running.output(rng.randbytes(rng.choice([1, 20_000, 100_000])))
            await here.until(lambda: here.output == here.running.stdout, within=3)

    play(story)


def test_a_defect_of_ours_leaves_no_unit_for_ever(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    class Defective(OtherNode):
        async def dial(self, node: str, service: str, tls_client: str = "") -> ByteStream:
            if not self.dialled_at:
                self.dialled_at.append(now())
                raise RuntimeError("nobody has thought of this")
            return await super().dial(node, service, tls_client)

    async def story(here: Here) -> None:
        here.meet(Defective())
        here.new_unit()
        assert await here.submit() == "Job Submitted"
        await here.run_to_the_end()
        assert here.outcome == (State.SUCCEEDED, "exit status 0")
        assert "a defect of this program, please report it" in caplog.text
        assert "nobody has thought of this" in caplog.text

    play(story)
