"""Four nodes in a chain of different backends, TLS on each link that can have it and mutual TLS on the streams.

a — TCP with TLS — b — WebSocket with TLS, or UDP — c — TCP with TLS and client certificates — d: signed work goes
from a to d.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from commands import pids_with
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from receptor_process import ENVIRONMENT, PATIENCE, Action, NodeProcess, free_port, run_receptor
from receptorctl_runs import PROGRAM

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

PAYLOAD = b"".join(b"%d lines of a payload\n" % number for number in range(4500))
HALF = len(PAYLOAD) // 2


class SecuredNode(NodeProcess):
    """A node with a certificate, whose control service on the mesh demands one."""

    def configure(self, *actions: Action, **of_the_node: object) -> None:
        own = {"cert": f"tls/{self.node_id}.crt", "key": f"tls/{self.node_id}.key"}
        everything = [
            {"node": {"id": self.node_id, "datadir": str(self.folder / "data"), **of_the_node}},
            {"log-level": {"level": "debug"}},
            {"tls-server": {"name": "any", **own}},
            {"tls-server": {"name": "mutual", **own, "requireclientcert": True, "clientcas": "tls/ca.crt"}},
            {"tls-client": {"name": "bare", "rootcas": "tls/ca.crt"}},
            {"tls-client": {"name": "mesh", **own, "rootcas": "tls/ca.crt"}},
            {"control-service": {"filename": self.socket.name, "tls": "mutual"}},
            *actions,
        ]
        self.write(yaml.safe_dump(everything))

    def popen_ctl(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*PROGRAM, "--socket", self.socket, *words],
            env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ctl(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run receptorctl with this node to its end."""
        with self.popen_ctl(*words) as process:
            output, errors = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)


@dataclass(frozen=True)
class Mesh:
    """The chain. d's work gives the first half of its payload back, and the rest once the file ``go`` is there.

    It begins a little late, so that it is known to run before there is any output.
    """

    a: SecuredNode
    c: SecuredNode
    d: SecuredNode
    payload: Path
    go: Path

    def submit(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return self.a.ctl("work", "submit", "cat", "--node", "d", "--payload", str(self.payload), *words)

    def wait_for_routes(self) -> None:
        self.a.wait_for_route_to("b", "c", "d")
        self.d.wait_for_route_to("a", "b", "c")


def middle_link(kind: str) -> tuple[Action, Action]:
    """What b and c have to be linked with each other."""
    port = free_port()
    if kind == "udp":
        return {"udp-listener": {"port": port, "bindaddr": "127.0.0.1"}}, {"udp-peer": {"address": f"127.0.0.1:{port}"}}
    listener: Action = {"ws-listener": {"port": port, "bindaddr": "127.0.0.1", "path": "/mesh", "tls": "any"}}
    return listener, {"ws-peer": {"address": f"wss://localhost:{port}/mesh", "tls": "bare"}}


def tcp_link(server: str, client: str) -> tuple[Action, Action]:
    port = free_port()
    listener: Action = {"tcp-listener": {"port": port, "bindaddr": "127.0.0.1", "tls": server}}
    return listener, {"tcp-peer": {"address": f"localhost:{port}", "tls": client}}


def make_keys(folder: Path) -> None:
    for node in "abcd":
        assert run_receptor("certs", "node", node, "--ca", folder / "tls", "--dns", "localhost").returncode == 0
    key = rsa.generate_private_key(65537, 2048)
    (folder / "signing.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "verifying.pem").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


@contextmanager
def chain(folder: Path, middle: str) -> Iterator[Mesh]:
    """The four nodes, when they know each other."""
    make_keys(folder)
    a_b, b_c, c_d = tcp_link("any", "bare"), middle_link(middle), tcp_link("mutual", "mesh")
    go = folder / "go"
    cat = f'-c "sleep 0.2; head -c {HALF}; until [ -e {go} ]; do sleep 0.02; done; cat"'
    work: Action = {"work-command": {"worktype": "cat", "command": "bash", "params": cat, "verifysignature": True}}
    verification: Action = {"work-verification": {"publickey": "verifying.pem", "acceptunbound": False}}
    signing: Action = {"work-signing": {"privatekey": "signing.pem"}}
    # c dials both its neighbours, so that it links with them at once after a restart.
    actions = {
        "d": [c_d[0], verification, work],
        "a": [a_b[0], signing],
        "b": [a_b[1], b_c[0]],
        "c": [b_c[1], c_d[1]],
    }
    with ExitStack() as stack:
        stack.callback(kill_what_is_left_of, folder)
        nodes = {}
        for at_once in ("ad", "b", "c"):
            for node_id in at_once:
                nodes[node_id] = SecuredNode(folder, node_id, actions[node_id])
                stack.callback(end, nodes[node_id])
            for node_id in at_once:
                nodes[node_id].wait_until_ready()
        payload = folder / "payload"
        payload.write_bytes(PAYLOAD)
        mesh = Mesh(nodes["a"], nodes["c"], nodes["d"], payload, go)
        mesh.wait_for_routes()
        yield mesh


def end(node: SecuredNode) -> None:
    if node.process.poll() is None:
        node.end()


def kill_what_is_left_of(folder: Path) -> None:
    for pid in pids_with(str(folder)):
        os.kill(pid, signal.SIGKILL)


def unit_id_of(submitted: subprocess.CompletedProcess[bytes]) -> str:
    found = re.search(rb"Unit ID: (\w+)", submitted.stdout)
    assert found, submitted
    return found[1].decode()


def assert_signed_work_is_done(mesh: Mesh) -> None:
    mesh.go.touch()
    done = mesh.submit("--tls-client=mesh", "--signwork", "--follow")
    assert done.returncode == 0, done.stderr
    assert done.stdout == PAYLOAD


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with tempfile.TemporaryDirectory(prefix="r-") as folder, chain(Path(folder), "wss") as running:
        yield running


def test_signed_work_crosses_a_mesh_that_is_secured_throughout(mesh: Mesh) -> None:
    hops = mesh.a.ctl("traceroute", "d").stdout.decode().splitlines()
    assert [hop.split(" in ")[0] for hop in hops] == ["0: a", "1: b", "2: c", "3: d"]
    assert_signed_work_is_done(mesh)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--tls-client=mesh"], b"this work needs a signature"),
        (["--signwork"], b"insecure connection to secure service"),
        (["--signwork", "--tls-client=bare"], b"it wants a certificate"),
    ],
)
def test_work_that_lacks_something_is_refused_with_the_reason(mesh: Mesh, words: list[str], reason: bytes) -> None:
    refused = mesh.submit(*words)
    assert refused.returncode == 101
    assert reason in refused.stderr


def test_results_arrive_whole_though_a_node_on_the_way_is_killed(mesh: Mesh) -> None:
    mesh.go.unlink(missing_ok=True)
    submitted_at = time.monotonic()
    unit_id = unit_id_of(mesh.submit("--tls-client=mesh", "--signwork"))
    with mesh.a.popen_ctl("work", "results", unit_id) as follower:
        assert follower.stdout
        first = follower.stdout.read(HALF)
        mesh.c.end(signal.SIGKILL)
        mesh.go.touch()
        mesh.c.start_again()
        rest = follower.stdout.read()
    assert follower.returncode == 0
    assert first + rest == PAYLOAD
    assert time.monotonic() - submitted_at < 3 * PATIENCE, "it is not only told some minutes later"
    mesh.wait_for_routes()


def test_streams_are_secure_over_udp_too(short_folder: Path) -> None:
    with chain(short_folder, "udp") as mesh:
        assert_signed_work_is_done(mesh)
