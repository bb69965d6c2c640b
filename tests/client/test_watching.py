from __future__ import annotations

import pytest
from fake_control import FakeNode, Peer, Session, answering

from receptor.client import outage
from receptor.client.address import UnixAddress
from receptor.client.control_client import ControlClient
from receptor.client.unit_replies import UnitState, UnitStatus
from receptor.client.watching import UnitNews, watch
from receptor.errors import CommandError, PeerError, UnreachableError

MULTIPLEXED = '{"Multiplexed":true}'


def told(*states: int, then: Session) -> Session:
    """A session that tells the states of so many units, and takes numbered commands then."""

    def session(peer: Peer) -> None:
        peer.greet()
        for state in states:
            peer.command()
            peer.say(f'{{"State":{state}}}')
        peer.command()
        peer.say(MULTIPLEXED)
        then(peer)

    return session


def watched(node: FakeNode, *unit_ids: str) -> list[tuple[str, int | None]]:
    with ControlClient(UnixAddress(node.path)) as client:
        return [(news.unit_id, news.state) for news in watch(client, unit_ids)]


def test_a_node_of_ours_tells_of_changes_by_itself(node: FakeNode) -> None:
    def numbered(peer: Peer) -> None:
        commands = [peer.numbered_command() for _ in range(2)]
        assert [(command["unitid"], command["knownstate"]) for _, command in commands] == [("a1", 0), ("b2", 1)]
        (a1, _), (b2, _) = commands
        peer.say(f'{b2} 0 {{"State":2}}')
        peer.say(f'{a1} 0 {{"State":1}}')
        again, command = peer.numbered_command()
        assert (command["unitid"], command["knownstate"]) == ("a1", 1)
        peer.say(f'{again} 0 {{"State":3}}')

    node.plays(told(0, 1, then=numbered))
    assert watched(node, "a1", "b2") == [("a1", 0), ("b2", 1), ("b2", 2), ("a1", 1), ("a1", 3)]


def test_units_that_have_ended_or_are_unknown_are_told_and_no_more(node: FakeNode) -> None:
    node.plays(answering({"State": 2}, "ERROR: unknown work unit b2"))
    assert watched(node, "a1", "b2") == [("a1", 2), ("b2", None)]


def test_a_unit_that_is_released_meanwhile(node: FakeNode) -> None:
    def numbered(peer: Peer) -> None:
        number, _ = peer.numbered_command()
        peer.say(f"{number} 0 ERROR: unknown work unit a1")

    node.plays(told(1, then=numbered))
    assert watched(node, "a1") == [("a1", 1), ("a1", None)]


def test_an_answer_without_news_is_followed_by_another_question(node: FakeNode) -> None:
    def numbered(peer: Peer) -> None:
        for state in (1, 1, 2):
            number, _ = peer.numbered_command()
            peer.say(f'{number} 0 {{"State":{state}}}')

    node.plays(told(1, then=numbered))
    assert watched(node, "a1") == [("a1", 1), ("a1", 2)]


def test_an_existing_node_is_asked_again(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.001)
    refusal = "ERROR: Unknown command"
    node.plays(answering({"State": 0}, {"State": 1}, refusal, {"State": 0}, {"State": 1}, {"State": 2}, {"State": 3}))
    assert watched(node, "a1", "b2") == [("a1", 0), ("b2", 1), ("a1", 2), ("b2", 3)]


def test_what_is_told_is_what_the_node_said(node: FakeNode) -> None:
    node.plays(answering({"State": 2, "Detail": "exit status 0"}))
    with ControlClient(UnixAddress(node.path)) as client:
        status = UnitStatus(UnitState.SUCCEEDED, "exit status 0", 0, unit_id="a1")
        assert list(watch(client, ["a1"])) == [UnitNews("a1", {"State": 2, "Detail": "exit status 0"}, status)]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("nonsense", PeerError),
        ("7 0 {}", PeerError),
        ("0 5 {}", PeerError),
        ("0 0 nonsense", PeerError),
        ("0 0 ERROR: not allowed", CommandError),
    ],
)
def test_what_can_not_be_understood_or_is_refused(node: FakeNode, line: str, error: type[Exception]) -> None:
    def numbered(peer: Peer) -> None:
        peer.numbered_command()
        peer.say(line)

    node.plays(told(1, then=numbered))
    with pytest.raises(error):
        watched(node, "a1")


def test_a_connection_that_ends(node: FakeNode) -> None:
    def numbered(peer: Peer) -> None:
        peer.numbered_command()

    node.plays(told(1, then=numbered))
    with pytest.raises(UnreachableError, match="news of units"):
        watched(node, "a1")
