"""Conversations, operations and streams played without a node: what each asks for, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from receptor.client.conversations import ReadLine, Send
from receptor.client.operations import Give, Step

T = TypeVar("T")


@dataclass(frozen=True)
class Fails:
    """An error of the next step of that kind."""

    step: str
    error: Exception


Came: TypeAlias = bytes | Exception | Fails


class Transcript(Generic[T]):
    """What was asked for, in words, and how it ended.

    ``came`` has what comes of the requests that want something, in their order: bytes, or an error to raise. The others
    come to nothing, unless ``Fails`` is next with the name of theirs.
    """

    def __init__(
        self, generator: Generator[Step | Give[object], bytes, T], came: Iterable[bytes | Exception | Fails]
    ) -> None:
        self.asked: list[str] = []
        self.given: list[object] = []
        self.error: Exception | None = None
        self.result: T | None = None
        self._came = list(came)
        try:
            step = next(generator)
            while True:
                self.asked.append(_in_words(step))
                try:
                    answer = self._answer(step)
                except Exception as error:  # noqa: BLE001 (the generator is to say what becomes of it)
                    step = generator.throw(error)
                else:
                    step = generator.send(answer)
        except StopIteration as end:
            self.result = end.value
        except Exception as error:  # noqa: BLE001 (the test looks at it)
            self.error = error
        assert not self._came, f"nobody asked for {self._came}"

    def _answer(self, step: Step | Give[object]) -> bytes:
        if isinstance(step, Give):
            self.given.append(step.item)
            return b""
        kind = type(step).__name__
        if self._came and isinstance(fails := self._came[0], Fails) and fails.step == kind:
            self._came.pop(0)
            raise fails.error
        if kind not in ("ReadLine", "ReadSome", "TakePayload"):
            return b""
        assert self._came, f"nothing is prepared for {step}"
        came = self._came.pop(0)
        assert not isinstance(came, Fails), f"{came} comes too late for {kind}"
        if isinstance(came, Exception):
            raise came
        return came


def _in_words(step: Step | Give[object]) -> str:
    if isinstance(step, Send):
        return f"send {step.data.decode()}".strip()
    if isinstance(step, ReadLine):
        return f"read {step.awaited}"
    return type(step).__name__


def line(**fields: object) -> bytes:
    """An answer of a node."""
    return json.dumps(fields).encode()
