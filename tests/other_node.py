"""Another node as units see it: a control service behind ``dial``, with units that the test moves.

It goes wrong where the test says so, and otherwise does what the control protocol says. Breaks are the connection's:
both ends notice them, and with a shared session all that waits in it is lost.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from receptor.control.work_commands import LONGEST_WAIT
from receptor.errors import CommandError, TlsError, UnreachableError
from receptor.node.byte_stream import ByteStream, Carrier, Origin
from receptor.workceptor.news import MOST_OUTPUT
from receptor.workceptor.node_session import MULTIPLEX_TAG
from receptor.workceptor.status import State

WAITING = "Waiting for Input Data"

Command = dict[str, str | int]


class Cut(ConnectionError):
    """The connection was cut."""


class Direction:
    """One direction of a connection."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._is_ended = self._is_cut = False
        self._changed = asyncio.Event()

    async def read(self) -> bytes:
        while not (self._chunks or self._is_ended or self._is_cut):
            self._changed.clear()
            await self._changed.wait()
        if self._chunks:
            return self._chunks.popleft()
        if self._is_cut:
            raise Cut("the connection was cut")
        return b""

    def write(self, data: bytes) -> None:
        if self._is_cut:
            raise Cut("the connection was cut")
        self._chunks.append(data)
        self._changed.set()

    def end(self) -> None:
        self._is_ended = True
        self._changed.set()

    def cut(self) -> None:
        self._is_cut = True
        self._changed.set()


class Near(ByteStream):
    """This node's end."""

    def __init__(self, there: Direction, back: Direction) -> None:
        super().__init__(Origin(Carrier.MESH, "bar", "bar:control"))
        self._there, self._back = there, back

    async def _receive(self) -> bytes:
        return await self._back.read()

    async def write(self, data: bytes) -> None:
        self._there.write(data)

    async def end(self) -> None:
        self._there.end()

    async def left(self) -> None:
        await asyncio.Event().wait()

    async def finish(self) -> None:
        self._there.end()

    def close(self) -> None:
        self._there.cut()
        self._back.cut()


class Far:
    """The other node's end."""

    outlives_a_cut = False
    """Whether a command that came whole is carried out to its end, whatever becomes of the connection."""

    def __init__(self, there: Direction, back: Direction) -> None:
        self._there, self._back = there, back
        self._ahead = b""
        self.over = asyncio.Event()
        """Set when nobody serves the connection any more."""

    async def command(self) -> Command:
        """The next command; empty when the other end is done."""
        line = await self._line()
        fields: Command = json.loads(line) if line else {}
        return fields

    async def numbered(self) -> NumberedFar | None:
        """The next numbered command; None when the other end is done."""
        line = await self._line()
        if not line:
            return None
        number, size, text = line.split(b" ", 2)
        while len(self._ahead) < int(size):
            data = await self._there.read()
            if not data:
                raise Cut("the stream ended amid a payload")
            self._ahead += data
        payload, self._ahead = self._ahead[: int(size)], self._ahead[int(size) :]
        return NumberedFar(self, int(number), json.loads(text), payload)

    async def _line(self) -> bytes:
        while b"\n" not in self._ahead:
            data = await self._there.read()
            if not data:
                return b""
            self._ahead += data
        line, self._ahead = self._ahead.split(b"\n", 1)
        return line

    async def read(self) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        return await self._there.read()

    async def gone(self) -> None:
        """Take no notice of anything until the other end leaves."""
        while await self.read():
            pass

    def write(self, data: bytes) -> None:
        self._back.write(data)

    def line(self, text: str) -> None:
        self.write(text.encode() + b"\n")

    def answer(self, **fields: object) -> None:
        self.line(json.dumps(fields))

    def attach(self, data: bytes) -> None:
        raise AssertionError("only the answers to numbered commands have something attached")

    def end(self) -> None:
        self._back.end()

    def cut(self) -> None:
        self._there.cut()
        self._back.cut()


class NumberedFar(Far):
    """The other node's end for one numbered command: its payload, and the one answer to it."""

    outlives_a_cut = True

    def __init__(self, session: Far, number: int, command: Command, payload: bytes) -> None:
        super().__init__(session._there, session._back)
        self._session = session
        self._number = number
        self.fields = command
        self._ahead = payload
        self._answer = b""
        self._attached = b""

    async def read(self) -> bytes:
        data, self._ahead = self._ahead, b""
        return data

    async def gone(self) -> None:
        await self._session.over.wait()
        raise Cut("the connection was cut")

    def line(self, text: str) -> None:
        self._answer = text.encode()

    def attach(self, data: bytes) -> None:
        self._attached = data

    def send(self) -> None:
        """The answer: the last line that was said."""
        self.write(b"%d %d %b\n%b" % (self._number, len(self._attached), self._answer, self._attached))


@dataclass
class FarUnit:
    """A unit of the other node."""

    unit_id: str
    command: Command
    state: State = State.PENDING
    detail: str = WAITING
    payload: bytes = b""
    stdout: bytes = b""
    told_size: int = 0
    """Of the output, if it is more than there is."""
    runs: int = 0
    is_released: bool = False
    process: object = None
    """What it tells of the command when that has ended; existing nodes tell nothing."""
    receiver: asyncio.Task[None] | None = None
    """The session by which its payload is coming."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        return str(self.command["idempotencykey"])

    @property
    def has_payload(self) -> bool:
        return self.detail != WAITING

    def begin(self) -> None:
        self.runs += 1
        self.become(State.RUNNING, "Running: PID 7")

    def become(self, state: State, detail: str) -> None:
        self.state, self.detail = state, detail
        self.tell()

    def output(self, data: bytes) -> None:
        self.stdout += data
        self.tell()

    def succeed(self) -> None:
        self.become(State.SUCCEEDED, "exit status 0")

    def tell(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class OtherNode:
    """The node ``bar``."""

    def __init__(self) -> None:
        self.is_reachable = True
        self.tls_problem = ""
        """Why nobody can have a secured stream to it."""
        self.greeting = "Receptor Control, node bar"
        self.units: dict[str, FarUnit] = {}
        """All that were ever made; ``is_released`` says which are gone."""
        self.commands: list[Command] = []
        """All that were ever received."""
        self.dialled_at: list[float] = []
        self.troubles: list[str] = []
        """Where the next things go wrong, each once; see ``_trouble`` for the places."""
        self.refusals: dict[str, str] = {}
        """By command: the error to answer with."""
        self.begins_at_once = True
        self.is_ours = False
        """It knows idempotency keys and numbered commands, and tells news when there is some. Existing nodes don't."""
        self.is_advertised = True
        """The mesh has told of its control service."""
        self.never_ends_results_of_cancelled = False
        """As older nodes do."""
        self.tls_clients = {"", "secure"}
        self._sessions: dict[asyncio.Task[None], Far] = {}
        self._numbered: set[asyncio.Task[None]] = set()
        self._giving_results: list[Far] = []
        self._happened = asyncio.Event()

    # What units need of the mesh

    def tags_of(self, node: str, service: str) -> Mapping[str, str]:
        if not self.is_advertised:
            return {}
        return {"type": "Control Service"} | ({MULTIPLEX_TAG: "true"} if self.is_ours else {})

    async def dial(self, node: str, service: str, tls_client: str = "") -> ByteStream:
        assert (node, service) == ("bar", "control")
        if tls_client not in self.tls_clients:
            raise CommandError(f"there is no tls-client {tls_client}")
        self.dialled_at.append(asyncio.get_running_loop().time())
        self._tell()
        if not self.is_reachable:
            raise UnreachableError("no route to bar")
        if self.tls_problem:
            raise TlsError(self.tls_problem)
        there, back = Direction(), Direction()
        far = Far(there, back)
        session = asyncio.create_task(self._serve(far), name="the other node")
        self._sessions[session] = far
        session.add_done_callback(self._sessions.pop)
        return Near(there, back)

    # What tests do

    def cut_all(self) -> None:
        """Cut all connections."""
        for far in self._sessions.values():
            far.cut()

    def cut_results(self) -> None:
        """Cut the connections over which output goes."""
        for far in self._giving_results:
            far.cut()

    async def close(self) -> None:
        tasks = [*self._sessions, *self._numbered]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def asked(self, subcommand: str, times: int = 1) -> None:
        """Wait until that command has come so many times in all."""
        while self.count(subcommand) < times:
            self._happened.clear()
            await self._happened.wait()

    async def dialled(self, times: int) -> None:
        while len(self.dialled_at) < times:
            self._happened.clear()
            await self._happened.wait()

    def count(self, subcommand: str) -> int:
        return sum(command["subcommand"] == subcommand for command in self.commands)

    @property
    def unit(self) -> FarUnit:
        """The only unit that there is."""
        (unit,) = (unit for unit in self.units.values() if not unit.is_released)
        return unit

    @property
    def runs(self) -> int:
        return sum(unit.runs for unit in self.units.values())

    # The control service

    def _trouble(self, place: str) -> bool:
        """Whether it is this place's turn to go wrong.

        Places are ``before``, ``after`` and ``silent`` with a command's name, and those named in ``_submit`` and
        ``_receive``.
        """
        if self.troubles[:1] == [place]:
            self.troubles.pop(0)
            return True
        return False

    def _cut_here(self, far: Far, place: str) -> None:
        if self._trouble(place):
            far.cut()
            if not far.outlives_a_cut:
                raise Cut(place)

    async def _hang_here(self, place: str) -> None:
        """Go on never, nor notice that the connection is cut."""
        if self._trouble(place):
            await asyncio.Event().wait()

    def _tell(self) -> None:
        self._happened.set()

    async def _serve(self, far: Far) -> None:
        try:
            far.line(self.greeting)
            while command := await far.command():
                if command["command"] == "multiplex":
                    if await self._multiplexed(far):
                        break
                    continue
                await self._obey(far, command)
                if command["subcommand"] == "results":
                    break
            far.end()
        except Cut:
            far.cut()
        finally:
            far.over.set()

    async def _multiplexed(self, far: Far) -> bool:
        """Take numbered commands to the end of the session, if we know such; each is carried out at once."""
        assert self.is_ours, "an existing node was asked for numbered commands"
        far.answer(Multiplexed=True)
        looking: set[asyncio.Task[None]] = set()
        try:
            while (command := await far.numbered()) is not None:
                task = self._keep(self._obey_numbered(command))
                if command.fields["subcommand"] == "status":
                    looking.add(task)
        finally:
            for task in looking:
                task.cancel()
        return True

    def _keep(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="a command on the other node")
        self._numbered.add(task)
        task.add_done_callback(self._numbered.discard)
        return task

    async def _obey_numbered(self, far: NumberedFar) -> None:
        try:
            await self._obey(far, far.fields)
            far.send()
        except Cut:
            far.cut()

    async def _obey(self, far: Far, command: Command) -> None:
        subcommand = str(command["subcommand"])
        self.commands.append(command)
        self._tell()
        if self._trouble(f"before {subcommand}"):
            raise Cut(subcommand)
        if self._trouble(f"silent {subcommand}"):
            await far.gone()
            return
        if subcommand in self.refusals:
            far.line(f"ERROR: {self.refusals[subcommand]}")
        elif subcommand == "submit":
            await self._submit(far, command)
        elif subcommand == "list":
            self._list(far, str(command["idempotencykey"]))
        else:
            await self._obey_about_unit(far, subcommand, command)

    async def _obey_about_unit(self, far: Far, subcommand: str, command: Command) -> None:
        unit = self.units.get(str(command["unitid"]))
        if unit is not None and not unit.is_released and subcommand == "results":
            await self._results(far, unit, int(command["startpos"]))
            return
        start = int(command["startpos"]) if "startpos" in command else None
        if unit is not None and self.is_ours and "knownstate" in command:
            size = command.get("startpos", command.get("knownsize"))
            await self._news(unit, State(int(command["knownstate"])), None if size is None else int(size))
        if unit is None or unit.is_released:
            far.line(f"ERROR: unknown work unit {command['unitid']}")
            return
        if start is not None and unit.state is not State.PENDING:
            far.attach(unit.stdout[start : start + MOST_OUTPUT])
        self._order(far, unit, subcommand)

    async def _submit(self, far: Far, command: Command) -> None:
        unit = await self._keyed_unit(command) or self._new_unit(command)
        if unit.has_payload:
            await self._take_once_more(far, unit)
            return
        try:
            await self._receive(far, unit)
        except Cut as error:
            if unit.state is State.PENDING:
                unit.become(State.FAILED, f"Error reading input data: {error}")
                unit.is_released = self.is_ours
            raise
        self._cut_here(far, "with the payload in a queue")
        if unit.state is State.PENDING and not unit.is_released:
            unit.become(State.PENDING, "Starting Worker")
            if self.begins_at_once:
                unit.begin()
        self._cut_here(far, "after submit")
        if "payload" in self.refusals:
            unit.become(State.FAILED, "Error starting worker")
            far.line(f"ERROR: {self.refusals['payload']}")
            return
        far.answer(unitid=unit.unit_id, result="Job Started")

    def _new_unit(self, command: Command) -> FarUnit:
        unit = FarUnit(f"there{len(self.units) + 1:03}", command)
        self.units[unit.unit_id] = unit
        return unit

    async def _keyed_unit(self, command: Command) -> FarUnit | None:
        """The unit of the same submission, whose payload comes by no other session any more."""
        if not self.is_ours:
            return None
        for unit in self.units.values():
            if unit.key == command["idempotencykey"] and not unit.is_released:
                if unit.receiver is not None:
                    unit.receiver.cancel()
                    await asyncio.wait([unit.receiver])
                return unit
        return None

    async def _receive(self, far: Far, unit: FarUnit) -> None:
        unit.receiver, unit.payload = asyncio.current_task(), b""
        try:
            self._cut_here(far, "after unit")
            await self._hang_here("silent unit")
            self._say_created(far, unit)
            while data := await far.read():
                self._cut_here(far, "in payload")
                await self._hang_here("silent payload")
                unit.payload += data
        finally:
            unit.receiver = None

    async def _take_once_more(self, far: Far, unit: FarUnit) -> None:
        self._say_created(far, unit)
        while await far.read():
            pass
        far.answer(unitid=unit.unit_id, result="Job Started")

    def _say_created(self, far: Far, unit: FarUnit) -> None:
        far.line(f"Work unit created with ID {unit.unit_id}. Send stdin data and EOF.")

    async def _results(self, far: Far, unit: FarUnit, position: int) -> None:
        self._giving_results.append(far)
        far.line(f"Streaming results for work unit {unit.unit_id}")
        while True:
            changed = unit.changed
            if data := unit.stdout[position:]:
                far.write(data)
                position += len(data)
            self._cut_here(far, "in results")
            is_over = unit.state.is_final
            if unit.is_released or (is_over and not self._goes_on(unit)):
                return
            await changed.wait()

    async def _news(self, unit: FarUnit, known: State, known_size: int | None) -> None:
        """Wait until there is something that is not known."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_WAIT):
                while unit.state is known and not unit.is_released:
                    if known_size is not None and known is not State.PENDING and len(unit.stdout) > known_size:
                        return
                    await unit.changed.wait()

    def _list(self, far: Far, key: str) -> None:
        found = [unit for unit in self.units.values() if unit.key == key and not unit.is_released]
        far.answer(**{unit.unit_id: {"State": unit.state} for unit in found})

    def _goes_on(self, unit: FarUnit) -> bool:
        return self.never_ends_results_of_cancelled and unit.state is State.CANCELED

    def _order(self, far: Far, unit: FarUnit, subcommand: str) -> None:
        if subcommand == "status":
            far.answer(
                State=unit.state,
                StateName=unit.state.title,
                Detail=unit.detail,
                StdoutSize=max(len(unit.stdout), unit.told_size),
                WorkType="echo",
                ExtraData=None,
                **({"IdempotencyKey": unit.key} if self.is_ours else {}),
                **({"Process": unit.process} if unit.state.is_final and unit.process is not None else {}),
            )
        elif subcommand == "cancel":
            if not unit.state.is_final:
                unit.become(State.CANCELED, "Canceled")
            self._cut_here(far, "after cancel")
            far.answer(cancelled=unit.unit_id)
        else:
            if not unit.state.is_final:
                unit.become(State.CANCELED, "Canceled")
            unit.is_released = True
            unit.tell()
            self._cut_here(far, "after release")
            far.answer(released=unit.unit_id)
