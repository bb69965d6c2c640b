"""Units in pods against a played cluster, over real connections."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest
from fake_cluster import TOKEN, V4, FakeCluster, FakePod
from msgspec.structs import replace

from receptor.config.kubernetes_action import WorkKubernetes
from receptor.errors import CommandError, OperatingError, UnreachableError
from receptor.node.byte_stream import ByteStream
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.pods import logic, streams, unit
from receptor.workceptor.results import follow
from receptor.workceptor.status import PodExtra, State, Status, answer, decode_status
from receptor.workceptor.unit import Unit
from receptor.workceptor.work import CommandWork
from receptor.workceptor.workceptor import Workceptor

PATIENCE = 20.0


class NoMesh:
    async def dial(self, node: str, service: str, tls_client: str = "") -> ByteStream:
        raise UnreachableError("there is no mesh")

    def tags_of(self, node: str, service: str) -> Mapping[str, str]:
        return {}

    def check_tls_client(self, name: str) -> None:
        pass

    def watch_routes(self, watcher: Callable[[dict[str, str]], None]) -> None:
        pass


class Bench:
    """A data folder on which nodes live one after the other, and a cluster."""

    def __init__(self, folder: Path, cluster: FakeCluster) -> None:
        self.folder = folder
        self.cluster = cluster
        (folder / "kubeconfig").write_text(cluster.kubeconfig)
        self.action = WorkKubernetes(
            work_type="pods",
            auth_method="kubeconfig",
            kubeconfig=folder / "kubeconfig",
            image="busybox",
            command="sort",
            allow_runtime_params=True,
            allow_runtime_auth=True,
            allow_runtime_pod=True,
        )

    def act(self, **changes: Any) -> None:
        self.action = replace(self.action, **changes)

    @asynccontextmanager
    async def node(self, *actions: WorkKubernetes) -> AsyncIterator[Workceptor]:
        node = Workceptor(NoMesh(), self.folder / "data", actions or (self.action,), None)
        try:
            await node.start()
            yield node
        finally:
            await node.close()

    async def pod(self) -> FakePod:
        return await self.cluster.pod()

    def on_disk(self, unit_id: str) -> Status:
        return decode_status(UnitFolder(self.folder / "data" / unit_id).read_status())


async def parts(payload: bytes) -> AsyncIterator[bytes]:
    if payload:
        yield payload


async def submit(node: Workceptor, payload: bytes = b"", **parameters: str) -> Unit:
    made = await node.make_unit(CommandWork(work_type="pods", parameters=parameters))
    await made.receive_payload(parts(payload))
    assert await made.start() == "Job Started"
    return made


async def results(node: Workceptor, of: Unit, start: int = 0) -> bytes:
    return b"".join([data async for data in follow(of, start, node.growth)])


async def until(of: Unit, state: State, detail: str = "") -> None:
    while of.shown.state is not state or not of.shown.detail.startswith(detail):
        assert not of.shown.state.is_final, of.shown
        await of.changed_since(of.version)


async def ended(of: Unit) -> tuple[State, str]:
    await of.final()
    return of.shown.state, of.shown.detail


Story = Callable[[Bench], Coroutine[Any, Any, None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Pauses are short."""
    monkeypatch.setattr(logic, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(logic, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(logic, "GRACE", 0.2)
    monkeypatch.setattr(unit, "REWATCH_PAUSE", 0.01)

    def play(story: Story) -> None:
        async def main() -> None:
            async with FakeCluster().up() as cluster, asyncio.timeout(PATIENCE):
                await story(Bench(tmp_path, cluster))
            left = [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}]
            assert not left, f"tasks without owner: {left}"

        asyncio.run(main())

    return play


class TestALife:
    def test_payload_goes_in_and_output_comes_out(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            payload = bytes(range(256)) * 1000
            async with it.node() as node:
                made = await submit(node, payload)
                pod = await it.pod()
                await until(made, State.PENDING, "Pod created")
                pod.wait("ContainerCreating")
                await until(made, State.PENDING, "Pod pending: ContainerCreating")
                pod.run()
                await pod.stdin_ended.wait()
                assert pod.stdin == payload
                await until(made, State.RUNNING, "Pod Running")
                pod.write(b"out\x00\xff\r\n\nput" * 500)
                pod.end()
                assert await ended(made) == (State.SUCCEEDED, "Finished")
                assert await results(node, made) == b"out\x00\xff\r\n\nput" * 500
                assert it.cluster.count("create") == it.cluster.count("attach") == 1

        play(story)

    def test_output_is_there_while_the_pod_runs(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                pod.write(b"one\n")
                output = follow(made, 0, node.growth)
                assert await anext(output) == b"one\n"
                pod.write(b"two")
                assert await anext(output) == b"two"
                assert (await made.current_status()).stdout_size == 7
                assert made.shown.state is State.RUNNING
                pod.end()
                assert [data async for data in output] == []

        play(story)

    def test_without_payload_the_worker_has_no_stdin(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                assert pod.worker["stdin"] is pod.worker["stdinOnce"] is False
                pod.run()
                await until(made, State.RUNNING)
                pod.end()
                await made.final()
                assert it.cluster.count("attach") == 0

        play(story)

    def test_a_worker_that_reads_nothing_may_end_before_it_has_its_payload(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.refuse("attach", 400, times=5)
            async with it.node() as node:
                made = await submit(node, b"never read")
                pod = await it.pod()
                pod.run()
                pod.write(b"done\n")
                pod.end()
                assert await ended(made) == (State.SUCCEEDED, "Finished")
                assert await results(node, made) == b"done\n"

        play(story)

    def test_older_servers_get_stdin_ended_by_the_connections_end(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.protocols = [V4]
            async with it.node() as node:
                made = await submit(node, b"x" * 100_000)
                pod = await it.pod()
                pod.run()
                await pod.stdin_ended.wait()
                assert pod.stdin == b"x" * 100_000
                await until(made, State.RUNNING)

        play(story)

    @pytest.mark.parametrize(
        ("code", "reason", "message", "detail"),
        [
            (3, "Error", "", "exit status 3"),
            (137, "OOMKilled", "", "exit status 137 (OOMKilled)"),
            (1, "Error", "no such file\n", "exit status 1: no such file"),
        ],
    )
    def test_the_exit_code_decides(self, play: Play, code: int, reason: str, message: str, detail: str) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                pod.write(b"its last words\n")
                pod.end(code, reason, message)
                assert await ended(made) == (State.FAILED, detail)
                assert await results(node, made) == b"its last words\n"

        play(story)

    def test_an_evicted_pod_says_why(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
                pod.change("Failed", reason="Evicted", message="the node was low on memory")
                state, detail = await ended(made)
                assert (state, detail.rpartition("worker: ")[2]) == (
                    State.FAILED, "Evicted: the node was low on memory",
                )  # fmt: skip

        play(story)

    def test_a_pod_that_somebody_deletes_fails_its_unit(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
                pod.vanish()
                state, detail = await ended(made)
                assert state is State.FAILED
                assert "was deleted before it had ended" in detail

        play(story)


class TestBrokenConnections:
    def test_a_log_that_breaks_off_loses_and_repeats_nothing(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            text = b"".join(b"line %d of many\n" % number for number in range(2000))
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                reading = asyncio.create_task(results(node, made))
                for begin in range(0, len(text), 3333):
                    pod.write(text[begin : begin + 3333])
                    size = (await made.current_status()).stdout_size
                    while (await made.current_status()).stdout_size == size:
                        await made.changed_since(made.version)
                    it.cluster.break_off("log")
                pod.end()
                assert await ended(made) == (State.SUCCEEDED, "Finished")
                assert await reading == text
                assert it.cluster.count("log") > 5

        play(story)

    def test_a_watch_that_breaks_off_is_taken_up_again(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                await it.cluster.asked("watch")
                assert it.cluster.break_off("watch") == 1
                it.cluster.refuse("get", 500, times=3)
                it.cluster.refuse("watch", 410, "too old", "Expired")
                pod.run()
                await until(made, State.RUNNING)
                it.cluster.break_off("watch")
                pod.end()
                assert await ended(made) == (State.SUCCEEDED, "Finished")

        play(story)

    def test_a_broken_attach_fails_the_unit_and_deletes_the_pod(self, play: Play) -> None:
        """The worker has a part of its payload, and its stdin has ended: it must not go on as if that were all."""

        async def story(it: Bench) -> None:
            it.cluster.attach_outcome = {"status": "Failure", "message": "the container went away"}
            async with it.node() as node:
                made = await submit(node, b"payload")
                pod = await it.pod()
                pod.run()
                assert await ended(made) == (
                    State.FAILED, "stdin could not be sent to the pod: the container went away",
                )  # fmt: skip
                while not pod.is_gone:
                    await pod.changed()

        play(story)

    def test_so_does_one_that_is_cut_within_the_payload(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.cuts_stdin_after = 1_000_000
            async with it.node() as node:
                made = await submit(node, b"x" * 5_000_000)
                pod = await it.pod()
                pod.run()
                state, detail = await ended(made)
                assert (state, detail.partition(": ")[0]) == (State.FAILED, "stdin could not be sent to the pod")
                assert it.cluster.count("attach") == 1
                while not pod.is_gone:
                    await pod.changed()

        play(story)

    def test_an_attach_that_breaks_as_the_worker_ends_is_no_failure(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.attach_outcome = {"status": "Failure", "message": "broken pipe"}
            async with it.node() as node:
                made = await submit(node, b"only the first line is read")
                pod = await it.pod()
                pod.run()
                await pod.stdin_ended.wait()
                pod.write(b"enough\n")
                pod.end()
                assert await ended(made) == (State.SUCCEEDED, "Finished")

        play(story)

    def test_a_watch_whose_version_is_too_old_begins_anew(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.expired_watches = 2
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                await it.cluster.asked("watch", 3)
                pod.run()
                await until(made, State.RUNNING)

        play(story)

    def test_a_log_that_does_not_end_with_its_worker_is_asked_for_again(
        self, play: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "DRAIN_TIME", 0.1)

        async def story(it: Bench) -> None:
            it.cluster.log_hangs = True
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                pod.write(b"one\ntwo\n")
                while (await made.current_status()).stdout_size < 8:
                    await made.changed_since(made.version)
                pod.end()
                assert await ended(made) == (State.SUCCEEDED, "Finished")
                assert await results(node, made) == b"one\ntwo\n"

        play(story)

    def test_an_attach_that_is_refused_is_tried_again(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.refuse("attach", 500, times=2)
            async with it.node() as node:
                made = await submit(node, b"payload")
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
                assert pod.stdin == b"payload"

        play(story)

    def test_a_pod_whose_making_nobody_confirms_is_made_once(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.lost_answers = 2
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
                assert len(it.cluster.pods) == 1
                assert it.cluster.count("create") > 1

        play(story)

    def test_words_in_place_of_the_log_are_no_output(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.log = b"unable to retrieve container logs for containerd://x"
                pod.run()
                await until(made, State.RUNNING)
                await it.cluster.asked("log", 2)
                pod.log = b""
                pod.write(b"output\n")
                pod.end()
                assert await results(node, made) == b"output\n"

        play(story)


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "message"),
        [
            (401, "Unauthorized"),
            (403, 'pods "x" is forbidden: exceeded quota: compute, requested: pods=1'),
            (404, 'namespaces "nowhere" not found'),
            (422, "spec.containers[0].image: Required value"),
        ],
    )
    def test_a_pod_that_is_refused_fails_its_unit_with_the_clusters_words(
        self, play: Play, code: int, message: str
    ) -> None:
        async def story(it: Bench) -> None:
            it.cluster.refuse("create", code, message)
            async with it.node() as node:
                made = await submit(node)
                assert await ended(made) == (State.FAILED, f"Error creating pod: {message} (HTTP {code})")
                assert it.cluster.requests == [one for one in it.cluster.requests if one.startswith("create")]

        play(story)

    def test_a_conflict_with_another_change_passes(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.refuse("create", 409, "the object has been modified", "Conflict", times=2)
            it.cluster.refuse("create", 503)
            async with it.node() as node:
                await submit(node)
                assert (await it.pod()).name.startswith("pods-")

        play(story)

    def test_a_pod_that_can_not_be_made_for_long_is_given_up(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.refuse("create", 500, "etcd is down", times=100)
            async with it.node() as node:
                made = await submit(node)
                state, detail = await ended(made)
                assert (state, detail) == (State.FAILED, "Error creating pod: etcd is down (HTTP 500)")

        play(story)

    def test_a_log_that_is_forbidden_fails_the_unit(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.cluster.refuse("log", 403, "pods/log is forbidden", times=100)
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                state, detail = await ended(made)
                assert state is State.FAILED
                assert "fetch the log" in detail
                assert "pods/log is forbidden" in detail

        play(story)

    def test_a_wrong_image_name_is_given_up_at_once(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.wait("InvalidImageName", "couldn't parse image name")
                assert await ended(made) == (
                    State.FAILED, "Error creating pod: InvalidImageName: couldn't parse image name",
                )  # fmt: skip
                while not pod.is_gone:
                    await pod.changed()

        play(story)

    def test_an_image_that_can_not_be_pulled_is_given_up_after_some_attempts(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                for number in range(4):
                    pod.wait("ErrImagePull", f"attempt {number}")
                    await until(made, State.PENDING, f"Pod pending: ErrImagePull: attempt {number}")
                    pod.wait("ImagePullBackOff", f"back-off {number}")
                    if number < 3:
                        await until(made, State.PENDING, "Pod pending: ImagePullBackOff")
                assert await ended(made) == (State.FAILED, "Error creating pod: ImagePullBackOff: back-off 3")

        play(story)

    def test_a_pod_that_pends_for_too_long_is_given_up(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node, pod_pending_timeout="200ms")
                pod = await it.pod()
                pod.wait("ContainerCreating")
                assert await ended(made) == (
                    State.FAILED, "Error creating pod: not running after 200ms (ContainerCreating)",
                )  # fmt: skip
                while not pod.is_gone:
                    await pod.changed()

        play(story)


class TestOrders:
    def test_cancel_deletes_the_pod(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
                assert await made.cancel()
                assert await ended(made) == (State.CANCELED, "Canceled")
                assert pod.is_gone

        play(story)

    def test_release_deletes_pod_and_unit(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                pod.end()
                await made.final()
                assert not pod.is_gone
                assert await made.release(force=False)
                assert pod.is_gone
                assert not made.folder.path.exists()
                assert made.unit_id not in node.units

        play(story)

    def test_a_cancel_that_does_not_get_through_is_tried_again(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
                it.cluster.refuse("delete", 503, times=3)
                assert not await made.cancel()
                assert await ended(made) == (State.CANCELED, "Canceled")
                assert pod.is_gone

        play(story)

    def test_a_release_that_is_refused_says_so_and_may_be_forced(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
                it.cluster.refuse("delete", 403, "you may not", times=100)
                with pytest.raises(OperatingError, match="you may not"):
                    await made.release(force=False)
                assert await made.release(force=True)
                assert not made.folder.path.exists()
                assert not pod.is_gone

        play(story)

    def test_a_unit_whose_pod_has_ended_is_released_even_if_the_pod_must_stay(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                pod.end()
                await made.final()
                it.cluster.refuse("delete", 401, times=100)
                with pytest.raises(OperatingError, match=r"HTTP 401"):
                    await made.release(force=False)
                while not made.is_removed:
                    await made.changed_since(made.version)

        play(story)

    def test_a_cancel_while_the_pod_is_being_made_leaves_none(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                assert await made.cancel()
                assert made.shown.state is State.CANCELED
                assert all(pod.is_gone for pod in it.cluster.pods.values())

        play(story)

    def test_a_cancel_before_the_start_is_at_once(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await node.make_unit(CommandWork(work_type="pods", parameters={}))
                assert await made.cancel()
                await made.receive_payload(parts(b""))
                with pytest.raises(CommandError):
                    await made.start()
                assert it.cluster.requests == []

        play(story)


class TestRestarts:
    def test_a_running_pod_is_taken_up_where_it_was(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            text = b"".join(b"line %d\n" % number for number in range(3000))
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                pod.write(text[:10_001])
                while (await made.current_status()).stdout_size < 10_001:
                    await made.changed_since(made.version)
            pod.write(text[10_001:20_002])
            async with it.node() as node:
                made = node.get(made.unit_id)
                assert made.shown.state is State.RUNNING
                pod.write(text[20_002:])
                pod.end()
                assert await ended(made) == (State.SUCCEEDED, "Finished")
                assert await results(node, made) == text
                assert made.shown.stdout_size == len(text)
                assert len(it.cluster.pods) == 1

        play(story)

    def test_a_node_that_was_killed_writes_nothing_twice(self, play: Play) -> None:
        """The position of the log that is on disk is then older than the output."""

        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                pod.write(b"one\ntwo\nthree\n")
                while (await made.current_status()).stdout_size < 14:
                    await made.changed_since(made.version)
            made.folder.log_file.unlink()
            async with it.node() as node:
                pod.write(b"four\n")
                pod.end()
                assert await results(node, node.get(made.unit_id)) == b"one\ntwo\nthree\nfour\n"

        play(story)

    def test_a_pod_that_ended_meanwhile_is_told_of(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
            pod.write(b"late\n")
            pod.end(2)
            async with it.node() as node:
                assert await ended(node.get(made.unit_id)) == (State.FAILED, "exit status 2")
                assert await results(node, node.get(made.unit_id)) == b"late\n"

        play(story)

    def test_a_pending_pod_is_deleted(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                await until(made, State.PENDING, "Pod created")
            async with it.node() as node:
                state, detail = await ended(node.get(made.unit_id))
                assert state is State.FAILED
                assert "deletepodonrestart" in detail
                while not pod.is_gone:
                    await pod.changed()

        play(story)

    def test_or_waited_for_if_the_configuration_says_so(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.act(delete_pod_on_restart=False)
            async with it.node() as node:
                made = await submit(node, b"payload")
                pod = await it.pod()
                await until(made, State.PENDING, "Pod created")
            async with it.node() as node:
                pod.run()
                await until(node.get(made.unit_id), State.RUNNING)
                assert pod.stdin == b"payload"
                assert len(it.cluster.pods) == 1

        play(story)

    def test_a_cancel_goes_on(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
                it.cluster.refuse("delete", 503, times=10_000)
                await made.cancel()
            it.cluster.refusals.clear()
            async with it.node() as node:
                assert await ended(node.get(made.unit_id)) == (State.CANCELED, "Canceled")
                assert pod.is_gone

        play(story)

    def test_a_release_goes_on(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                await until(made, State.RUNNING)
                it.cluster.refuse("delete", 503, times=10_000)
                assert not await made.release(force=False)
            it.cluster.refusals.clear()
            async with it.node() as node:
                if made.unit_id in node.units:
                    again = node.get(made.unit_id)
                    while not again.is_removed:
                        await again.changed_since(again.version)
                assert pod.is_gone

        play(story)

    def test_a_unit_whose_work_type_is_gone_fails(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await submit(node)
                (await it.pod()).run()
                await until(made, State.RUNNING)
            async with it.node(replace(it.action, work_type="other")) as node:
                assert await ended(node.get(made.unit_id)) == (State.FAILED, "unknown work type pods")

        play(story)


class TestOverTcp:
    @staticmethod
    async def connect(pod: FakePod) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        environment = {one["name"]: one["value"] for one in pod.worker["env"]}
        return await asyncio.open_connection(environment["RECEPTOR_HOST"], int(environment["RECEPTOR_PORT"]))

    def test_payload_and_output_go_over_the_pods_connection(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.act(stream_method="tcp")
            async with it.node() as node:
                made = await submit(node, b"payload" * 10_000)
                pod = await it.pod()
                pod.run()
                reader, writer = await self.connect(pod)
                assert await reader.read() == b"payload" * 10_000
                await until(made, State.RUNNING, "Pod Running")
                writer.write(b"output\x00")
                writer.close()
                pod.end()
                assert await ended(made) == (State.SUCCEEDED, "Finished")
                assert await results(node, made) == b"output\x00"
                assert it.cluster.count("log") == it.cluster.count("attach") == 0

        play(story)

    def test_a_pod_that_never_connects_fails(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.act(stream_method="tcp")
            async with it.node() as node:
                made = await submit(node, b"payload")
                pod = await it.pod()
                pod.run()
                pod.end()
                state, detail = await ended(made)
                assert state is State.FAILED
                assert "without having connected" in detail

        play(story)

    def test_a_connection_that_breaks_fails(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.act(stream_method="tcp")
            async with it.node() as node:
                made = await submit(node, b"payload")
                pod = await it.pod()
                pod.run()
                reader, writer = await self.connect(pod)
                assert await reader.read() == b"payload"
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                state, detail = await ended(made)
                assert (state, detail.partition(":")[0]) == (State.FAILED, "the pod's connection broke")
                while not pod.is_gone:
                    await pod.changed()

        play(story)

    def test_a_restart_ends_it(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            it.act(stream_method="tcp")
            async with it.node() as node:
                made = await submit(node)
                pod = await it.pod()
                pod.run()
                reader, writer = await self.connect(pod)
                assert await reader.read() == b""
                await until(made, State.RUNNING)
            writer.close()
            async with it.node() as node:
                state, detail = await ended(node.get(made.unit_id))
                assert state is State.FAILED
                assert "streammethod tcp" in detail
                while not pod.is_gone:
                    await pod.changed()

        play(story)


class TestWhatSubmittersGive:
    def test_their_cluster_and_their_pod(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            definition = (
                "metadata: {name: automation-job-5, labels: {app: x}}\n"
                "spec: {containers: [{name: side, image: a}, {name: worker, image: b, env: [{name: S, value: hush}]}]}"
            )
            it.act(auth_method="runtime", kubeconfig=None, image="", command="")
            async with it.node() as node:
                made = await submit(
                    node, b"x", secret_kube_config=it.cluster.kubeconfig, secret_kube_pod=definition
                )  # fmt: skip
                pod = await it.pod()
                assert pod.namespace == "theirs"
                assert pod.name.startswith("automation-job-5-")
                assert pod.definition["metadata"]["labels"] == {"app": "x"}
                assert [one["name"] for one in pod.definition["spec"]["containers"]] == ["side", "worker"]
                assert pod.worker["stdin"] is pod.worker["stdinOnce"] is True
                assert pod.definition["spec"]["restartPolicy"] == "Never"
                shown = str(answer(await made.current_status()))
                assert TOKEN not in shown
                assert "hush" not in shown
                extra = it.on_disk(made.unit_id).extra
                assert isinstance(extra, PodExtra)
                assert TOKEN in extra.kube_config
                assert extra.pod_name == pod.name
                assert made.folder.status_file.stat().st_mode & 0o077 == 0

        play(story)

    def test_a_cluster_that_makes_no_sense_fails_at_the_start(self, play: Play) -> None:
        async def story(it: Bench) -> None:
            async with it.node() as node:
                made = await node.make_unit(
                    CommandWork(work_type="pods", parameters={"secret_kube_config": "clusters: hush"})
                )
                await made.receive_payload(parts(b""))
                with pytest.raises(CommandError, match="secret_kube_config is no kubeconfig") as caught:
                    await made.start()
                assert "hush" not in str(caught.value)
                assert made.shown.state is State.FAILED

        play(story)


def test_an_idle_pod_costs_nothing(play: Play) -> None:
    """While nothing happens there are two open connections, and no request."""

    async def story(it: Bench) -> None:
        async with it.node() as node:
            made = await submit(node)
            pod = await it.pod()
            pod.run()
            await until(made, State.RUNNING)
            pod.write(b"last\n")
            while (await made.current_status()).stdout_size == 0:
                await made.changed_since(made.version)
            before = list(it.cluster.requests)
            timers = [str(timer) for timer in vars(asyncio.get_running_loop())["_scheduled"] if not timer.cancelled()]
            assert [timer for timer in timers if "receptor" in timer] == []
            assert it.cluster.requests == before

    play(story)
