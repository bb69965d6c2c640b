from __future__ import annotations

import asyncio
import math
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, as_completed, wait
from functools import partial
from pathlib import Path

import far_functions
import pytest
from commands import eventually
from fake_control import FakeNode, answering
from receptor_process import ENVIRONMENT, free_port

from receptor.client import MeshExecutor
from receptor.client.call import FarTraceback
from receptor.errors import CommandError, OperatingError, PeerError, UnitFailed, UnreachableError
from receptor.testing import Mesh, Node
from receptor.testing.embedded_node import work_command


@pytest.fixture(scope="module")
def tcp_port() -> int:
    """Where foo's control service listens besides."""
    return free_port()


@pytest.fixture(scope="module")
def foo(tcp_port: int) -> Iterator[Node]:
    """With bar as its neighbour; both run calls, only foo has a work type that is none."""
    path = f"PYTHONPATH={Path(far_functions.__file__).parent}"
    calls = ["env", path, sys.executable, "-m", "receptor.client.call"]
    actions = [work_command("python", calls), work_command("other", "echo good day")]
    listener = {"control-service": {"service": "tcp", "tcplisten": f"127.0.0.1:{tcp_port}"}}
    with Mesh({"foo": [*actions, listener], "bar": {"python": calls}}) as mesh:
        yield mesh["foo"]


@pytest.fixture
def pool(foo: Node) -> Iterator[MeshExecutor]:
    with MeshExecutor(foo.socket) as executor:
        yield executor
    assert foo.client().units() == {}, "every unit is released"


def test_map_gives_the_results_in_order(pool: MeshExecutor) -> None:
    assert list(pool.map(math.factorial, range(4))) == [1, 1, 2, 6]
    assert list(pool.map(pow, (2, 3), (5, 2))) == [32, 9]


def test_a_call_runs_in_another_process_with_its_arguments(pool: MeshExecutor) -> None:
    future: Future[int] = pool.submit(os.getpid)
    assert future.result(20) != os.getpid()
    assert pool.submit(sorted, [2, 3, 1], reverse=True).result(20) == [3, 2, 1]


def test_an_error_of_the_function_is_raised_as_it_is_with_the_far_traceback(pool: MeshExecutor) -> None:
    with pytest.raises(ValueError, match="math domain error") as raised:
        pool.submit(math.sqrt, -1).result(20)
    assert isinstance(raised.value.__cause__, FarTraceback)
    assert "ValueError: math domain error" in str(raised.value.__cause__)


def test_what_can_not_be_pickled_on_its_way_back(pool: MeshExecutor) -> None:
    with pytest.raises(pickle.PicklingError, match="Odd: one can't be sent back"):
        pool.submit(far_functions.raise_odd).result(20)
    with pytest.raises(pickle.PicklingError, match="the result, of type lock, can't be sent back"):
        pool.submit(far_functions.a_lock).result(20)


def test_what_a_function_prints_is_not_its_result(pool: MeshExecutor) -> None:
    assert pool.submit(far_functions.talk).result(20) == "said"


def test_calls_go_to_the_node_with_the_fewest(foo: Node, tmp_path: Path) -> None:
    """With room for one each, two calls meet only if they are on two nodes."""
    with MeshExecutor(foo.socket, max_in_flight=1) as pool:
        assert list(pool.map(far_functions.meet, [str(tmp_path)] * 2, range(2))) == [2, 2]


def test_a_process_that_dies(pool: MeshExecutor) -> None:
    with pytest.raises(UnitFailed, match="exit status 3") as failed:
        pool.submit(os._exit, 3).result(20)
    assert failed.value.exit_code == 3


def test_a_work_type_that_runs_no_calls(foo: Node) -> None:
    with (
        MeshExecutor(foo.socket, "other") as pool,
        pytest.raises(PeerError, match=r"'other' configured with 'params: -m receptor\.client\.call'"),
    ):
        pool.submit(os.getpid).result(20)


def test_a_map_that_takes_too_long_or_is_left_stops_its_calls(foo: Node, pool: MeshExecutor) -> None:
    with pytest.raises(TimeoutError):
        list(pool.map(time.sleep, [600, 600], timeout=0.05, chunksize=2))
    for first in pool.map(time.sleep, [0, 600]):
        assert first is None
        break
    eventually(lambda: not foo.client().units())


def test_from_a_coroutine(pool: MeshExecutor) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(pool, len, b"four") == 4
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await loop.run_in_executor(pool, time.sleep, 600)

    asyncio.run(main())


def test_what_a_callback_does_is_its_own_affair(pool: MeshExecutor, caplog: pytest.LogCaptureFixture) -> None:
    again: list[Future[int]] = []
    future = pool.submit(len, b"four")
    future.add_done_callback(lambda _: again.append(pool.submit(len, b"three")))
    future.add_done_callback(lambda _: 1 // 0)
    assert future.result(20) == 4
    eventually(lambda: again)
    assert again[0].result(20) == 5
    assert "exception calling callback" in caplog.text


@pytest.mark.parametrize("error", [SystemExit("over"), KeyboardInterrupt("enough"), StopIteration(3)], ids=repr)
def test_errors_that_end_other_things_end_the_call_only(pool: MeshExecutor, error: BaseException) -> None:
    far = pool.submit(far_functions.throw, error).exception(20)
    assert (type(far), str(far)) == (type(error), str(error))
    assert pool.submit(len, b"four").result(20) == 4


def test_long_arguments_and_results(pool: MeshExecutor) -> None:
    long = bytes(3_000_000)
    assert pool.submit(bytes, long).result(20) == long


def test_what_can_not_be_sent_is_refused_at_once(pool: MeshExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pool.submit(lambda: 1)
    monkeypatch.setattr(far_functions.talk, "__module__", "__main__")
    refused = partial(pytest.raises, ValueError, match="put it into a module that they have")
    with refused():
        pool.submit(far_functions.talk)
    with refused():
        pool.submit(partial(far_functions.talk))
    with refused():
        pool.submit(len, [far_functions.talk])


def test_a_call_that_runs_can_be_cancelled(foo: Node, pool: MeshExecutor) -> None:
    future = pool.submit(time.sleep, 600)
    eventually(future.running)
    eventually(foo.client().units)
    assert future.cancel()
    assert future.cancelled()
    assert not future.running()
    assert wait([future], 10).done == {future}
    with pytest.raises(CancelledError):
        future.result()
    assert future.cancel(), "to cancel again changes nothing"


def test_a_call_that_waits_can_be_cancelled(foo: Node) -> None:
    with MeshExecutor(foo.socket, nodes=["foo"], max_in_flight=1) as pool:
        first, second = pool.submit(time.sleep, 600), pool.submit(os.getpid)
        eventually(first.running)
        assert not second.running()
        assert second.cancel()
        assert list(as_completed([second], 10)) == [second]
        first.cancel()


def test_shutdown_waits_and_takes_no_more(foo: Node) -> None:
    pool = MeshExecutor(foo.socket)
    future = pool.submit(os.getpid)
    pool.shutdown()
    assert future.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(os.getpid)
    pool.shutdown(cancel_futures=True)


def test_a_forked_process_can_not_use_it(pool: MeshExecutor) -> None:
    child = os.fork()
    if not child:
        try:
            pool.submit(os.getpid)
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_shutdown_without_waiting_carries_out_what_it_has(foo: Node) -> None:
    pool = MeshExecutor(foo.socket)
    future = pool.submit(os.getpid)
    pool.shutdown(wait=False)
    assert future.result(20) > 0
    pool.shutdown()


def test_shutdown_that_cancels_what_has_not_begun(foo: Node) -> None:
    pool = MeshExecutor(foo.socket, nodes=["foo"], max_in_flight=1)
    first, second = pool.submit(time.sleep, 0.2), pool.submit(os.getpid)
    eventually(first.running)
    pool.shutdown(cancel_futures=True)
    assert first.result() is None
    assert second.cancelled()


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_program_that_forgets_to_shut_down_gets_its_results(foo: Node, tcp_port: int, kind: str) -> None:
    script = (
        "import math, sys; from receptor.client import MeshExecutor; "
        "MeshExecutor(sys.argv[1]).submit(math.factorial, 5).add_done_callback(lambda f: print(f.result()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, foo.socket if kind == "unix" else f"tcp://localhost:{tcp_port}"],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("120\n", "")


def test_nobody_offers_the_work_type(foo: Node) -> None:
    with pytest.raises(UnreachableError, match="no node in reach offers the work type 'nosuch'"):
        MeshExecutor(foo.socket, "nosuch")
    with pytest.raises(UnreachableError, match="no node in reach"):
        MeshExecutor(foo.socket, nodes=["nowhere"])


def test_no_node_at_that_address(tmp_path: Path) -> None:
    with pytest.raises(OperatingError, match="there is no socket"):
        MeshExecutor(tmp_path / "nosuch.sock")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("MeshExecutor")]


def test_nodes_that_want_tls_and_signatures_get_them(node: FakeNode) -> None:
    offer = {"NodeID": "bar", "Service": "control", "ConnType": 2, "Tags": None}
    status = {"Advertisements": [offer | {"WorkCommands": [{"WorkType": "python", "Secure": True}]}]}
    node.plays(answering(status, "ERROR: out of paper"))
    with (
        MeshExecutor(node.path, tls_client="mine") as pool,
        pytest.raises(CommandError, match=r"^out of paper$"),
    ):
        pool.submit(os.getpid).result(20)
    submitted = node.commands[1]
    assert (submitted["node"], submitted["tlsclient"], submitted["signwork"]) == ("bar", "mine", "true")
