"""Pods through a whole node: its process, its control service, receptorctl's words."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cluster import TOKEN, FakePod, cluster_in_thread
from receptor_process import node

pytest.importorskip("aiohttp")


async def sort(pod: FakePod) -> None:
    """What ``sort`` would do."""
    pod.wait("ContainerCreating")
    pod.run()
    await pod.stdin_ended.wait()
    pod.write(b"".join(sorted(bytes(pod.stdin).splitlines(keepends=True))))
    pod.end()


def test_work_goes_to_a_pod_and_its_output_comes_back(tmp_path: Path) -> None:
    with cluster_in_thread(sort) as cluster:
        (tmp_path / "kubeconfig").write_text(cluster.kubeconfig)
        action = {
            "worktype": "sort", "authmethod": "kubeconfig", "kubeconfig": str(tmp_path / "kubeconfig"),
            "image": "busybox", "command": "sort", "namespace": "ours",
        }  # fmt: skip
        with node(tmp_path, "foo", {"local-only": {}}, {"work-kubernetes": dict(action)}) as foo:
            unit_id = foo.submit("sort", b"pear\napple\n")
            assert foo.results(unit_id) == b"apple\npear\n"
            status = foo.ask(f"work status {unit_id}")
            assert (status["StateName"], status["Detail"]) == ("Succeeded", "Finished")
            assert foo.ask(f"work release {unit_id}") == {"released": unit_id}
        (pod,) = cluster.pods.values()
        assert pod.is_gone
        assert TOKEN not in foo.log.read_text()
