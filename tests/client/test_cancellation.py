"""Calls of ``Client`` that are cancelled at whatever point they have reached."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from event_loops import EventLoop
from receptor_process import Action, NodeProcess, free_port
from receptor_process import node as running_node

from receptor.client import Client, TimeExpired, UnknownUnit

PAYLOAD = [b"x" * 1000] * 3


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def foo(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("m")
    actions: list[Action] = [
        {"local-only": {}},
        {"control-service": {"service": "tcp", "tcplisten": f"127.0.0.1:{port}"}},
        {"work-command": {"worktype": "count", "command": "bash", "params": f"-c 'wc -c >> {folder}/lengths'"}},
        {"work-command": {"worktype": "nap", "command": "bash", "params": "-c 'echo on; exec sleep 600'"}},
    ]
    with running_node(folder, "foo", *actions) as node:
        yield node


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest, foo: NodeProcess, port: int) -> str:
    return str(foo.socket) if request.param == "unix" else f"tcp://127.0.0.1:{port}"


async def payload() -> AsyncIterator[bytes]:
    for part in PAYLOAD:
        yield part
        await asyncio.sleep(0)


async def submit(client: Client) -> None:
    await client.submit("count", payload())


async def follow(client: Client) -> None:
    unit = client.unit(next(iter(await client.units())))
    async for _ in unit.stdout():
        return


async def wait(client: Client) -> None:
    unit = client.unit(next(iter(await client.units())))
    with suppress(TimeExpired):
        await unit.wait(timeout=0.01)


async def talk(client: Client) -> None:
    async with await client.connect("foo", "control") as stream:
        await stream.write(b"status\n")
        await stream.end_writing()
        async for _ in stream:
            pass


async def ask(client: Client) -> None:
    async with client.on("foo") as other:
        await asyncio.gather(other.status(), other.ping("foo"))


def moments() -> Iterator[int]:
    """Rounds of the loop after which a call is cancelled: each of the first, then fewer."""
    moment = 0
    while True:
        yield moment
        moment += 1 + moment // 4


@pytest.mark.parametrize("call", [follow, wait, talk, ask])
def test_a_call_that_is_cancelled_leaves_nothing_behind(
    run: EventLoop, address: str, call: Callable[[Client], Awaitable[None]]
) -> None:
    async def main() -> None:
        async with Client(address) as client:
            unit = await client.submit("nap")
        open_files = os.listdir("/proc/self/fd")
        for moment in moments():
            is_whole = await cut_off(address, call, moment)
            assert len(os.listdir("/proc/self/fd")) == len(open_files)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            if is_whole:
                break
        # Names are looked up in threads that asyncio keeps.
        assert {thread.name.partition("_")[0] for thread in threading.enumerate()} <= {"MainThread", "asyncio"}
        async with Client(address) as client:
            await client.unit(unit.unit_id).release()

    run(main())


@pytest.mark.parametrize("times", [1, 2])
def test_a_submission_that_is_cancelled_never_runs_with_half_its_payload(
    run: EventLoop, address: str, foo: NodeProcess, times: int
) -> None:
    """Nor is its unit left; unless it is cancelled again while it releases it."""

    async def main() -> None:
        async with Client(address) as client:
            for moment in moments():
                before = set(await client.units())
                if await cut_off(address, submit, moment, times):
                    break
                if times == 1:
                    assert set(await client.units()) == before
            for unit in map(client.unit, await client.units()):
                with suppress(UnknownUnit):  # a release that was given up may still have come
                    await unit.wait()
                    await unit.release()
        lengths = Path(foo.socket).with_name("lengths").read_text().split()
        assert set(lengths) == {str(len(b"".join(PAYLOAD)))}

    run(main())


async def cut_off(address: str, call: Callable[[Client], Awaitable[None]], rounds: int, times: int = 1) -> bool:
    """Cancel the call after so many rounds of the loop, again as often; whether it had ended before."""
    async with Client(address) as client:
        task = asyncio.ensure_future(call(client))
        for _ in range(times):
            for _ in range(rounds):
                await asyncio.sleep(0)
            if times == 1 and task.done():
                break
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
            return True
        return False
