from __future__ import annotations

import asyncio
import logging
import stat
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from plain_unit import Fixture, PlainUnit, Play, play_story, settle, with_threads
from played_keeper import PlayedKeeper

from receptor.errors import CommandError, OperatingError
from receptor.workceptor.files import Durability
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.receiving import SHORT_PAYLOAD, WAITING_FOR_PAYLOAD
from receptor.workceptor.records import LOCAL
from receptor.workceptor.status import State, decode_status


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return partial(play_story, tmp_path)


async def payload(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


class TestPayload:
    def test_is_stored_whole(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            assert not it.unit.has_payload
            await it.unit.receive_payload(payload(b"one ", bytes(range(256)), b" two"))
            assert it.folder.stdin_file.read_bytes() == b"one " + bytes(range(256)) + b" two"
            assert stat.S_IMODE(it.folder.stdin_file.stat().st_mode) == 0o600
            assert it.unit.has_payload
            assert (it.on_disk.state, it.on_disk.detail) == (State.PENDING, "Starting Worker")

        play(story)

    def test_is_seen_to_be_on_its_way(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            async def slow_payload() -> AsyncIterator[bytes]:
                assert it.on_disk.detail == "Waiting for Input Data"
                assert not it.unit.has_payload
                yield b"x"

            await it.unit.receive_payload(slow_payload())

        play(story)

    def test_that_breaks_off_fails_the_unit(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            with pytest.raises(ConnectionResetError):
                await it.unit.receive_payload(payload(b"half", ConnectionResetError("the client has left")))
            assert it.on_disk.state is State.FAILED
            assert it.on_disk.detail == "Error reading input data: the client has left"

        play(story)

    def test_that_does_not_fit_on_the_disk_fails_the_unit(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.folder.stdin_file.unlink()
            it.folder.stdin_file.symlink_to("/dev/full")
            with pytest.raises(OperatingError, match="No space left on device"):
                await it.unit.receive_payload(payload(b"x" * 100_000))
            assert it.on_disk.state is State.FAILED
            assert it.on_disk.detail.startswith("Error reading input data: ")

        play(story)

    def test_that_can_not_be_stored_is_taken_all_the_same(self, play: Play) -> None:
        """The rest of it must not be taken for commands of the client."""

        async def story(it: Fixture) -> None:
            it.folder.stdin_file.unlink()
            it.folder.stdin_file.symlink_to("/dev/full")
            coming = payload(b"a playbook", b"\nwork release unit0002\n", b"x" * 100_000)
            with pytest.raises(OperatingError, match="No space left on device"):
                await it.unit.receive_payload(coming)
            assert [part async for part in coming] == []

        play(story)

    def test_whose_receiver_is_cancelled_leaves_no_file_open(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.disk.hold()
            receiving = asyncio.create_task(it.unit.receive_payload(payload(b"x")))
            await settle()
            it.disk.one()
            await settle()
            assert it.on_disk.detail == "Waiting for Input Data"
            assert len(it.disk.waiting) == 1, "the file is being opened"
            receiving.cancel()
            await settle()
            it.disk.go_on()
            with pytest.raises(asyncio.CancelledError):
                await receiving

        play(story)

    def test_that_was_cut_off_by_a_restart(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            await it.unit.payload_is_cut_off("the node ended before it was complete")
            assert it.on_disk.state is State.FAILED
            assert it.on_disk.detail == "Error reading input data: the node ended before it was complete"

        play(story)

    def test_that_is_refused_fails_the_unit(self, play: Play) -> None:
        """Such as one that is too large, or another than the one that was signed."""

        async def story(it: Fixture) -> None:
            with pytest.raises(CommandError, match="another payload"):
                await it.unit.receive_payload(payload(b"x", CommandError("the signature is for another payload")))
            assert it.on_disk.state is State.FAILED
            assert it.on_disk.detail == "Error reading input data: the signature is for another payload"
            assert it.unit.lacks_payload

        play(story)

    def test_that_is_stored_but_nobody_could_know_after_a_restart(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            disk = ExitStack()

            async def filling_payload() -> AsyncIterator[bytes]:
                yield b"the last that fits"
                disk.enter_context(it.folder.full())

            with pytest.raises(OperatingError, match=r"status: No space left on device; free some space"):
                await it.unit.receive_payload(filling_payload())
            assert it.unit.shown.state is State.FAILED
            assert it.on_disk.detail == WAITING_FOR_PAYLOAD
            disk.close()
            await asyncio.sleep(10)
            assert it.on_disk == it.unit.shown
            assert "No space left" in it.on_disk.detail
            assert it.unit.lacks_payload

        play(story)


OF_A_NODE = {"submitter": "node foo", "idempotency_key": "key-1"}


class TestPayloadOfAKeyedUnit:
    """Who gave a key submits the same once more."""

    def test_of_another_node_that_breaks_off_leaves_nothing(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.new_unit(**OF_A_NODE)
            with pytest.raises(ConnectionResetError):
                await it.unit.receive_payload(payload(b"half", ConnectionResetError("the link was cut")))
            assert it.keeper.forgotten == ["unit0001"]
            assert not it.folder.path.exists()

        play(story)

    @pytest.mark.parametrize(
        "submission",
        [
            {"submitter": LOCAL, "idempotency_key": "key-1"},
            {"submitter": "tcp 192.0.2.7", "idempotency_key": "key-1"},
            {"submitter": "node foo"},
        ],
        ids=str,
    )
    def test_of_all_others_fails_the_unit(self, play: Play, submission: dict[str, str]) -> None:
        async def story(it: Fixture) -> None:
            it.new_unit(**submission)
            with pytest.raises(ConnectionResetError):
                await it.unit.receive_payload(payload(b"half", ConnectionResetError("the client has left")))
            assert it.on_disk.state is State.FAILED
            assert it.unit.lacks_payload
            assert it.keeper.forgotten == []

        play(story)

    def test_that_can_not_even_be_removed(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        """That must not hide what happened, nor harm whoever looks after it."""

        async def story(it: Fixture) -> None:
            it.new_unit(**OF_A_NODE)
            in_the_way = it.folder.path.with_name(".removed-unit0001")
            in_the_way.write_text("x")
            with pytest.raises(ConnectionResetError):
                await it.unit.receive_payload(payload(b"half", ConnectionResetError("the link was cut")))
            await it.unit.payload_is_cut_off("the node ended before it was complete")
            assert it.keeper.forgotten == []
            in_the_way.unlink()

        play(story)
        assert "unit0001" in caplog.text
        assert max(record.levelno for record in caplog.records) == logging.ERROR


class TestSettlingAPayload:
    def test_holds_up_no_other_unit_and_comes_before_it_is_called_complete(self, tmp_path: Path) -> None:
        started, go_on = threading.Event(), threading.Event()
        whole = bytes(SHORT_PAYLOAD + 1)

        class SlowToSettle(UnitFolder):
            def settle_payload(self) -> None:
                assert self.stdin_file.read_bytes() == whole
                started.set()
                assert go_on.wait(10)

        async def story(it: PlainUnit) -> None:
            receiving = asyncio.create_task(it.receive_payload(payload(whole)))
            assert await asyncio.to_thread(started.wait, 10)
            async with asyncio.timeout(10):
                assert decode_status(await it.on_disk(it.folder.read_status)).detail == WAITING_FOR_PAYLOAD
            assert not it.has_payload
            go_on.set()
            await receiving
            assert it.has_payload

        with_threads(story, SlowToSettle(tmp_path / "unit0001", Durability.POWER), PlayedKeeper())


class TestReceivingAnew:
    @staticmethod
    async def begun(it: Fixture, *parts: bytes) -> asyncio.Task[None]:
        """A reception that has got some parts, and gets no more."""

        async def slow_payload() -> AsyncIterator[bytes]:
            for part in parts:
                yield part
            await asyncio.Event().wait()

        receiving = asyncio.create_task(it.unit.receive_payload(slow_payload()))
        await settle()
        assert it.folder.stdin_file.read_bytes() == b"".join(parts)
        return receiving

    def test_nothing_fails_and_nothing_is_left_of_what_came_before(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            receiving = await self.begun(it, b"a long " * 10_000, b"payload")
            await it.unit.stop_receiving()
            assert receiving.cancelled()
            assert (it.on_disk.state, it.on_disk.detail) == (State.PENDING, WAITING_FOR_PAYLOAD)
            assert not it.unit.has_payload
            assert not it.unit.lacks_payload
            await it.unit.receive_payload(payload(b"short"))
            assert it.folder.stdin_file.read_bytes() == b"short"
            assert (it.on_disk.state, it.on_disk.detail) == (State.PENDING, "Starting Worker")

        play(story)

    def test_what_the_disk_still_takes_of_the_first_comes_before_the_second(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            more = asyncio.Event()

            async def slow_payload() -> AsyncGenerator[bytes, None]:
                yield b"first" * SHORT_PAYLOAD
                await more.wait()
                yield b"and more of the first"

            coming = slow_payload()
            receiving = asyncio.create_task(it.unit.receive_payload(coming))
            await settle()
            it.disk.hold()
            more.set()
            await settle()
            stopping = asyncio.create_task(it.unit.stop_receiving())
            await settle()
            assert not stopping.done(), "its file is still open"
            it.disk.go_on()
            await stopping
            assert receiving.cancelled()
            await it.unit.receive_payload(payload(b"second"))
            assert it.folder.stdin_file.read_bytes() == b"second"
            await coming.aclose()

        play(story)

    def test_what_is_not_being_received_is_not_stopped(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            await it.unit.stop_receiving()
            await it.unit.receive_payload(payload(b"whole"))
            await it.unit.stop_receiving()
            assert it.unit.has_payload
            assert it.folder.stdin_file.read_bytes() == b"whole"

        play(story)

    def test_the_receiver_may_go_on_with_its_own_business_once_the_payload_is_there(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            async def client() -> str:
                await it.unit.receive_payload(payload(b"whole"))
                await asyncio.sleep(1)
                return "started"

            serving = asyncio.create_task(client())
            await settle()
            assert it.unit.has_payload
            await it.unit.stop_receiving()
            assert await serving == "started"

        play(story)
