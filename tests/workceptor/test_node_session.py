from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping

import pytest
from two_way_stream import TwoWayStream
from virtual_time import run_in_virtual_time

from receptor.errors import PeerError, UnreachableError
from receptor.node.byte_stream import ByteStream
from receptor.workceptor.conversations import Answer, Refused
from receptor.workceptor.node_session import (
    GREETING_TIME,
    MOST_NODES,
    MULTIPLEX_TAG,
    WARM_TIME,
    NodeSessions,
    OpenSession,
)
from receptor.workceptor.numbered import Message, encode

GREETING = b"Receptor Control, node bar\n"
STATUS = {"command": "work", "subcommand": "status", "unitid": "unit0001"}


class Bar(TwoWayStream):
    """A session as the node ``bar`` has it."""

    async def greet(self, *, knows_numbers: bool) -> None:
        self.say(GREETING)
        if knows_numbers:
            assert json.loads(await self.line()) == {"command": "multiplex"}
            self.say(b'{"Multiplexed":true}\n')

    async def command(self) -> tuple[int, dict[str, object], bytes]:
        """The next numbered command and its payload; a command has the form of an answer."""
        message = await self.answer()
        return message.number, json.loads(message.text), message.attached

    def reply(self, number: int, text: bytes, attached: bytes = b"") -> None:
        self.say(encode(Message(number, text, attached)))


class Mesh:
    """Every dial reaches ``bar``."""

    def __init__(self) -> None:
        self.streams: list[Bar] = []
        self.problem: Exception | None = None
        self.dials = 0
        self.takes_numbers = True
        self._dialled = asyncio.Event()

    def tags_of(self, node: str, service: str) -> Mapping[str, str]:
        return {MULTIPLEX_TAG: "true"} if self.takes_numbers else {}

    async def dial(self, node: str, service: str, tls_client: str = "") -> ByteStream:
        assert service == "control"
        self.dials += 1
        await asyncio.sleep(0.01)
        if self.problem is not None:
            raise self.problem
        self.streams.append(Bar())
        self._dialled.set()
        return self.streams[-1]

    async def next_stream(self, number: int = 1) -> Bar:
        while len(self.streams) < number:
            self._dialled.clear()
            await self._dialled.wait()
        return self.streams[number - 1]


async def opened(mesh: Mesh, sessions: NodeSessions, *, knows_numbers: bool = True) -> tuple[OpenSession, Bar]:
    mesh.takes_numbers = knows_numbers
    opening = asyncio.create_task(sessions.to("bar", "").open())
    bar = await mesh.next_stream(len(mesh.streams) + 1)
    await bar.greet(knows_numbers=knows_numbers)
    return await opening, bar


def play(story: Coroutine[None, None, None]) -> None:
    run_in_virtual_time(story)


class TestNumbered:
    def test_answers_find_their_questions_in_any_order(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            session, bar = await opened(mesh, sessions)
            assert session.is_multiplexed
            first = asyncio.create_task(session.ask(STATUS))
            second = asyncio.create_task(session.ask({"command": "work"}, b"payload\n"))
            one, fields, nothing = await bar.command()
            two, _, payload = await bar.command()
            assert (fields, nothing, payload) == (STATUS, b"", b"payload\n")
            assert one != two
            bar.reply(two, b"of the second", b"attached")
            assert await second == Answer("of the second", b"attached")
            assert not first.done()
            bar.reply(one, b"ERROR: of the first")
            with pytest.raises(Refused, match=r"^of the first$"):
                await first
            await sessions.close()

        play(story())

    def test_who_does_not_wait_any_more_holds_up_nobody(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            session, bar = await opened(mesh, sessions)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await session.ask(STATUS)
            number, _, _ = await bar.command()
            bar.reply(number, b"too late")
            asking = asyncio.create_task(session.ask(STATUS))
            number, _, _ = await bar.command()
            bar.reply(number, b"in time")
            assert await asking == Answer("in time")
            await sessions.close()

        play(story())

    @pytest.mark.parametrize("nonsense", [b"no number\n", b"1 99999999 x\n"])
    def test_nonsense_ends_the_session_for_all(self, nonsense: bytes) -> None:
        async def story() -> None:
            mesh = Mesh()
            session, bar = await opened(mesh, NodeSessions(mesh))
            asking = [asyncio.create_task(session.ask(STATUS)) for _ in range(3)]
            await bar.command()
            bar.say(nonsense)
            for result in await asyncio.gather(*asking, return_exceptions=True):
                assert isinstance(result, PeerError)
            assert bar.is_closed
            with pytest.raises(PeerError):
                await session.ask(STATUS)

        play(story())


class TestExistingNodes:
    def test_one_answer_after_the_other(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            session, bar = await opened(mesh, sessions, knows_numbers=False)
            assert not session.is_multiplexed
            asking = [asyncio.create_task(session.ask({"command": "work", "n": n})) for n in range(3)]
            assert [json.loads(await bar.line())["n"] for _ in range(3)] == [0, 1, 2]
            bar.say(b"first\nERROR: second\n")
            bar.say(b"third\n")
            first, second, third = await asyncio.gather(*asking, return_exceptions=True)
            assert (first, third) == (Answer("first"), Answer("third"))
            assert isinstance(second, Refused)
            await sessions.close()

        play(story())

    def test_an_answer_that_nobody_waits_for_is_passed_over(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            session, bar = await opened(mesh, sessions, knows_numbers=False)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await session.ask(STATUS)
            asking = asyncio.create_task(session.ask(STATUS))
            await bar.line()
            await bar.line()
            bar.say(b"of the one that was given up\nof the other\n")
            assert await asking == Answer("of the other")
            await sessions.close()

        play(story())

    def test_an_answer_to_no_question_ends_the_session(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            session, bar = await opened(mesh, NodeSessions(mesh), knows_numbers=False)
            bar.say(b"by the way\n")
            await asyncio.sleep(1)
            assert session.is_over
            with pytest.raises(PeerError, match="not asked"):
                await session.ask(STATUS)

        play(story())

    def test_one_that_comes_to_be_known_to_take_numbers_gets_a_new_session(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            first, _ = await opened(mesh, sessions, knows_numbers=False)
            assert await sessions.to("bar", "").open() is first
            second, _ = await opened(mesh, sessions)
            assert second.is_multiplexed
            assert await sessions.to("bar", "").open() is second
            await asyncio.sleep(WARM_TIME + 1)
            await sessions.close()
            assert first.is_over

        play(story())


class TestOneForAll:
    def test_all_who_want_it_at_once_share_it(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            opening = [asyncio.create_task(sessions.to("bar", "").open()) for _ in range(10)]
            await (await mesh.next_stream()).greet(knows_numbers=True)
            assert len(set(map(id, await asyncio.gather(*opening)))) == 1
            assert mesh.dials == 1
            await sessions.close()

        play(story())

    def test_whoever_gives_up_the_wait_leaves_it_to_the_others(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            impatient = asyncio.create_task(sessions.to("bar", "").open())
            patient = asyncio.create_task(sessions.to("bar", "").open())
            bar = await mesh.next_stream()
            impatient.cancel()
            await bar.greet(knows_numbers=True)
            assert (await patient).is_multiplexed
            assert impatient.cancelled()
            await sessions.close()

        play(story())

    def test_each_way_to_secure_it_has_its_own(self) -> None:
        sessions = NodeSessions(Mesh())
        assert sessions.to("bar", "") is sessions.to("bar", "")
        assert sessions.to("bar", "") is not sessions.to("bar", "mesh-tls")
        assert sessions.to("bar", "") is not sessions.to("baz", "")

    def test_a_new_one_follows_a_broken_one(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            session, bar = await opened(mesh, sessions)
            asking = asyncio.create_task(session.ask(STATUS))
            await bar.command()
            bar.break_off()
            with pytest.raises(ConnectionError):
                await asking
            again, other = await opened(mesh, sessions)
            assert again is not session
            asking = asyncio.create_task(again.ask(STATUS))
            number, _, _ = await other.command()
            other.reply(number, b"here")
            assert await asking == Answer("here")
            await sessions.close()

        play(story())

    def test_not_remembered_for_ever(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            session, _ = await opened(mesh, sessions)
            kept = sessions.to("bar", "")
            forgotten = sessions.to("elsewhere", "")
            for number in range(MOST_NODES):
                sessions.to(f"node{number}", "")
            assert sessions.to("bar", "") is kept
            assert await kept.open() is session
            assert sessions.to("elsewhere", "") is not forgotten
            await sessions.close()

        play(story())


class TestWarmth:
    def test_a_session_without_questions_is_closed_after_a_while(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            session, bar = await opened(mesh, NodeSessions(mesh))
            asking = asyncio.create_task(session.ask(STATUS))
            number, _, _ = await bar.command()
            await asyncio.sleep(10 * WARM_TIME)
            assert not session.is_over, "a question may wait for its answer"
            bar.reply(number, b"at last")
            await asking
            await asyncio.sleep(WARM_TIME - 1)
            assert not session.is_over
            await asyncio.sleep(2)
            assert session.is_over
            assert bar.is_closed

        play(story())


class TestTrouble:
    def test_nobody_there(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            mesh.problem = UnreachableError("no route to bar")
            with pytest.raises(UnreachableError):
                await sessions.to("bar", "").open()
            mesh.problem = None
            session, _ = await opened(mesh, sessions)
            assert not session.is_over
            await sessions.close()

        play(story())

    def test_silence_instead_of_a_greeting(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            with pytest.raises(UnreachableError, match="bar does not greet"):
                await NodeSessions(mesh).to("bar", "").open()
            assert GREETING_TIME <= asyncio.get_running_loop().time() < GREETING_TIME + 1
            assert mesh.streams[0].is_closed

        play(story())

    def test_silence_instead_of_an_answer(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            opening = asyncio.create_task(NodeSessions(mesh).to("bar", "").open())
            bar = await mesh.next_stream()
            bar.say(GREETING)
            with pytest.raises(UnreachableError, match="bar does not answer"):
                await opening
            assert bar.is_closed

        play(story())

    def test_another_node(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            opening = asyncio.create_task(NodeSessions(mesh).to("bar", "").open())
            bar = await mesh.next_stream()
            bar.say(b"Receptor Control, node mallory\n")
            with pytest.raises(PeerError, match="expected the control service of bar"):
                await opening
            assert bar.is_closed

        play(story())

    def test_closing_gives_up_what_is_asked_and_what_is_opened(self) -> None:
        async def story() -> None:
            mesh = Mesh()
            sessions = NodeSessions(mesh)
            session, bar = await opened(mesh, sessions)
            asking = asyncio.create_task(session.ask(STATUS))
            await bar.command()
            opening = asyncio.create_task(sessions.to("bar", "mesh-tls").open())
            other = await mesh.next_stream(2)
            await sessions.close()
            with pytest.raises(ConnectionError):
                await asking
            with pytest.raises(asyncio.CancelledError):
                await opening
            assert bar.is_closed
            assert other.is_closed

        play(story())
