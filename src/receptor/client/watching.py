"""News of units of work as they happen, over one connection."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receptor.client.conversations import NEWS_SECONDS, parsed, status_command
from receptor.client.outage import Pauses
from receptor.client.unit_replies import UnitState, UnitStatus
from receptor.errors import CommandError, PeerError, UnknownUnit

if TYPE_CHECKING:
    from receptor.client.connection import Connection
    from receptor.client.control_client import ControlClient
    from receptor.client.fields import JsonObject

_SOON = 1.0
"""Seconds: a node that answers sooner, without news, does not wait for them."""

_MOST_NUMBERED = 10_000
"""Units that are watched in one multiplexed session; a node takes 20,000 commands without an answer."""


@dataclass(frozen=True)
class UnitNews:
    """A unit whose state was not known before: the node's answer, and that parsed; None if there is no such unit."""

    unit_id: str
    answer: JsonObject | None = None
    status: UnitStatus | None = None

    @classmethod
    def of(cls, unit_id: str, answer: JsonObject) -> UnitNews:
        return cls(unit_id, answer, UnitStatus.parse(answer, unit_id))

    @property
    def state(self) -> UnitState | None:
        return None if self.status is None else self.status.state


def watch(client: ControlClient, unit_ids: Sequence[str]) -> Iterator[UnitNews]:
    """The status of each unit as it is, then again with each new state, until all have ended or are gone.

    A node of ours tells of changes when they happen (control protocol, ``multiplex``); another is asked again and
    again, once a second at last. Raises as the methods of ControlClient do, UnreachableError if the connection ends.
    Whoever stops before the end must close the client's connection.
    """
    known: dict[str, UnitState] = {}
    for unit_id in unit_ids:
        news = _look(client, unit_id)
        yield news
        _note(known, news)
    if not known:
        return
    if len(known) <= _MOST_NUMBERED and _takes_numbers(client):
        yield from _told(client.connect(), known)
        client.close()
    else:
        yield from _asked(client, known)


def _told(connection: Connection, known: dict[str, UnitState]) -> Iterator[UnitNews]:
    """News in a multiplexed session: each unit's question waits until there is an answer."""
    numbers = dict(enumerate(known))
    asked_at: dict[int, float] = {}
    pauses = Pauses()

    def ask(number: int) -> None:
        unit_id = numbers[number]
        command = status_command(unit_id, known[unit_id])
        connection.send(f"{number} 0 {json.dumps(command)}\n".encode())
        asked_at[number] = time.monotonic()

    for number in numbers:
        ask(number)
    while known:
        number, news = _read_news(connection, numbers)
        is_news = news.state != known[news.unit_id]
        if is_news:
            _note(known, news)
            yield news
            pauses = Pauses()
        elif time.monotonic() < asked_at[number] + _SOON:  # too many wait for news of this unit
            time.sleep(pauses.next())
        if news.unit_id in known:
            ask(number)


def _asked(client: ControlClient, known: dict[str, UnitState]) -> Iterator[UnitNews]:
    """News by asking for each status time and again."""
    pauses = Pauses()
    while known:
        time.sleep(pauses.next())
        for unit_id, state in list(known.items()):
            news = _look(client, unit_id)
            if news.state != state:
                _note(known, news)
                yield news
                pauses = Pauses()


def _note(known: dict[str, UnitState], news: UnitNews) -> None:
    """Keep what is known of a unit as long as there can be more news of it."""
    known.pop(news.unit_id, None)
    if news.state is not None and not news.state.is_final:
        known[news.unit_id] = news.state


def _look(client: ControlClient, unit_id: str) -> UnitNews:
    try:
        return UnitNews.of(unit_id, client.unit_status(unit_id))
    except UnknownUnit:
        return UnitNews(unit_id)


def _takes_numbers(client: ControlClient) -> bool:
    try:
        client.ask({"command": "multiplex"})
    except CommandError:  # a node that does not know it, or does not allow it
        return False
    return True


def _read_news(connection: Connection, numbers: Mapping[int, str]) -> tuple[int, UnitNews]:
    line = connection.read_line("news of units", NEWS_SECONDS)
    number, _, rest = line.partition(" ")
    size, _, text = rest.partition(" ")
    unit_id = numbers.get(int(number)) if number.isdecimal() else None
    if unit_id is None or size != "0":
        raise PeerError(f"the node sends {line[:60]!r} within numbered answers; is its version compatible?")
    try:
        return int(number), UnitNews.of(unit_id, parsed(text))
    except UnknownUnit:
        return int(number), UnitNews(unit_id)
