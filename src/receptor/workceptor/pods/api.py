"""The few calls to a cluster's API server that units need, with aiohttp.

All raise UnreachableError if there is no answer or a later one may be better, Refused if the server says no, and
OperatingError if this node can't tell who it is.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Literal, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from aiohappyeyeballs import AddrInfoType

from receptor.errors import UnreachableError
from receptor.workceptor.pods.cluster import Cluster
from receptor.workceptor.pods.pod import WORKER, Pod
from receptor.workceptor.pods.problems import Broken, Refused

ANSWER_TIME = 60.0
CONNECT_TIME = 30.0
TOKEN_TIME = 60.0
"""Seconds after which it is looked whether there is a new token; after it was refused, at once."""
WATCH_TIME = 600
"""Seconds after which the server ends a watch: so a connection that died unseen is replaced."""
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
LONGEST_REASON = 1000
LARGEST_ANSWER = 16 * 1024 * 1024

_STDIN, _ERROR, _CLOSE = 0, 3, 255
"""Channels: the first byte of each message of an attached connection."""
_V5 = "v5.channel.k8s.io"
_V4 = "v4.channel.k8s.io"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

_Known = TypeVar("_Known", bound=msgspec.Struct)


class _Answer(msgspec.Struct, frozen=True):
    """What the server calls a Status."""

    status: str = ""
    reason: str = ""
    message: str = ""


class _Event(msgspec.Struct, frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


class Api:
    """The API server of a cluster. Made and used within one event loop."""

    def __init__(self, cluster: Cluster) -> None:
        self.server = cluster.server
        self.namespace = cluster.namespace
        """Where pods are made if nobody says otherwise."""
        self._cluster = cluster
        self._server_name = cluster.server_name or None
        self._headers: dict[str, str] = {}
        self._headers_until = 0.0
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=cluster.tls or True, limit=0, socket_factory=_socket),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIME),
            proxy=cluster.proxy or _proxy_for(cluster.server),
        )

    async def close(self) -> None:
        """Drop all connections."""
        await self._session.close()

    async def create(self, namespace: str, pod: bytes) -> None:
        """Make a pod; it is no error if one of that name is there."""
        try:
            await self._call("POST", _path(namespace), pod)
        except Refused as error:
            if error.reason != "AlreadyExists":
                raise

    async def get(self, namespace: str, name: str) -> Pod | None:
        """How a pod is now; None if there is none."""
        try:
            return _decoded(await self._call("GET", _path(namespace, name)), Pod)
        except Refused as error:
            if error.code != 404:
                raise
            return None

    async def delete(self, namespace: str, name: str) -> None:
        """Have a pod deleted, if there is one. Its processes get the time that its definition gives them."""
        try:
            await self._call("DELETE", _path(namespace, name))
        except Refused as error:
            if error.code != 404:
                raise

    async def watch(self, namespace: str, name: str, version: str) -> AsyncGenerator[Pod | None, None]:
        """How a pod is, whenever that has changed after the version; None once it is gone. May end at any time."""
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_TIME),
        }
        async with self._asked("GET", _path(namespace), query) as response:
            rest = b""
            async for data in response.content.iter_any():
                *lines, rest = (rest + data).split(b"\n")
                _check_size(len(rest))
                for line in lines:
                    event = _decoded(line, _Event)
                    if event.type == "ERROR":
                        # The version is too old, say: whoever watches begins anew.
                        return
                    if event.type != "BOOKMARK":
                        yield None if event.type == "DELETED" else _decoded(event.object, Pod)

    async def log(self, namespace: str, name: str, since: str, *, follow: bool) -> AsyncGenerator[bytes, None]:
        """The worker's log with times, from that time on (RFC 3339; empty for all); to its end, or what there is."""
        query = {"container": WORKER, "timestamps": "true", "follow": str(follow).lower()}
        if since:
            query["sinceTime"] = since
        async with self._asked("GET", f"{_path(namespace, name)}/log", query) as response:
            async for data in response.content.iter_any():
                yield data

    async def send_stdin(
        self, namespace: str, name: str, payload: AsyncIterator[bytes], on_attached: Callable[[], Awaitable[None]]
    ) -> None:
        """Send all of the payload to the worker's stdin, close that, and wait until the worker has it.

        ``on_attached`` is called before the first byte. Raises Broken if it fails after that.
        """
        url = f"{self.server}{_path(namespace, name)}/attach"
        query = {"container": WORKER, "stdin": "true", "stdout": "false", "stderr": "false", "tty": "false"}
        with _unreachable():
            headers = await self._authorized()
            async with asyncio.timeout(ANSWER_TIME):
                connection = await self._session.ws_connect(
                    url, params=query, protocols=(_V5, _V4), headers=headers, server_hostname=self._server_name
                )
        try:
            await on_attached()
            await _send_all(connection, payload)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Broken(f"stdin could not be sent to the pod: {error}") from None
        finally:
            await connection.close()

    async def _call(self, method: str, path: str, data: bytes | None = None) -> bytes:
        with _unreachable():
            async with asyncio.timeout(ANSWER_TIME), self._asked(method, path, data=data) as response:
                return await _body(response)

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, query: Mapping[str, str] | None = None, data: bytes | None = None
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        with _unreachable():
            headers = {**await self._authorized(), "Content-Type": "application/json"}
            async with self._session.request(
                method, self.server + path, params=query, data=data, headers=headers,
                server_hostname=self._server_name,
            ) as response:  # fmt: skip
                if response.status == 401:
                    self._headers_until = 0.0
                if response.status >= 300:
                    raise _refusal(response.status, await _body(response))
                yield response

    async def _authorized(self) -> dict[str, str]:
        """The headers that say who asks."""
        now = asyncio.get_running_loop().time()
        if now >= self._headers_until:
            authorization = await asyncio.to_thread(self._cluster.authorization)
            self._headers = {"Authorization": authorization} if authorization else {}
            self._headers_until = now + TOKEN_TIME
        return self._headers


async def _send_all(connection: aiohttp.ClientWebSocketResponse, payload: AsyncIterator[bytes]) -> None:
    """Returns when the other end has taken all."""
    sent = asyncio.Event()
    sender = asyncio.create_task(_send(connection, payload, sent), name="stdin of a pod")
    try:
        async for message in connection:
            if message.type is aiohttp.WSMsgType.BINARY and message.data[:1] == bytes([_ERROR]):
                outcome = _decoded(message.data[1:], _Answer)
                if outcome.status != "Success":
                    raise ConnectionResetError(outcome.message[:LONGEST_REASON])
                return
        if sender.done():
            sender.result()
        if not sent.is_set():
            raise ConnectionResetError("the connection ended before all was sent")
        if connection.protocol == _V5 and connection.close_code != aiohttp.WSCloseCode.OK:
            raise ConnectionResetError(f"the connection broke (WebSocket code {connection.close_code})")
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)


async def _send(
    connection: aiohttp.ClientWebSocketResponse, payload: AsyncIterator[bytes], sent: asyncio.Event
) -> None:
    is_v5 = connection.protocol == _V5
    try:
        async for data in payload:
            await connection.send_bytes(bytes([_STDIN]) + data)
        if is_v5:
            await connection.send_bytes(bytes([_CLOSE, _STDIN]))
        sent.set()
    finally:
        # Older servers know no other way to end stdin: with stdinOnce it ends with the worker's first connection.
        if not is_v5 or not sent.is_set():
            await connection.close()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for data in response.content.iter_any():
        body += data
        _check_size(len(body))
    return bytes(body)


def _check_size(size: int) -> None:
    if size > LARGEST_ANSWER:
        raise UnreachableError(f"the API server's answer has more than {LARGEST_ANSWER} bytes")


def _refusal(code: int, body: bytes) -> Refused | UnreachableError:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        answer = _Answer()
    message = f"{answer.message or HTTPStatus(code).phrase} (HTTP {code})"[:LONGEST_REASON]
    # A conflict is one with another change of the same moment, of a quota say.
    may_pass = code == 429 or code >= 500 or answer.reason == "Conflict"
    return UnreachableError(message) if may_pass else Refused(code, answer.reason, message)


def _decoded(raw: bytes | msgspec.Raw, kind: type[_Known]) -> _Known:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreachableError(f"the API server's answer can't be read: {error}") from None


def _path(namespace: str, name: str = "") -> str:
    if not _NAME.fullmatch(namespace):
        # It may be a submitter's, and must not lead elsewhere.
        raise Refused(0, "Invalid", f"the namespace {namespace[:LONGEST_REASON]!r} is no name that a cluster takes")
    path = f"/api/v1/namespaces/{namespace}/pods"
    return f"{path}/{name}" if name else path


def _proxy_for(server: str) -> str | None:
    parts = urlsplit(server)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def _socket(address: AddrInfoType) -> socket.socket:
    """Connections that may be silent for hours; the kernel notices if the far end is gone."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in KEEPALIVE.items():
        if hasattr(socket, option):  # Not on every system.
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
    return made


@contextmanager
def _unreachable() -> Iterator[None]:
    """Turns what aiohttp raises into our errors; its words hold the URL, and nothing secret."""
    try:
        yield
    except aiohttp.WSServerHandshakeError as error:
        raise _refusal(error.status, b"") from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL) as error:
        raise Refused(0, "", str(error)) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UnreachableError(f"the API server can't be reached: {error or 'no answer in time'}") from None
