from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import is_alive, pids_with
from event_loops import EventLoop

from receptor.client import UnitState
from receptor.errors import CommandError, ConfigurationError, OperatingError
from receptor.testing import Links, Mesh, Node, NodeContents
from receptor.testing.leftovers import runner_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

SECONDS = f"600.{os.getpid()}"
"""How long commands sleep, by which those of this test are found."""
NAP = {"nap": ["bash", "-c", f"echo on; exec sleep {SECONDS}"]}


def routes(node: Node) -> dict[str, str]:
    with node.client() as client:
        return dict(client.status().routes)


def children() -> set[int]:
    """The child processes of this one, zombies too."""
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """For what leaves no trace in it."""
    contents: dict[str, NodeContents] = {
        "foo": {},
        "bar": {"upper": "tr 'a-z' A-Z", "words": ["printf", "<%s>", "two words", "it's", ""]},
    }
    with Mesh(contents) as mesh:
        yield mesh


# What there is


def test_work_runs_on_another_node(pair: Mesh) -> None:
    with pair["foo"].client() as client:
        assert client.submit("upper", b"hello", node="bar").read_stdout() == b"HELLO"


def test_a_sequence_is_the_words_of_a_command(pair: Mesh) -> None:
    with pair["bar"].client() as client:
        assert client.submit("words").read_stdout() == b"<two words><it's><>"


def test_every_node_knows_the_services_of_all(pair: Mesh) -> None:
    with pair["foo"].client() as client:
        assert {service.node_id for service in client.status().advertisements} == {"foo", "bar"}


def test_it_is_a_mapping_of_nodes(pair: Mesh) -> None:
    assert list(pair) == ["foo", "bar"]
    assert pair["bar"].node_id == "bar"
    assert pair["bar"].socket.is_socket()
    with pytest.raises(KeyError, match="there is no node 'baz' in this mesh; its nodes: foo, bar"):
        pair["baz"]


LINKS: list[tuple[Links, dict[str, str]]] = [
    ("star", {"a": "a", "b": "a", "d": "a"}),
    ("chain", {"a": "b", "b": "b", "d": "d"}),
    ("full", {"a": "a", "b": "b", "d": "d"}),
    ([("a", "c"), ("d", "b")], {"a": "a"}),
]


@pytest.mark.parametrize(("links", "routes_of_c"), LINKS)
def test_shapes(links: Links, routes_of_c: dict[str, str]) -> None:
    with Mesh({node: {} for node in "abcd"}, links=links) as mesh:
        assert routes(mesh["c"]) == routes_of_c


def test_a_node_may_be_given_by_the_actions_of_its_configuration() -> None:
    echo = {"work-command": {"worktype": "echo", "command": "echo", "allowruntimeparams": True}}
    with Mesh({"foo": [echo, {"limits": {"units": 1}}]}) as mesh, mesh["foo"].client() as client:
        assert client.submit("echo", params={"params": "hello"}).read_stdout() == b"hello\n"
        with pytest.raises(CommandError, match="not now: this node has 1 units"):
            client.submit("echo")


# What may befall it


def test_a_cut_link_breaks_off_what_was_under_way_and_mending_takes_it_up() -> None:
    with Mesh({"a": {}, "b": {}, "c": {"wait": ["bash", "-c", "echo on; read <go; cat"]}}, links="chain") as mesh:
        go = mesh["c"].socket.parent / "go"
        os.mkfifo(go)
        with mesh["a"].client() as client, contextlib.chdir(go.parent):
            unit = client.submit("wait", b"payload", node="c")
            mesh.cut("c", "b")
            assert routes(mesh["a"]) == {"b": "b"}
            assert routes(mesh["c"]) == {}
            assert not client.ping("c").success
            mesh.mend("b", "c")
            assert routes(mesh["a"]) == {"b": "b", "c": "b"}
            go.write_text("now\n")
            assert unit.read_stdout() == b"on\npayload"


def test_routes_lead_round_a_cut_link_at_once() -> None:
    with Mesh({node: {} for node in "abcd"}, links=[("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]) as mesh:
        mesh.cut("a", "b")
        assert routes(mesh["b"]) == {"a": "c", "c": "c", "d": "c"}
        assert routes(mesh["c"]) == {"a": "d", "b": "b", "d": "d"}
        mesh.mend("a", "b")
        assert routes(mesh["b"])["a"] == "a"


def test_commands_go_on_while_their_node_is_stopped() -> None:
    with Mesh({"foo": {}, "bar": NAP, "baz": {}}, links="chain") as mesh:
        with mesh["foo"].client() as client:
            assert next(client.submit("nap", node="bar").stdout()) == b"on\n"
        mesh["bar"].stop()
        assert not mesh["bar"].socket.exists()
        with pytest.raises(OperatingError, match="there is no socket"):
            mesh["bar"].client()
        assert routes(mesh["foo"]) == {}
        mesh["bar"].stop()
        mesh["bar"].start()
        assert routes(mesh["baz"]) == {"bar": "bar", "foo": "bar"}
        with mesh["bar"].client() as client:
            (status,) = client.units().values()
        assert status.state is UnitState.RUNNING


def test_a_node_may_be_started_again_and_again_within_a_second(caplog: pytest.LogCaptureFixture) -> None:
    with Mesh({"foo": {}, "bar": {}}) as mesh:
        for _ in range(5):
            mesh["bar"].stop()
            mesh["bar"].start()
            assert routes(mesh["foo"]) == {"bar": "bar"}
    assert "uses our id" not in caplog.text


def test_links_that_are_not_there_are_named(pair: Mesh) -> None:
    with pytest.raises(ValueError, match="no link between 'foo' and 'baz' in this mesh; its links: foo-bar"):
        pair.cut("foo", "baz")


def test_the_log_says_which_node_a_line_is_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "receptor"), Mesh({"foo": {}, "bar": {}}) as mesh:
        mesh["bar"].stop()
        mesh["bar"].start()
        caplog.clear()
        mesh.cut("foo", "bar")
        assert {line for line in caplog.messages if "routes" in line} == {
            "node=foo routes: none",
            "node=bar routes: none",
        }


# Its end


def test_nothing_is_left() -> None:
    leave = {"leave": ["bash", "-c", f"setsid sleep {SECONDS} & echo left"]}
    with Mesh({"foo": {}}):
        pass  # loads what is loaded once
    before = (children(), descriptors(), threading.active_count())
    with Mesh({"foo": NAP, "bar": NAP | leave}) as mesh:
        folder = mesh["foo"].socket.parent
        with mesh["bar"].client() as client:
            client.submit("nap")
            assert client.submit("leave").read_stdout() == b"left\n"
        mesh["bar"].stop()
        mesh["bar"].start()
        client = mesh["foo"].client()
        assert next(client.submit("nap", node="bar").stdout()) == b"on\n"
        assert len(pids_with(SECONDS)) == 3
    assert not folder.exists()
    assert pids_with(str(folder)) == []
    assert pids_with(SECONDS) == []
    assert (children(), descriptors(), threading.active_count()) == before


def test_a_node_that_can_not_be_started_is_named_and_nothing_is_left() -> None:
    threads = threading.active_count()
    with (
        pytest.raises(ConfigurationError, match=r"bar\.yml:\d+: command must be"),
        Mesh({"foo": {}, "bar": {"nothing": []}}),
    ):
        pass
    assert threading.active_count() == threads


# Its surroundings


def is_subreaper() -> bool:
    answer = ctypes.c_int()
    ctypes.CDLL(None).prctl(37, ctypes.byref(answer), 0, 0, 0)
    return bool(answer.value)


def test_the_process_that_it_is_in_stays_as_it_was() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)]
    handlers, level = logging.getLogger().handlers[:], logging.getLogger("receptor").level
    with Mesh({"foo": NAP}) as mesh, mesh["foo"].client() as client:
        client.submit("nap")
        assert before == [
            signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        ]
        assert (logging.getLogger().handlers, logging.getLogger("receptor").level) == (handlers, level)
        if sys.platform == "linux":
            assert not is_subreaper()


def test_a_killed_runner_costs_its_units_and_no_child_of_others() -> None:
    with Mesh({"foo": NAP}) as mesh, mesh["foo"].client() as client:
        unit = client.submit("nap")
        data_folder = mesh["foo"].socket.parent / "data" / "foo"
        runner = runner_of(data_folder)
        assert runner is not None
        other = subprocess.Popen(["bash", "-c", "exit 3"], start_new_session=True)
        os.kill(runner, signal.SIGKILL)
        assert unit.wait().state is UnitState.FAILED
        assert not is_alive(runner)
        assert other.wait(10) == 3, "it was ours to wait for"
        assert next(client.submit("nap").stdout()) == b"on\n"


def test_two_meshes_do_not_know_each_other() -> None:
    with Mesh({"foo": {}, "bar": {}}) as one, Mesh({"foo": {}, "baz": {}}) as other:
        assert routes(one["foo"]) == {"bar": "bar"}
        assert routes(other["foo"]) == {"baz": "baz"}


def test_a_mesh_may_be_used_again() -> None:
    mesh = Mesh({"foo": {}, "bar": {}})
    for _ in range(2):
        with mesh:
            assert routes(mesh["foo"]) == {"bar": "bar"}
            mesh.cut("foo", "bar")


# Coroutines


def test_a_mesh_is_of_use_within_its_block_only(pair: Mesh) -> None:
    assert repr(pair) == "<Mesh foo, bar>"
    with pytest.raises(RuntimeError, match="runs already"), pair:
        pass
    assert routes(pair["foo"]) == {"bar": "bar"}
    with Mesh({"a": {}, "b": {}}) as mesh:
        node = mesh["a"]
    for call in (node.client, node.start, node.stop, lambda: mesh.cut("a", "b")):
        with pytest.raises(RuntimeError, match=r"<Mesh a, b> does not run; use it within its 'with' block"):
            call()


def test_it_lets_the_loop_of_a_coroutine_go_on(run: EventLoop) -> None:
    async def main() -> None:
        async with Mesh({"foo": {}, "bar": {}}) as mesh:
            async with mesh["bar"].async_client() as client:
                assert client.node_id == "bar"
                assert set((await client.status()).routes) == {"foo"}
            await asyncio.to_thread(mesh.cut, "foo", "bar")
            assert await asyncio.to_thread(routes, mesh["foo"]) == {}

    run(main())


def test_a_start_that_is_cancelled_leaves_nothing(run: EventLoop) -> None:
    def threads() -> int:
        return sum(thread.name == "receptor mesh" for thread in threading.enumerate())

    async def main() -> None:
        before = threads()
        starting = asyncio.create_task(Mesh({"foo": {}}).__aenter__())
        await asyncio.sleep(0)  # It begins.
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert threads() == before

    run(main())
