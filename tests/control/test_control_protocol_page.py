"""docs/control-protocol.md says what the program does: the examples are played against it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from event_loops import EventLoop
from running_mesh import running
from two_way_stream import TwoWayStream

from receptor.config.actions import WorkCommand
from receptor.config.protection import Limits
from receptor.control import multiplexed
from receptor.control.access import AccessPolicy
from receptor.control.answers import NodeStatus, ReloadAnswer
from receptor.control.commands import LONGEST_KEY, LONGEST_NAME, Command, Multiplex, parse
from receptor.control.dispatch import Dispatcher
from receptor.control.mesh_commands import MeshCommands
from receptor.control.service import ControlService
from receptor.control.work_commands import LONGEST_WAIT, MOST_WAITING, WorkCommands
from receptor.errors import NOT_NOW
from receptor.events import MOST_KEPT, Told
from receptor.netceptor.messages import parse_time
from receptor.node.byte_stream import LOCAL_CLIENT
from receptor.workceptor.command_unit import ANSWER_TIME
from receptor.workceptor.news import MOST_OUTPUT
from receptor.workceptor.numbered import MOST_ATTACHED
from receptor.workceptor.status import State
from receptor.workceptor.unit import FIRST_BREATH
from receptor.workceptor.workceptor import Workceptor

PAGE = Path(__file__).parents[2].joinpath("docs/control-protocol.md").read_text()
UNIT = "Gd4bVTRs"
"""How the page calls whatever unit there is."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

GREETER = WorkCommand("greeter", "bash", """-c 'read line; echo "$line"; exec sleep 600'""")


def transcripts() -> list[list[str]]:
    """The examples, line by line."""
    blocks = re.findall(r"(?:^    [<>] .*\n)+", PAGE, re.MULTILINE)
    return [[line[4:] for line in block.splitlines()] for block in blocks]


async def no_reload() -> ReloadAnswer:
    raise AssertionError


@asynccontextmanager
async def client(data_folder: Path) -> AsyncIterator[TwoWayStream]:
    """A local client of a node foo."""
    async with running("foo") as mesh:
        workceptor = Workceptor(mesh, data_folder, (GREETER,), None)
        await workceptor.start()
        work = WorkCommands("foo", workceptor, None)
        access = AccessPolicy("foo", (), workceptor.units)
        service = ControlService("foo", Dispatcher(access, MeshCommands(mesh), work, no_reload))
        stream = TwoWayStream(LOCAL_CLIENT)
        session = asyncio.create_task(service.serve(stream))
        try:
            yield stream
        finally:
            stream.break_off()
            await session
            for unit in list(workceptor.units.values()):
                await unit.release(force=True)
            await workceptor.close()


def messages(lines: list[str]) -> list[str]:
    """The lines of the page, each with the one that is attached to it."""
    found: list[str] = []
    for line in lines:
        if found and re.fullmatch(r"\d+ [1-9]\d* .*", found[-1]):
            found[-1] += f"\n{line}\n"
        else:
            found.append(line)
    return found


async def play(stream: TwoWayStream, transcript: list[str]) -> None:
    """Say what the client says; what the node says may come in any order until the client speaks again."""
    unit_id, is_numbered = UNIT, False
    for speaker, group in groupby(transcript, key=lambda line: line[0]):
        lines = [line[2:] for line in group]
        if speaker == ">":
            stream.say("".join(f"{line}\n" for line in lines).replace(UNIT, unit_id).encode())
            continue
        pending = messages(lines)
        while pending:
            told = await numbered_answer(stream) if is_numbered else await stream.line()
            if unit_id == UNIT and (made := re.search('"unitid":"(.*?)"', told)):
                unit_id = made[1]
            fitting = [text for text in pending if fits(text, told.replace(unit_id, UNIT))]
            assert fitting, (told, pending)
            pending.remove(fitting[0])
        is_numbered = is_numbered or "Multiplexed" in lines[-1]


async def numbered_answer(stream: TwoWayStream) -> str:
    answer = await stream.answer()
    return f"{answer.number} {len(answer.attached)} {answer.text.decode()}" + (
        f"\n{answer.attached.decode()}" if answer.attached else ""
    )


def fits(text: str, told: str) -> bool:
    """Whether it is what the page says; it leaves out some with three dots."""
    return re.fullmatch(".*?".join(map(re.escape, text.split("…"))), told) is not None


@pytest.mark.parametrize("transcript", transcripts(), ids=lambda transcript: transcript[1][2:])
def test_the_examples_are_true(run: EventLoop, data_folder: Path, transcript: list[str]) -> None:
    async def main() -> None:
        async with client(data_folder) as stream:
            await play(stream, transcript)
            assert stream.written == b""

    run(main())


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = PAGE.split(f"# {heading}\n")[1].split("\n#")[0]
    return [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")][2:]


def test_all_commands_are_there_in_words_and_in_json() -> None:
    kinds = {*Command.__args__, Multiplex}
    in_words = [parse(text.encode()) for row in rows("The commands") for text in re.findall("`(.*?)`", row[0])]
    in_json = [parse(text.encode()) for row in rows("The commands") for text in re.findall("`({.*?})`", row[1])]
    assert {type(command) for command in in_words} == {type(command) for command in in_json} == kinds


def test_each_row_has_the_same_command_twice() -> None:
    for words, json, _ in rows("The commands"):
        assert type(parse(re.findall("`(.*?)`", words)[0].encode())) is type(
            parse(re.findall("`({.*?})`", json)[0].encode())
        )


def test_the_fields_of_the_nodes_status_are_all_there() -> None:
    answer = next(row[2] for row in rows("The commands") if "`status`" in row[0])
    fields = msgspec.structs.fields(NodeStatus)
    assert set(re.findall("`(.*?)`", answer)) == {field.encode_name for field in fields}


def test_the_events_are_all_there_with_their_keys() -> None:
    (block,) = re.findall(r"```json\n(\{\"Time.*?)```", PAGE, re.DOTALL)
    shown = [msgspec.json.decode(line) for line in block.splitlines()]
    keys = {event["Event"]: set(event) for event in shown}
    kinds: set[str] = set()
    for kind in Told.__args__:
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        names = set(get_args(fields["Event"].type))
        kinds |= names
        (example,) = names & keys.keys() - {"unit.created"}
        assert keys[example] | {"Name"} == fields.keys() | {"Name"}
        parse_time(next(event["Time"] for event in shown if event["Event"] == example))
    assert set(re.findall(r"`(\w+\.\w+)`", " ".join(row[0] for row in rows("events")))) == kinds


def test_the_numbers_are_right() -> None:
    page = " ".join(PAGE.split())
    for text in (
        f"({Limits().control_line // 2**20} MiB, `controlline` of `limits`)",
        f"up to {LONGEST_KEY} printable ASCII characters",
        f"up to {LONGEST_NAME} printable characters by which",
        f"if it takes more than {ANSWER_TIME:.0f} seconds",
        f"after {LONGEST_WAIT:.0f} seconds there is one in any case",
        f"While {MOST_WAITING} commands wait for news of a unit",
        f"{FIRST_BREATH * 1000:.0f} ms after its beginning",
        f"up to {MOST_OUTPUT} bytes of the output",
        f"({MOST_ATTACHED} at most)",
        f"{multiplexed.MOST_AT_ONCE} commands may be without an answer",
        f"commands of {multiplexed.MOST_HELD // 2**20} MiB in all",
        f"more than {multiplexed.LONG_ANSWERS} long answers",
        f"`{NOT_NOW}`",
        f"while {MOST_KEPT} events wait for it",
        f"({', '.join(state.title for state in State)};",
    ):
        assert text in page
