"""Handshakes over sockets, as links and clients of the control service have them, on every event loop."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from certificates_bench import CLIENT, DAY, LOCAL_DNS, LOCAL_IPS, SERVER, Authority, Issued, self_signed
from event_loops import EventLoop

from receptor.accepting import Acceptor, tcp_sockets
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.tls.profiles import TlsProfiles

CA = Authority("mesh CA")
FOO = CA.issue(node_ids=["foo"], dns=LOCAL_DNS, ips=LOCAL_IPS)
BAR = CA.issue(node_ids=["bar"])
OLD = CA.issue(node_ids=["foo"], dns=LOCAL_DNS, not_after=datetime.now(UTC) - DAY / 2)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@dataclass
class Side:
    """What one side has: whom it trusts, what it shows."""

    shows: Issued | None = None
    trusts: bytes = b""
    pins: frozenset[bytes] = frozenset()
    requires: bool = False
    skips: bool = False
    only_tls_13: bool = False


class Contexts:
    """Makes them of files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def server(self, side: Side) -> ssl.SSLContext:
        files = (side.shows or FOO).write(self._folder, "server")
        action = TlsServer(
            name="mesh",
            certificate=files.certificate,
            key=files.key,
            require_client_certificate=side.requires,
            client_cas=self._trusted("clients", side.trusts),
            pinned_client_certificates=side.pins,
            skip_names_check=True,
            only_tls_13=side.only_tls_13,
        )
        return TlsProfiles([action]).server("mesh").context()

    def client(self, side: Side) -> ssl.SSLContext:
        files = side.shows.write(self._folder, "client") if side.shows else None
        action = TlsClient(
            name="mesh",
            certificate=files.certificate if files else None,
            key=files.key if files else None,
            root_cas=self._trusted("servers", side.trusts),
            skip_verification=side.skips,
            pinned_server_certificates=side.pins,
            skip_names_check=True,
            only_tls_13=side.only_tls_13,
        )
        return TlsProfiles((), [action]).client("mesh").context()

    def _trusted(self, stem: str, authorities: bytes) -> Path | None:
        path = self._folder / f"{stem}.pem"
        path.write_bytes(authorities)
        return path if authorities else None


@pytest.fixture
def contexts(tmp_path: Path) -> Contexts:
    return Contexts(tmp_path)


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    assert isinstance(request.param, ssl.TLSVersion)
    return request.param


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses.

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


FAILED = "the test: the connection from 127.0.0.1 failed:"


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[int]:
    sockets = await tcp_sockets("127.0.0.1", 0)
    acceptor = Acceptor("the test", sockets, Echo, lambda: context)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        await acceptor.stop()


async def echo(port: int, context: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Say something and hear it again; what either side refuses is an OSError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        writer.write(b"hello")
        await writer.drain()
        heard = await reader.read(5)
        if heard != b"hello":
            raise ConnectionResetError("closed by the server")
        found: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return found
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass


async def meet(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> ssl.SSLObject:
    async with listening(server) as port:
        return await echo(port, client, name)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_server_is_trusted_by_its_name(
    run: EventLoop, contexts: Contexts, version: ssl.TLSVersion, name: str
) -> None:
    client = contexts.client(Side(trusts=CA.pem))
    client.maximum_version = version
    tls = run(meet(contexts.server(Side()), client, name))
    assert tls.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]


@pytest.mark.parametrize(
    ("server", "name"),
    [
        (FOO, "other.example"),
        (FOO, "127.0.0.2"),
        (CA.issue(node_ids=["localhost"], name="localhost"), "localhost"),
        (OLD, "localhost"),
        (CA.issue(dns=LOCAL_DNS, usages=[CLIENT]), "localhost"),
        (Authority("mesh CA").issue(dns=LOCAL_DNS), "localhost"),
        (self_signed(dns=LOCAL_DNS), "localhost"),
    ],
    ids=["name", "address", "no DNS name", "expired", "for clients", "another CA", "self-signed"],
)
def test_a_server_that_is_not_trusted(run: EventLoop, contexts: Contexts, server: Issued, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        run(meet(contexts.server(Side(server)), contexts.client(Side(trusts=CA.pem)), name))
    run(meet(contexts.server(Side(server)), contexts.client(Side(skips=True)), name))


def test_authorities_between_and_several_in_a_file(run: EventLoop, contexts: Contexts) -> None:
    between = Authority("between", issuer=CA)
    server = contexts.server(Side(between.issue(dns=LOCAL_DNS)))
    run(meet(server, contexts.client(Side(trusts=CA.pem))))
    run(meet(server, contexts.client(Side(trusts=Authority("other").pem + CA.pem))))
    run(meet(server, contexts.client(Side(trusts=between.pem))))
    itself = self_signed(dns=LOCAL_DNS)
    run(meet(contexts.server(Side(itself)), contexts.client(Side(trusts=itself.pem))))


@pytest.mark.parametrize("requires", [True, False], ids=["required", "only CAs"])
def test_a_client_that_is_trusted(run: EventLoop, contexts: Contexts, version: ssl.TLSVersion, requires: bool) -> None:
    client = contexts.client(Side(BAR, CA.pem))
    client.maximum_version = version
    run(meet(contexts.server(Side(trusts=CA.pem, requires=requires)), client))


@pytest.mark.parametrize("requires", [True, False], ids=["required", "only CAs"])
@pytest.mark.parametrize(
    ("shows", "told"),
    [
        (None, "peer did not return a certificate"),
        (Authority("mesh CA").issue(), "certificate verify failed"),
        (CA.issue(usages=[SERVER]), "certificate verify failed"),
        (CA.issue(not_after=datetime.now(UTC) - DAY / 2), "certificate verify failed"),
    ],
    ids=["none", "another CA", "for servers", "expired"],
)
def test_a_client_that_is_not_trusted(
    run: EventLoop,
    contexts: Contexts,
    version: ssl.TLSVersion,
    requires: bool,
    shows: Issued | None,
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = contexts.client(Side(shows, CA.pem))
    client.maximum_version = version
    with caplog.at_level(logging.INFO, "receptor"), pytest.raises(OSError):
        run(meet(contexts.server(Side(trusts=CA.pem, requires=requires)), client))
    (line,) = [one for one in caplog.messages if one.startswith(FAILED)]
    assert told in line


def test_clients_are_not_asked_unless_somebody_wants_to_know(run: EventLoop, contexts: Contexts) -> None:
    run(meet(contexts.server(Side()), contexts.client(Side(Authority("other").issue(), CA.pem))))


# Pins


@pytest.mark.parametrize("skips", [True, False], ids=["only the pin", "with verification"])
@pytest.mark.parametrize("pin", [FOO.sha256, FOO.sha512], ids=["SHA-256", "SHA-512"])
def test_the_pinned_server(
    run: EventLoop, contexts: Contexts, version: ssl.TLSVersion, skips: bool, pin: bytes
) -> None:
    client = contexts.client(Side(trusts=CA.pem, pins=frozenset([pin]), skips=skips))
    client.maximum_version = version
    run(meet(contexts.server(Side()), client))


@pytest.mark.parametrize("skips", [True, False], ids=["only the pin", "with verification"])
def test_a_server_without_a_pin(
    run: EventLoop, contexts: Contexts, version: ssl.TLSVersion, skips: bool, caplog: pytest.LogCaptureFixture
) -> None:
    client = contexts.client(Side(trusts=CA.pem, pins=frozenset([BAR.sha256]), skips=skips))
    client.maximum_version = version
    with (
        caplog.at_level(logging.INFO, "receptor"),
        pytest.raises(ssl.SSLCertVerificationError, match=f"none of the pinned .* sha256 {FOO.sha256.hex(':')}"),
    ):
        run(meet(contexts.server(Side()), client))


def test_a_pin_does_not_replace_verification(run: EventLoop, contexts: Contexts) -> None:
    other = self_signed(dns=LOCAL_DNS)
    client = contexts.client(Side(trusts=CA.pem, pins=frozenset([other.sha256])))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        run(meet(contexts.server(Side(other)), client))


@pytest.mark.parametrize("pin", [BAR.sha256, BAR.sha512], ids=["SHA-256", "SHA-512"])
def test_the_pinned_client(run: EventLoop, contexts: Contexts, version: ssl.TLSVersion, pin: bytes) -> None:
    server = contexts.server(Side(trusts=CA.pem, pins=frozenset([pin])))
    server.maximum_version = version
    run(meet(server, contexts.client(Side(BAR, CA.pem))))


def test_a_client_without_a_pin(
    run: EventLoop, contexts: Contexts, version: ssl.TLSVersion, caplog: pytest.LogCaptureFixture
) -> None:
    server = contexts.server(Side(trusts=CA.pem, pins=frozenset([FOO.sha256])))
    server.maximum_version = version
    with caplog.at_level(logging.INFO, "receptor"), pytest.raises(OSError):
        run(meet(server, contexts.client(Side(BAR, CA.pem))))
    assert caplog.messages == [
        f"{FAILED} its certificate has none of the pinned fingerprints; it has sha256 {BAR.sha256.hex(':')}"
    ]


def test_who_comes_again_is_checked_again(run: EventLoop, contexts: Contexts) -> None:
    server, client = contexts.server(Side()), contexts.client(Side(trusts=CA.pem))

    async def twice() -> ssl.SSLObject:
        async with listening(server) as port:
            await echo(port, client, "localhost")
            return await echo(port, client, "localhost")

    assert not run(twice()).session_reused


# Versions


@pytest.mark.parametrize("which", ["server", "client"])
def test_tls_12_can_be_refused(run: EventLoop, contexts: Contexts, which: str) -> None:
    server = contexts.server(Side(only_tls_13=which == "server"))
    client = contexts.client(Side(trusts=CA.pem, only_tls_13=which == "client"))
    run(meet(server, client))
    {"server": client, "client": server}[which].maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):
        run(meet(server, client))


@pytest.mark.parametrize("make", [Contexts.server, Contexts.client])
def test_nothing_older_is_offered(contexts: Contexts, make: Callable[[Contexts, Side], ssl.SSLContext]) -> None:
    context = make(contexts, Side(trusts=CA.pem))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert all(one["aead"] and ("ECDHE" in one["name"] or "TLS_" in one["name"]) for one in context.get_ciphers())


# Other programs


@pytest.mark.skipif(not shutil.which("openssl"), reason="talks with openssl")
@pytest.mark.parametrize(("shows", "passes"), [(BAR, True), (None, False)], ids=["certificate", "none"])
def test_openssl_as_the_client(
    run: EventLoop, contexts: Contexts, tmp_path: Path, shows: Issued | None, passes: bool
) -> None:
    server = contexts.server(Side(trusts=CA.pem))
    options = ["-CAfile", str(CA.write(tmp_path)), "-verify_return_error", "-verify_hostname", "localhost", "-quiet"]
    if shows:
        files = shows.write(tmp_path, "openssl")
        options += ["-cert", str(files.certificate), "-key", str(files.key)]

    async def talk() -> bytes:
        async with listening(server) as port:
            openssl = await asyncio.create_subprocess_exec(
                *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert openssl.stdin
            assert openssl.stdout
            openssl.stdin.write(b"hello")
            heard = await openssl.stdout.read(5)
            openssl.stdin.close()
            if openssl.returncode is None:
                openssl.kill()
            await openssl.communicate()
            return heard

    assert run(talk()) == (b"hello" if passes else b"")
