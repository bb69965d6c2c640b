"""``Client`` and ``SyncClient`` behind one face, so that one test shows what both do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

from receptor.client import ByteStream, Client, SyncClient, Unit
from receptor.client.address import Address
from receptor.client.payloads import Payload
from receptor.client.replies import Event, Hop, NodeStatus, PingReply, ReloadReply
from receptor.client.tls_settings import TlsSettings
from receptor.client.unit_replies import UnitResult, UnitStatus

T = TypeVar("T")


class AnyUnit(Protocol):
    """A unit whose calls block."""

    @property
    def unit_id(self) -> str: ...
    def wait(self, *, timeout: float | None = None) -> UnitResult: ...
    def status(self, *, timeout: float | None = None) -> UnitStatus: ...
    def stdout(self, start: int = 0, *, timeout: float | None = None) -> Iterator[bytes]: ...
    def read_stdout(self, start: int = 0, *, timeout: float | None = None) -> bytes: ...
    def cancel(self, *, timeout: float | None = None) -> bool: ...
    def release(self, *, force: bool = False, timeout: float | None = None) -> bool: ...


class AnyStream(Protocol):
    """A stream of bytes whose calls block."""

    def read(self, *, timeout: float | None = None) -> bytes: ...
    def write(self, data: bytes, *, timeout: float | None = None) -> None: ...
    def end_writing(self) -> None: ...
    def close(self) -> None: ...


class AnyClient(Protocol):
    """A client whose calls block."""

    @property
    def node_id(self) -> str: ...
    def submit(
        self,
        work_type: str,
        payload: Payload = b"",
        *,
        node: str = "localhost",
        params: Mapping[str, str] | None = None,
        ttl: str | float = "",
        idempotency_key: str = "",
        timeout: float | None = None,
    ) -> AnyUnit: ...
    def unit(self, unit_id: str) -> AnyUnit: ...
    def units(self, *, timeout: float | None = None) -> dict[str, UnitStatus]: ...
    def status(self, *, timeout: float | None = None) -> NodeStatus: ...
    def ping(self, node: str, *, timeout: float | None = None) -> PingReply: ...
    def traceroute(self, node: str, *, timeout: float | None = None) -> list[Hop]: ...
    def reload(self, *, timeout: float | None = None) -> ReloadReply: ...
    def connect(self, node: str, service: str) -> AnyStream: ...
    def events(self, *, timeout: float | None = None) -> Iterator[Event]: ...
    def close(self) -> None: ...


class Opener(Protocol):
    """Makes and enters a client, of the kind that a test is run with."""

    def __call__(
        self,
        address: str | Address,
        *,
        on: str = "",
        tls: TlsSettings | None = None,
        timeout: float | None = None,
        patience: float = 60.0,
    ) -> AbstractContextManager[AnyClient]: ...


@contextmanager
def blocking_client(
    address: str | Address,
    *,
    on: str = "",
    tls: TlsSettings | None = None,
    timeout: float | None = None,
    patience: float = 60.0,
) -> Iterator[AnyClient]:
    client = SyncClient(address, tls=tls, timeout=timeout, patience=patience)
    with client.on(on) if on else client as entered:
        yield entered


@contextmanager
def asyncio_client(
    address: str | Address,
    *,
    on: str = "",
    tls: TlsSettings | None = None,
    timeout: float | None = None,
    patience: float = 60.0,
) -> Iterator[AnyClient]:
    """What the loop complains about, and tasks that are left, fail the test."""
    complaints: list[dict[str, object]] = []
    client = Client(address, tls=tls, timeout=timeout, patience=patience)
    client = client.on(on) if on else client
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        runner.run(client.__aenter__())
        try:
            yield _BlockingClient(client, runner)
        finally:
            runner.run(client.__aexit__(None, None, None))
            assert not asyncio.all_tasks(runner.get_loop())
    assert not complaints, complaints


OPENERS: dict[str, Opener] = {"Client": asyncio_client, "SyncClient": blocking_client}


class _BlockingClient:
    def __init__(self, client: Client, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner
        self.node_id = client.node_id

    def submit(
        self,
        work_type: str,
        payload: Payload = b"",
        *,
        node: str = "localhost",
        params: Mapping[str, str] | None = None,
        ttl: str | float = "",
        idempotency_key: str = "",
        timeout: float | None = None,
    ) -> AnyUnit:
        submitting = self._client.submit(
            work_type, payload, node=node, params=params, ttl=ttl, idempotency_key=idempotency_key, timeout=timeout
        )
        return _BlockingUnit(self._runner.run(submitting), self._runner)

    def unit(self, unit_id: str) -> AnyUnit:
        return _BlockingUnit(self._client.unit(unit_id), self._runner)

    def units(self, *, timeout: float | None = None) -> dict[str, UnitStatus]:
        return self._runner.run(self._client.units(timeout=timeout))

    def status(self, *, timeout: float | None = None) -> NodeStatus:
        return self._runner.run(self._client.status(timeout=timeout))

    def ping(self, node: str, *, timeout: float | None = None) -> PingReply:
        return self._runner.run(self._client.ping(node, timeout=timeout))

    def traceroute(self, node: str, *, timeout: float | None = None) -> list[Hop]:
        return self._runner.run(self._client.traceroute(node, timeout=timeout))

    def reload(self, *, timeout: float | None = None) -> ReloadReply:
        return self._runner.run(self._client.reload(timeout=timeout))

    def connect(self, node: str, service: str) -> AnyStream:
        return _BlockingStream(self._runner.run(self._client.connect(node, service)), self._runner)

    def events(self, *, timeout: float | None = None) -> Iterator[Event]:
        return _blocking(self._client.events(timeout=timeout), self._runner)

    def close(self) -> None:
        self._client.close()


class _BlockingUnit:
    def __init__(self, unit: Unit, runner: asyncio.Runner) -> None:
        self._unit = unit
        self._runner = runner
        self.unit_id = unit.unit_id

    def wait(self, *, timeout: float | None = None) -> UnitResult:
        return self._runner.run(self._unit.wait(timeout=timeout))

    def status(self, *, timeout: float | None = None) -> UnitStatus:
        return self._runner.run(self._unit.status(timeout=timeout))

    def stdout(self, start: int = 0, *, timeout: float | None = None) -> Iterator[bytes]:
        return _blocking(self._unit.stdout(start, timeout=timeout), self._runner)

    def read_stdout(self, start: int = 0, *, timeout: float | None = None) -> bytes:
        return self._runner.run(self._unit.read_stdout(start, timeout=timeout))

    def cancel(self, *, timeout: float | None = None) -> bool:
        return self._runner.run(self._unit.cancel(timeout=timeout))

    def release(self, *, force: bool = False, timeout: float | None = None) -> bool:
        return self._runner.run(self._unit.release(force=force, timeout=timeout))


class _BlockingStream:
    def __init__(self, stream: ByteStream, runner: asyncio.Runner) -> None:
        self._stream = stream
        self._runner = runner

    def read(self, *, timeout: float | None = None) -> bytes:
        return self._runner.run(self._stream.read(timeout=timeout))

    def write(self, data: bytes, *, timeout: float | None = None) -> None:
        self._runner.run(self._stream.write(data, timeout=timeout))

    def end_writing(self) -> None:
        self._runner.run(self._stream.end_writing())

    def close(self) -> None:
        self._stream.close()


def _blocking(items: AsyncIterator[T], runner: asyncio.Runner) -> Iterator[T]:
    async def following() -> T:
        return await anext(items)

    while True:
        try:
            item = runner.run(following())
        except StopAsyncIteration:
            return
        yield item
