"""Taking over the configuration and the data folder of a Go daemon, as AWX sets it up, and giving them back."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from certificates_bench import DAY, Authority, rsa_key
from commands import eventually
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from go_daemon import REMOTE, go_on, read, start_monitor, store
from receptor_process import COMMAND, ENVIRONMENT, Client, free_port

from receptor.cli.checking import verdict
from receptor.config.command_line import RunNode, parse_command_line

ROOT = Path(__file__).parents[1]
PATIENCE = 30.0
GONE = 2**22 + 1
"""No process has this number."""

CONTROLLER = """\
---
- node:
    id: foo
    datadir: {folder}/data

- work-signing:
    privatekey: {folder}/work_private_key.pem
    tokenexpiration: 1m

- work-verification:
    publickey: {folder}/work_public_key.pem

- log-level: info

- control-service:
    service: control
    filename: {folder}/foo.sock
    permissions: 0660
    tls: tls_server

- tls-server:
    name: tls_server
    cert: {folder}/foo.crt
    key: {folder}/foo.key
    clientCAs: {folder}/ca.crt
    requireClientCert: true
    minTLS13: False

- tls-client:
    name: tls_client
    rootcas: {folder}/ca.crt
    insecureskipverify: false
    cert: {folder}/foo.crt
    key: {folder}/foo.key
    mintls13: False

- tcp-listener:
    port: {port}
    bindaddr: 127.0.0.1
    tls: tls_server

- work-command:
    workType: local
    command: bash
    params: -c "echo again"
    allowruntimeparams: true

- work-kubernetes:
    worktype: kubernetes-runtime-auth
    authmethod: runtime
    allowruntimeauth: true
    allowruntimepod: true
    allowruntimeparams: true

- work-kubernetes:
    worktype: kubernetes-incluster-auth
    authmethod: incluster
    allowruntimeauth: true
    allowruntimepod: true
    allowruntimeparams: true
"""

WORKER = """\
---
- node:
    id: bar
    datadir: {folder}/data
- log-level:
    level: info
- work-verification:
    publickey: {folder}/work_public_key.pem
- control-service:
    service: control
    filename: {folder}/bar.sock
    permissions: 0660
    tls: tls_server
- tls-server:
    name: tls_server
    cert: {folder}/bar.crt
    key: {folder}/bar.key
    clientcas: {folder}/ca.crt
    requireclientcert: true
- tls-client:
    name: tls_client
    rootcas: {folder}/ca.crt
    cert: {folder}/bar.crt
    key: {folder}/bar.key
- tcp-peer:
    address: 127.0.0.1:{port}
    redial: true
    cost: 1.0
    tls: tls_client
- work-command:
    worktype: echo
    command: cat
    allowruntimeparams: true
    verifysignature: true
- work-command:
    worktype: long
    command: bash
    params: -c "echo again"
"""


class Mesh:
    """The folder of two nodes that the Go daemon ran so far: foo, the controller, and bar."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.foo, self.bar = folder / "data" / "foo", folder / "data" / "bar"
        ends = datetime.now(UTC) + 365 * DAY
        ca, key, port = Authority(not_after=ends), rsa_key(), free_port()
        ca.write(folder)
        for node in ("foo", "bar"):
            ca.issue(node_ids=[node], ips=["127.0.0.1"], not_after=ends).write(folder, node)
        (folder / "work_private_key.pem").write_bytes(ca.issue(key=key).key_pem)
        (folder / "work_private_key.pem").chmod(0o600)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "work_public_key.pem").write_bytes(public)
        for node, text in (("foo", CONTROLLER), ("bar", WORKER)):
            (folder / f"{node}.conf").write_text(text.format(folder=folder, port=port))

    def start(self, node: str) -> subprocess.Popen[bytes]:
        words = [*COMMAND, "--config", str(self.folder / f"{node}.conf")]
        with (self.folder / f"{node}.log").open("ab") as log:
            return subprocess.Popen(words, env=ENVIRONMENT, stderr=log)

    def client(self, node: str = "foo") -> Client:
        return Client(self.folder / f"{node}.sock")

    def is_up(self, node: str) -> bool:
        try:
            with self.client(node):
                return True
        except OSError:
            return False

    def unit(self, unit_id: str, node: str = "foo") -> tuple[object, object]:
        """State and detail of a unit."""
        with self.client(node) as client:
            status = client.ask(f"work status {unit_id}")
        return status["StateName"], status["Detail"]

    def results(self, unit_id: str) -> bytes:
        with self.client() as client:
            client.send(f"work results {unit_id}")
            client.line()
            return client.rest()

    def has_ended(self, unit_id: str, node: str = "foo") -> Callable[[], bool]:
        return lambda: self.unit(unit_id, node)[0] not in ("Pending", "Running")

    def leave_units(self) -> None:
        """What the Go daemon has left on both nodes."""
        on_bar = {"WorkType": "remote", "ExtraData": REMOTE}
        there = {**REMOTE, "RemoteStarted": True, "RemoteUnitID": "bar00001", "RemoteWorkType": "long"}
        ok = {"State": 2, "Detail": "exit status 0"}
        store(self.foo, "succeed1", {**ok, "WorkType": "local"}, b"in", b"out\n")
        store(self.foo, "failed01", {"State": 3, "Detail": "exit status 3", "WorkType": "local"}, b"", b"why\n")
        store(self.foo, "stopped1", {"State": 4, "Detail": "Canceled", "WorkType": "local"}, b"", b"")
        gone = {"State": 1, "Detail": f"Running: PID {GONE}", "ExtraData": {"Pid": GONE, "Params": ""}}
        store(self.foo, "vanished", {**gone, "WorkType": "local"}, b"in", b"half\n")
        store(self.foo, "goes_on1", {"State": 1, "Detail": "", "WorkType": "local"}, b"in", b"begun\n")
        store(self.foo, "rem_done", {**on_bar, **ok}, b"in", b"far\n")
        waits = {"State": 0, "Detail": "Starting Worker"}
        remote = {**REMOTE, "SignWork": True, "TLSClient": "tls_client"}
        store(self.foo, "rem_wait", {**on_bar, **waits, "ExtraData": remote}, b"to bar\n")
        follow = {"State": 1, "Detail": "Running: PID 7", "ExtraData": {**there, "TLSClient": "tls_client"}}
        store(self.foo, "rem_runs", {**on_bar, **follow}, b"in", b"beg")
        store(self.bar, "bar00001", {"State": 1, "Detail": "", "WorkType": "long"}, b"in", b"begun\n")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Both nodes are ours now; the commands of their units that ran have ended since."""
    made = Mesh(tmp_path_factory.mktemp("go"))
    made.leave_units()
    with ExitStack() as ends:
        monitors = [start_monitor(made.foo / "goes_on1"), start_monitor(made.bar / "bar00001")]
        for monitor in monitors:
            ends.callback(monitor.kill)
        nodes = []
        for node in ("foo", "bar"):
            process = made.start(node)
            ends.callback(process.wait)
            ends.callback(process.terminate)
            nodes.append(process)
            eventually(partial(made.is_up, node), PATIENCE)
        assert made.unit("goes_on1")[0] == "Running"
        for folder in (made.foo / "goes_on1", made.bar / "bar00001"):
            go_on(folder)
        for monitor in monitors:
            monitor.wait(PATIENCE)
        for unit_id in ("goes_on1", "rem_wait", "rem_runs"):
            eventually(made.has_ended(unit_id), PATIENCE)
        yield made


@pytest.mark.parametrize("node", ["foo", "bar"])
def test_the_configuration_is_good_as_it_is(node: str, mesh: Mesh) -> None:
    run = parse_command_line(["--config", str(mesh.folder / f"{node}.conf")])
    assert isinstance(run, RunNode)
    assert verdict(run).warnings == ()


@pytest.mark.parametrize(
    ("unit_id", "state", "detail", "output"),
    [
        ("succeed1", "Succeeded", "exit status 0", b"out\n"),
        ("failed01", "Failed", "exit status 3", b"why\n"),
        ("stopped1", "Canceled", "Canceled", b""),
        (
            "vanished",
            "Failed",
            "it ran under another daemon before, and nobody is left who saw how it ended",
            b"half\n",
        ),
        ("goes_on1", "Succeeded", "exit status 0", b"begun\nthe end\n"),
        ("rem_done", "Succeeded", "exit status 0", b"far\n"),
        ("rem_wait", "Succeeded", "exit status 0", b"to bar\n"),
        ("rem_runs", "Succeeded", "exit status 0", b"begun\nthe end\n"),
    ],
)
def test_units_are_taken_over_and_no_command_runs_twice(
    unit_id: str, state: str, detail: str, output: bytes, mesh: Mesh
) -> None:
    assert mesh.unit(unit_id) == (state, detail)
    assert mesh.results(unit_id) == output


def test_what_is_left_of_the_units_can_go_back(mesh: Mesh) -> None:
    """A Go daemon reads all of them, those that ours has made included."""
    with mesh.client() as client:
        client.send(json.dumps({"command": "work", "subcommand": "submit", "node": "localhost", "worktype": "local"}))
        client.line()
        client.end()
        made = str(client.answer()["unitid"])
    eventually(mesh.has_ended(made), PATIENCE)
    states = {folder.name: read(folder)["State"] for folder in mesh.foo.iterdir() if folder.is_dir()}
    assert states.pop(made) == 2
    assert states == {
        "succeed1": 2,
        "failed01": 3,
        "stopped1": 4,
        "vanished": 3,
        "goes_on1": 2,
        "rem_done": 2,
        "rem_wait": 2,
        "rem_runs": 2,
    }


def test_a_unit_that_runs_can_be_cancelled(mesh: Mesh) -> None:
    """Its monitor and all that it started end."""
    name = "cancel01"
    folder = store(mesh.bar.parent / "baz", name, {"State": 1, "Detail": "", "WorkType": "local"}, b"", b"")
    monitor = start_monitor(folder)
    reaper = threading.Thread(target=monitor.wait)  # As whoever is the parent of those whose daemon has ended.
    reaper.start()
    words = ["--node", "id=baz", f"datadir={mesh.folder}/data", "--local-only"]
    words += ["--control-service", f"filename={mesh.folder}/baz.sock"]
    node = subprocess.Popen([*COMMAND, *words], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: mesh.is_up("baz"), PATIENCE)
        with mesh.client("baz") as client:
            assert client.ask(f"work cancel {name}") == {"cancelled": name}
        assert monitor.wait(PATIENCE) != 0
        assert mesh.unit(name, "baz")[0] == "Canceled"
    finally:
        monitor.kill()
        reaper.join()
        node.terminate()
        node.wait(PATIENCE)


def test_the_page_shows_such_a_configuration() -> None:
    page = (ROOT / "docs" / "coming-from-go.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    actions = re.findall(r"^- ([\w-]+):", CONTROLLER, re.MULTILINE)
    assert set(re.findall(r"^- ([\w-]+):", shown, re.MULTILINE)) <= {*actions, "tcp-peer"}
