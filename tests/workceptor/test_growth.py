from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from receptor.workceptor.growth import LEAST_INTERVAL, GrowthWatcher


@contextmanager
def closed(watcher: GrowthWatcher) -> Iterator[GrowthWatcher]:
    try:
        yield watcher
    finally:
        watcher.close()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "stdout"
    path.touch()
    return path


def test_a_write_is_told(output: Path) -> None:
    async def scenario() -> None:
        grown = asyncio.Event()
        with closed(GrowthWatcher()) as watcher, watcher.watching(output, grown.set):
            append(output, b"more")
            await asyncio.wait_for(grown.wait(), 5)

    asyncio.run(scenario())


def test_all_who_watch_a_file_are_told(output: Path) -> None:
    async def scenario() -> None:
        told = [asyncio.Event() for _ in range(3)]
        with (
            closed(GrowthWatcher()) as watcher,
            watcher.watching(output, told[0].set),
            watcher.watching(output, told[1].set),
            watcher.watching(output, told[2].set),
        ):
            append(output, b"x")
            await asyncio.wait_for(asyncio.gather(*(event.wait() for event in told)), 5)

    asyncio.run(scenario())


def test_who_has_left_is_told_nothing(output: Path) -> None:
    async def scenario() -> list[str]:
        told: list[str] = []
        grown = asyncio.Event()
        with closed(GrowthWatcher()) as watcher, watcher.watching(output, grown.set):
            with watcher.watching(output, lambda: told.append("left")):
                pass
            append(output, b"x")
            await asyncio.wait_for(grown.wait(), 5)
        return told

    assert asyncio.run(scenario()) == []


def test_only_the_file_that_grew_is_told(tmp_path: Path, output: Path) -> None:
    async def scenario() -> list[str]:
        other = tmp_path / "other"
        other.touch()
        told: list[str] = []
        grown = asyncio.Event()
        with (
            closed(GrowthWatcher()) as watcher,
            watcher.watching(other, lambda: told.append("other")),
            watcher.watching(output, grown.set),
        ):
            append(output, b"x")
            await asyncio.wait_for(grown.wait(), 5)
        return told

    assert asyncio.run(scenario()) == []


def test_a_file_that_grows_fast_is_told_seldom_and_to_its_end(output: Path) -> None:
    async def scenario() -> None:
        loop, told, grown = asyncio.get_running_loop(), 0, asyncio.Event()

        def tell() -> None:
            nonlocal told
            told += 1
            grown.set()

        with closed(GrowthWatcher()) as watcher, watcher.watching(output, tell):
            begin = loop.time()
            for _ in range(1000):
                append(output, b"x")
                await asyncio.sleep(0)
            grown.clear()
            append(output, b"the end")
            await asyncio.wait_for(grown.wait(), 5)
            assert told <= (loop.time() - begin) / LEAST_INTERVAL + 2

    asyncio.run(scenario())


def test_a_file_may_be_watched_again(output: Path) -> None:
    async def scenario() -> None:
        with closed(GrowthWatcher()) as watcher:
            for _ in range(3):
                grown = asyncio.Event()
                with watcher.watching(output, grown.set):
                    append(output, b"x")
                    await asyncio.wait_for(grown.wait(), 5)

    asyncio.run(scenario())


def test_a_file_that_is_not_there_does_not_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        with closed(GrowthWatcher()) as watcher, watcher.watching(tmp_path / "missing", pytest.fail):
            await asyncio.sleep(0)

    asyncio.run(scenario())


@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
def test_a_file_may_be_deleted_while_it_is_watched(
    output: Path, tmp_path: Path, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        other = tmp_path / "other"
        other.touch()
        grown = asyncio.Event()
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(sys, "platform", platform)
            watcher = GrowthWatcher()
        with closed(watcher), watcher.watching(other, grown.set), watcher.watching(output, lambda: None):
            os.unlink(output)
            append(other, b"x")
            await asyncio.wait_for(grown.wait(), 5)

    asyncio.run(scenario())


def test_it_may_be_closed_before_its_users_leave(output: Path) -> None:
    async def scenario() -> None:
        watcher = GrowthWatcher()
        with watcher.watching(output, pytest.fail):
            watcher.close()
            append(output, b"x")
            await asyncio.sleep(0)
        watcher.close()

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="has no inotify")
def test_no_descriptor_is_used_before_somebody_follows_and_one_for_all_files(tmp_path: Path) -> None:
    async def scenario() -> None:
        with closed(GrowthWatcher()) as watcher, ExitStack() as watching:
            before = len(os.listdir("/proc/self/fd"))
            for number in range(100):
                path = tmp_path / str(number)
                path.touch()
                watching.enter_context(watcher.watching(path, lambda: None))
            assert len(os.listdir("/proc/self/fd")) == before + 1

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="has no inotify")
def test_without_descriptors_a_followed_file_is_looked_at(output: Path, caplog: pytest.LogCaptureFixture) -> None:
    """So are files for which the kernel has no watches left; the operator is told what to raise."""

    async def scenario() -> None:
        grown = asyncio.Event()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with closed(GrowthWatcher()) as watcher, ExitStack() as watching:
            next_descriptor = os.dup(0)
            os.close(next_descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (next_descriptor, hard))
            try:
                watching.enter_context(watcher.watching(output, grown.set))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            append(output, b"more")
            await asyncio.wait_for(grown.wait(), 5)

    asyncio.run(scenario())
    assert "raise fs.inotify.max_user_instances or ulimit -n" in caplog.text


def test_many_writes_and_many_watchers(tmp_path: Path) -> None:
    """No write goes unnoticed: whoever looks after each call sees all that was written."""

    async def scenario() -> None:
        paths = [tmp_path / str(number) for number in range(20)]
        sizes = dict.fromkeys(paths, 0)
        complete = asyncio.Event()

        def look(path: Path) -> None:
            sizes[path] = path.stat().st_size
            if all(size == 200 for size in sizes.values()):
                complete.set()

        def write() -> None:
            for path in paths * 200:
                append(path, b"x")

        with closed(GrowthWatcher()) as watcher, ExitStack() as watching:
            for path in paths:
                path.touch()
                watching.enter_context(watcher.watching(path, partial(look, path)))
            await asyncio.gather(asyncio.to_thread(write), asyncio.wait_for(complete.wait(), 10))

    asyncio.run(scenario())


def test_without_inotify_a_followed_file_is_looked_at(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        grown = asyncio.Event()
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(sys, "platform", "darwin")
            looking = GrowthWatcher()
        with closed(looking) as watcher, watcher.watching(output, grown.set):
            append(output, b"more")
            await asyncio.wait_for(grown.wait(), 5)

    asyncio.run(scenario())
