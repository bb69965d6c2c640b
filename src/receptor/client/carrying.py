"""Carrying out conversations, operations and streams: what they ask for goes to a function, what comes of it back.

An error of the function, a cancellation included, is raised where the generator asked: it knows what must be tidied
away, and raises it again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import TypeVar

from receptor.client.operations import Give, Step, Stream, T

R = TypeVar("R")


def run(generator: Generator[R, bytes, T], do: Callable[[R], bytes]) -> T:
    """Carry it out to its end; what it returns."""
    try:
        wanted = next(generator)
        while True:
            try:
                came = do(wanted)
            except BaseException as error:  # noqa: BLE001 (see above)
                wanted = generator.throw(error)
            else:
                wanted = generator.send(came)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_async(generator: Generator[R, bytes, T], do: Callable[[R], Awaitable[bytes]]) -> T:
    """Carry it out to its end; what it returns."""
    try:
        wanted = next(generator)
        while True:
            try:
                came = await do(wanted)
            except BaseException as error:  # noqa: BLE001 (see above)
                wanted = generator.throw(error)
            else:
                wanted = generator.send(came)
    except StopIteration as end:
        result: T = end.value
        return result


def stream(generator: Stream[T], do: Callable[[Step], bytes]) -> Generator[T, None, None]:
    """Carry it out as far as the caller takes what it gives."""
    try:
        wanted = next(generator)
        while True:
            if isinstance(wanted, Give):
                item: T = wanted.item
                yield item
                wanted = generator.send(b"")
                continue
            try:
                came = do(wanted)
            except BaseException as error:  # noqa: BLE001 (see above)
                wanted = generator.throw(error)
            else:
                wanted = generator.send(came)
    except StopIteration:
        return


async def stream_async(generator: Stream[T], do: Callable[[Step], Awaitable[bytes]]) -> AsyncGenerator[T, None]:
    """Carry it out as far as the caller takes what it gives."""
    try:
        wanted = next(generator)
        while True:
            if isinstance(wanted, Give):
                item: T = wanted.item
                yield item
                wanted = generator.send(b"")
                continue
            try:
                came = await do(wanted)
            except BaseException as error:  # noqa: BLE001 (see above)
                wanted = generator.throw(error)
            else:
                wanted = generator.send(came)
    except StopIteration:
        return
