from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fake_control import FakeNode, fake_node
from live_node import LiveNode, a_unit

from receptor.ctl.settings import Settings
from receptor.ctl.top.feed import Feed
from receptor.ctl.top.views import Snapshot

PATIENCE = 10.0


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with fake_node() as fake:
        yield fake


@contextmanager
def feed(path: str, interval: float, live: LiveNode) -> Iterator[queue.SimpleQueue[Snapshot | str]]:
    told: queue.SimpleQueue[Snapshot | str] = queue.SimpleQueue()
    feed = Feed(Settings(socket=path), interval, told.put, told.put)
    feed.start()
    try:
        yield told
    finally:
        feed.stop()
        live.end()


def next_snapshot(told: queue.SimpleQueue[Snapshot | str]) -> Snapshot:
    snapshot = told.get(timeout=PATIENCE)
    assert isinstance(snapshot, Snapshot)
    return snapshot


def test_it_looks_again_after_the_interval(node: FakeNode) -> None:
    live = LiveNode(tells_events=False)
    node.plays(live.session, live.session)
    with feed(node.path, 0.01, live) as told:
        assert next_snapshot(told).units == ()
        live.units["a1"] = a_unit()
        while not (units := next_snapshot(told).units):
            pass
    assert [unit.unit_id for unit in units] == ["a1"]


def test_it_looks_at_once_when_something_happens(node: FakeNode) -> None:
    live = LiveNode()
    node.plays(live.session, live.session)
    with feed(node.path, 3600.0, live) as told:
        next_snapshot(told)
        live.units["a1"] = a_unit()
        live.tell()
        while not (units := next_snapshot(told).units):
            pass
    assert [unit.unit_id for unit in units] == ["a1"]


def test_a_lost_node_is_told_and_tried_again(node: FakeNode) -> None:
    live = LiveNode(tells_events=False)
    node.plays(lambda peer: peer.greet(), lambda peer: peer.greet(), live.session, live.session)
    with feed(node.path, 0.01, live) as told:
        reason = told.get(timeout=PATIENCE)
        assert isinstance(reason, str)
        while live.connections < 2:
            assert next_snapshot(told).status.node_id == "foo"
    assert node.path in reason
