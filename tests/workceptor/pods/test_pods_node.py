"""Pods through a whole node: its process, its control service, what it writes to disk and log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import eventually
from fake_cluster import TOKEN, FakeCluster, FakePod, cluster_in_thread
from receptor_process import Action, NodeProcess, node

from receptor.config import kubernetes_action
from receptor.config.command_line import parse_command_line
from receptor.errors import ConfigurationError

POD = "metadata: {name: job}\nspec: {containers: [{name: worker, image: i, env: [{name: S, value: hush-pod}]}]}"
LINES = b"".join(b"line %d\n" % number for number in range(500))


@contextmanager
def node_with(
    folder: Path, play: Callable[[FakePod], Awaitable[None]], **keys: object
) -> Iterator[tuple[NodeProcess, FakeCluster]]:
    with cluster_in_thread(play) as cluster:
        (folder / "kubeconfig").write_text(cluster.kubeconfig)
        action: Action = {"work-kubernetes": {"worktype": "pods", **keys}}
        with node(folder, "foo", {"local-only": {}}, action) as foo:
            yield foo, cluster


def operators(folder: Path) -> dict[str, object]:
    return {"authmethod": "kubeconfig", "kubeconfig": str(folder / "kubeconfig"), "image": "busybox", "command": "sort"}


async def sort(pod: FakePod) -> None:
    """What ``sort`` would do."""
    pod.wait("ContainerCreating")
    pod.run()
    await pod.stdin_ended.wait()
    pod.write(b"".join(sorted(bytes(pod.stdin).splitlines(keepends=True))))
    pod.end()


def test_work_goes_to_a_pod_and_its_output_comes_back(tmp_path: Path) -> None:
    with node_with(tmp_path, sort, **operators(tmp_path)) as (foo, cluster):
        unit_id = foo.submit("pods", b"pear\napple\n")
        assert foo.results(unit_id) == b"apple\npear\n"
        status = foo.ask(f"work status {unit_id}")
        assert (status["StateName"], status["Detail"], status["StdoutSize"]) == ("Succeeded", "Finished", 11)
        assert foo.ask(f"work release {unit_id}") == {"released": unit_id}
        (pod,) = cluster.pods.values()
        assert pod.is_gone
        assert TOKEN not in foo.log.read_text()


def test_a_node_that_is_killed_takes_the_pod_up_again(tmp_path: Path) -> None:
    step = asyncio.Event()

    async def count(pod: FakePod) -> None:
        pod.run()
        pod.write(LINES[:2000])
        await step.wait()
        pod.write(LINES[2000:])
        pod.end(3)

    with node_with(tmp_path, count, **operators(tmp_path)) as (foo, cluster):
        unit_id = foo.submit("pods")
        eventually(lambda: foo.ask(f"work status {unit_id}")["StdoutSize"] == 2000)
        foo.end(signal.SIGKILL)
        foo.start_again()
        cluster.call(step.set)
        assert foo.results(unit_id) == LINES
        status = foo.ask(f"work status {unit_id}")
        assert (status["StateName"], status["Detail"]) == ("Failed", "exit status 3")
        assert len(cluster.pods) == 1


def test_what_is_secret_is_neither_shown_nor_logged_nor_readable_by_others(tmp_path: Path) -> None:
    keys = {"authmethod": "runtime", "allowruntimeauth": True, "allowruntimepod": True}
    with node_with(tmp_path, sort, **keys) as (foo, cluster):
        command = {
            "command": "work", "subcommand": "submit", "node": "localhost", "worktype": "pods",
            "secret_kube_config": cluster.kubeconfig, "secret_kube_pod": POD,
        }  # fmt: skip
        with foo.client() as client:
            client.send(command)
            client.line()
            client.end(b"b\na\n")
            unit_id = str(client.answer()["unitid"])
        assert foo.results(unit_id) == b"a\nb\n"
        shown = json.dumps([foo.ask("work list"), foo.ask(f"work status {unit_id}")])
        for hidden in (TOKEN, "hush-pod"):
            assert hidden not in shown
            assert hidden not in foo.log.read_text()
        (folder,) = (tmp_path / "data" / "foo").glob(unit_id)
        assert TOKEN in (folder / "status").read_text()
        assert [file.name for file in (folder, *folder.iterdir()) if os.stat(file).st_mode & 0o077] == []
        assert foo.ask(f"work release {unit_id}") == {"released": unit_id}


def test_a_node_that_sleeping_pods_run_on_does_nothing(tmp_path: Path) -> None:
    async def sleep(pod: FakePod) -> None:
        pod.run()

    def ticks() -> int:
        fields = Path(f"/proc/{foo.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    with node_with(tmp_path, sleep, **operators(tmp_path)) as (foo, cluster):
        units = [foo.submit("pods") for _ in range(10)]
        eventually(lambda: cluster.count("log") == len(units) == sum(is_running(foo, unit_id) for unit_id in units))
        asked, before = len(cluster.requests), ticks()
        with pytest.raises(AssertionError):
            eventually(lambda: len(cluster.requests) > asked, 1.0)
        assert ticks() - before <= 1


def is_running(foo: NodeProcess, unit_id: str) -> bool:
    return foo.ask(f"work status {unit_id}")["StateName"] == "Running"


class TestTheConfiguration:
    @staticmethod
    def problems(**keys: object) -> str:
        written = [f"{key}={json.dumps(value) if isinstance(value, bool) else value}" for key, value in keys.items()]
        words = ["--node", "foo", "--local-only", "--work-kubernetes", "worktype=pods", *written]
        try:
            parse_command_line(words)
        except ConfigurationError as error:
            return str(error)
        return ""

    @pytest.mark.parametrize(
        ("keys", "problem"),
        [
            ({"image": "i"}, ""),
            ({"authmethod": "Runtime", "allowruntimeauth": True, "allowruntimepod": True}, ""),
            ({"authmethod": "guess", "image": "i"}, "authmethod must be incluster, kubeconfig or runtime"),
            ({"streammethod": "udp", "image": "i"}, "streammethod must be logger or tcp"),
            ({}, "nothing to run"),
            ({"authmethod": "runtime", "image": "i"}, "needs 'allowruntimeauth: true'"),
            ({"image": "i", "kubeconfig": "/x"}, "only with 'authmethod: kubeconfig'"),
            ({"image": "i", "pod": "/x"}, "either 'pod' or 'image'"),
            ({"pod": "/nowhere"}, "/nowhere, which is not there"),
            ({"image": "i", "verifysignature": True}, "work-verification"),
        ],
    )
    def test_mistakes(self, keys: dict[str, object], problem: str) -> None:
        told = self.problems(**keys)
        assert (problem in told) if problem else (told == "")

    def test_what_is_missing_on_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kubernetes_action, "find_spec", lambda name: None)
        assert "pip install 'pyreceptor[kubernetes]'" in self.problems(image="i")
