from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from receptor.workceptor.growth import GrowthWatcher


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


def test_a_file_may_be_watched_again(output: Path) -> None:
    async def scenario() -> None:
        with closed(GrowthWatcher()) as watcher:
            for _ in range(3):
                grown = asyncio.Event()
                with watcher.watching(output, grown.set):
                    append(output, b"x")
                    await asyncio.wait_for(grown.wait(), 5)

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
