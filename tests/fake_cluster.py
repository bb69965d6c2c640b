"""A cluster's API server for tests: its pods do what the test says, and its connections break when it says so."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import yaml
from aiohttp import WSMsgType, web

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
TOKEN = "hush-token"
Json = dict[str, Any]


class FakePod:
    """A pod, and the levers of whoever plays it."""

    def __init__(self, definition: Json) -> None:
        self.definition = definition
        self.name: str = definition["metadata"]["name"]
        self.namespace: str = definition["metadata"]["namespace"]
        self.status: Json = {"phase": "Pending"}
        self.version = 1
        self.is_gone = False
        self.log = b""
        """As the runtime keeps it: each line with its time."""
        self.stdin = bytearray()
        self.stdin_ended = asyncio.Event()
        self.attached = asyncio.Event()
        self._changed = asyncio.Event()
        self._clock = 1_700_000_000_000_000_000

    @property
    def worker(self) -> Json:
        return next(one for one in self.definition["spec"]["containers"] if one["name"] == "worker")

    @property
    def is_running(self) -> bool:
        return "running" in self._state and not self.is_gone

    @property
    def _state(self) -> Json:
        statuses = self.status.get("containerStatuses") or [{"state": {}}]
        state: Json = statuses[0]["state"]
        return state

    def as_json(self) -> Json:
        metadata = {**self.definition["metadata"], "resourceVersion": str(self.version)}
        return {"kind": "Pod", "metadata": metadata, "spec": self.definition["spec"], "status": self.status}

    def change(self, phase: str, state: Json | None = None, **more: object) -> None:
        self.status = {"phase": phase, **more}
        if state is not None:
            self.status["containerStatuses"] = [{"name": "worker", "state": state}]
        self._tell()

    def wait(self, reason: str, message: str = "") -> None:
        self.change("Pending", {"waiting": {"reason": reason, "message": message}})

    def run(self) -> None:
        self.change("Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})

    def end(self, exit_code: int = 0, reason: str = "", message: str = "", **more: object) -> None:
        phase = "Failed" if exit_code else "Succeeded"
        terminated = {"exitCode": exit_code, "reason": reason, "message": message}
        self.change(phase, {"terminated": terminated}, **more)

    def vanish(self) -> None:
        """Somebody deletes it."""
        self.is_gone = True
        self._tell()

    def write(self, text: bytes, step: int = 1_000_000, stamp: str = "") -> None:
        """The worker puts this out; each line is taken a millisecond after the one before."""
        for line in text.splitlines(keepends=True):
            is_new = not self.log or self.log.endswith(b"\n")
            self._clock += step if is_new else 0
            self.log += ((stamp or _text_of(self._clock)).encode() + b" " if is_new else b"") + line
        self._tell()

    async def changed(self) -> None:
        await self._changed.wait()

    def _tell(self) -> None:
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class FakeCluster:
    """``play`` is started for each pod that is made."""

    def __init__(self, play: Callable[[FakePod], Awaitable[None]] | None = None) -> None:
        self.pods: dict[str, FakePod] = {}
        self.requests: list[str] = []
        self.refusals: dict[str, list[tuple[int, str, str]]] = {}
        """By what is asked for (``create get watch log attach delete``): those of the next times."""
        self.protocols = [V5, V4]
        self.attach_outcome: Json = {"status": "Success"}
        self.cuts_stdin_after: int | None = None
        """Bytes after which each attached connection breaks."""
        self.expired_watches = 0
        """How many watches more begin with the error that their version is too old."""
        self.log_hangs = False
        """Whether logs that are followed never end."""
        self.lost_answers = 0
        """How many pods more are made without anybody being told."""
        self._play = play
        self._streams: dict[str, set[asyncio.Transport]] = {}
        self._plays: set[asyncio.Task[None]] = set()
        self._made = asyncio.Event()
        self._was_asked = asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def up(self, port: int = 0) -> AsyncIterator[FakeCluster]:
        self._loop = asyncio.get_running_loop()
        application = web.Application(client_max_size=2**30)
        pods = "/api/v1/namespaces/{namespace}/pods"
        application.router.add_post(pods, self._create)
        application.router.add_get(pods, self._watch)
        application.router.add_get(pods + "/{name}", self._get)
        application.router.add_delete(pods + "/{name}", self._delete)
        application.router.add_get(pods + "/{name}/log", self._log)
        application.router.add_get(pods + "/{name}/attach", self._attach)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            for kind in list(self._streams):
                self.break_off(kind)
            await runner.cleanup()
            for play in self._plays:
                play.cancel()
            await asyncio.gather(*self._plays, return_exceptions=True)

    @property
    def kubeconfig(self) -> str:
        """Of somebody who may do everything in the namespace ``theirs``."""
        return yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": self.url}}],
                "users": [{"name": "u", "user": {"token": TOKEN}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "theirs"}}],
                "current-context": "x",
            }
        )

    def call(self, lever: Callable[[], object]) -> None:
        """From another thread."""
        self._loop.call_soon_threadsafe(lever)

    async def pod(self, count: int = 1) -> FakePod:
        """The newest pod, once there have been that many."""
        while len(self.pods) < count:
            await self._made.wait()
        return list(self.pods.values())[-1]

    def refuse(self, kind: str, code: int, message: str = "no", reason: str = "", times: int = 1) -> None:
        self.refusals.setdefault(kind, []).extend([(code, message, reason)] * times)

    def break_off(self, kind: str) -> int:
        """Cut all connections of that kind; how many there were."""
        transports = self._streams.pop(kind, set())
        for transport in transports:
            transport.abort()
        return len(transports)

    def count(self, kind: str) -> int:
        """How often that was asked for."""
        return sum(one.split()[0] == kind for one in self.requests)

    async def asked(self, kind: str, times: int = 1) -> None:
        """Wait until that was asked for so many times."""
        while self.count(kind) < times:
            await self._was_asked.wait()

    def _tell_asked(self) -> None:
        asked, self._was_asked = self._was_asked, asyncio.Event()
        asked.set()

    def _found(self, request: web.Request) -> FakePod:
        pod = self.pods.get(request.match_info["name"])
        if pod is None or pod.is_gone or pod.namespace != request.match_info["namespace"]:
            raise _error(404, f'pods "{request.match_info["name"]}" not found', "NotFound")
        return pod

    def _asked(self, request: web.Request, kind: str) -> None:
        self.requests.append(f"{kind} {request.rel_url}")
        self._tell_asked()
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _error(401, "Unauthorized", "Unauthorized")
        if self.refusals.get(kind):
            raise _error(*self.refusals[kind].pop(0))

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self._asked(request, "create")
        definition = await request.json()
        name = definition["metadata"]["name"]
        if name in self.pods:
            raise _error(409, f'pods "{name}" already exists', "AlreadyExists")
        pod = self.pods[name] = FakePod(definition)
        made, self._made = self._made, asyncio.Event()
        made.set()
        if self._play:
            play = asyncio.ensure_future(self._play(pod))
            self._plays.add(play)
            play.add_done_callback(self._plays.discard)
        if self.lost_answers:
            self.lost_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(pod.as_json(), status=201)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        self._asked(request, "get")
        return web.json_response(self._found(request).as_json())

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        self._asked(request, "delete")
        self._found(request).vanish()
        return web.json_response({"kind": "Status", "status": "Success"})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self._asked(request, "watch")
        name = request.query["fieldSelector"].removeprefix("metadata.name=")
        pod, seen = self.pods[name], int(request.query["resourceVersion"])
        async with self._stream(request, "watch") as response:
            if self.expired_watches:
                self.expired_watches -= 1
                await _event(response, "ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
                return response
            await _event(response, "BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(seen)}})
            while True:
                if pod.version > seen:
                    seen = pod.version
                    await _event(response, "DELETED" if pod.is_gone else "MODIFIED", pod.as_json())
                else:
                    await pod.changed()

    async def _log(self, request: web.Request) -> web.StreamResponse:
        self._asked(request, "log")
        pod = self._found(request)
        assert request.query["container"] == "worker"
        assert request.query["timestamps"] == "true"
        follows = request.query["follow"] == "true"
        since = request.query.get("sinceTime", "")
        position = _offset_of(pod.log, since)
        async with self._stream(request, "log") as response:
            while True:
                if position < len(pod.log):
                    # Never at the seams of lines.
                    part = pod.log[position : position + 1000]
                    position += len(part)
                    await response.write(part)
                elif not follows or not (pod.is_running or self.log_hangs):
                    return response
                else:
                    await pod.changed()

    @asynccontextmanager
    async def _stream(self, request: web.Request, kind: str) -> AsyncIterator[web.StreamResponse]:
        response = web.StreamResponse()
        await response.prepare(request)
        self._note(request, kind)
        yield response

    def _note(self, request: web.Request, kind: str) -> None:
        assert request.transport is not None
        self._streams.setdefault(kind, set()).add(request.transport)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        self._asked(request, "attach")
        pod = self._found(request)
        if not pod.is_running:
            raise _error(400, "container worker is not running", "BadRequest")
        assert request.query["stdin"] == "true"
        assert request.query["stdout"] == request.query["stderr"] == "false"
        socket = web.WebSocketResponse(protocols=self.protocols)
        await socket.prepare(request)
        self._note(request, "attach")
        pod.attached.set()
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            if message.data == b"\xff\x00" and socket.ws_protocol == V5:
                pod.stdin_ended.set()
                await socket.send_bytes(b"\x03" + json.dumps(self.attach_outcome).encode())
                break
            assert message.data[0] == 0
            pod.stdin += message.data[1:]
            if self.cuts_stdin_after is not None and len(pod.stdin) >= self.cuts_stdin_after:
                self.break_off("attach")
        if socket.ws_protocol == V4:
            pod.stdin_ended.set()
        await socket.close()
        return socket


def _error(code: int, message: str, reason: str) -> web.HTTPException:
    kinds: dict[int, type[web.HTTPException]] = {
        kind.status_code: kind
        for kind in vars(web).values()
        if isinstance(kind, type) and issubclass(kind, web.HTTPError) and kind.status_code > 0
    }
    body = {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code}
    return kinds[code](text=json.dumps(body), content_type="application/json")


async def _event(response: web.StreamResponse, kind: str, about: Json) -> None:
    await response.write(json.dumps({"type": kind, "object": about}).encode() + b"\n")


def _offset_of(log: bytes, since: str) -> int:
    """Where the first line begins that is not older; a real one looks at each line, with whole seconds."""
    position = 0
    for line in log.splitlines(keepends=True):
        if line.split(b" ")[0].decode()[:19] >= since[:19]:
            return position
        position += len(line)
    return position


def _text_of(nanoseconds: int) -> str:
    whole = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{nanoseconds % 1_000_000_000:09d}Z"


@contextmanager
def cluster_in_thread(play: Callable[[FakePod], Awaitable[None]]) -> Iterator[FakeCluster]:
    """A cluster for tests that are no coroutines."""
    ready, ended = threading.Event(), asyncio.Event()
    cluster = FakeCluster()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        nonlocal cluster
        cluster = FakeCluster(play)
        async with cluster.up():
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    ready.wait(10)
    try:
        yield cluster
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
