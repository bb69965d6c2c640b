from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import test_upstream_client
from fake_control import FakeNode, Peer, answering
from receptor_process import ENVIRONMENT, Action, NodeProcess, free_port
from receptor_process import node as running_node

from receptor.client import ReceptorControl

PYTHON_SCRIPT = test_upstream_client.SCRIPT.replace(
    "from receptorctl.socket_interface import ReceptorControl", "from receptor.client import ReceptorControl"
)


@pytest.fixture(scope="module")
def secured_port() -> int:
    """Where foo's control service listens with TLS."""
    return free_port()


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, certificates: Path, secured_port: int) -> Iterator[NodeProcess]:
    """foo, with bar as its neighbour; bar has the work types that the script of the upstream client needs."""
    port = free_port()
    folder = tmp_path_factory.mktemp("m")
    server = str(certificates / "server.pem")
    foo_has: list[Action] = [
        {"tcp-listener": {"port": port, "bindaddr": "127.0.0.1"}},
        {"tls-server": {"name": "secured", "cert": server, "key": server, "skipreceptornamescheck": True}},
        {"control-service": {"service": "secured", "tcplisten": f"127.0.0.1:{secured_port}", "tcptls": "secured"}},
        {"work-command": {"worktype": "cat", "command": "cat"}},
        {"work-command": {"worktype": "nap", "command": "bash", "params": "-c 'echo on; exec sleep 600'"}},
    ]
    bar_has: list[Action] = [
        {"tcp-peer": {"address": f"127.0.0.1:{port}"}},
        {"work-command": {"worktype": "upper", "command": "tr", "params": "a-z A-Z"}},
        {"work-command": {"worktype": "args", "command": "echo", "allowruntimeparams": True}},
        {"work-command": {"worktype": "nap", "command": "bash", "params": "-c 'echo on; exec sleep 600'"}},
    ]
    with running_node(folder, "foo", *foo_has) as foo, running_node(folder, "bar", *bar_has):
        foo.wait_for_route_to("bar")
        yield foo


@pytest.fixture
def control(mesh: NodeProcess) -> Iterator[ReceptorControl]:
    made = ReceptorControl(str(mesh.socket))
    yield made
    made.close()


def test_the_script_for_the_upstream_class_with_another_import(mesh: NodeProcess) -> None:
    assert PYTHON_SCRIPT != test_upstream_client.SCRIPT
    done = subprocess.run(
        [sys.executable, "-c", PYTHON_SCRIPT, mesh.socket],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    test_upstream_client.check_what_the_script_says(done.stdout)


def test_a_job_as_awx_runs_it(control: ReceptorControl) -> None:
    """A payload that is made while it is sent, output read in one thread, the unit cancelled from another."""
    ours, theirs = socket.socketpair()
    with ThreadPoolExecutor() as pool:

        def transmit() -> None:
            with ours.makefile("wb") as file:
                file.write(b"{}\n")
            ours.shutdown(socket.SHUT_WR)

        transmitted = pool.submit(transmit)
        with theirs.makefile("rb") as payload:
            submitted = control.submit_work("nap", payload, params={}, signwork=False)
        ours.close()
        theirs.close()
        transmitted.result()
        unit_id = str(submitted["unitid"])
        results_socket, results = control.get_work_results(unit_id, return_socket=True, return_sockfile=True)
        assert results.readline() == b"on\n"
        processed = pool.submit(results.read)
        assert control.simple_command(f"work cancel {unit_id}") == {"cancelled": unit_id}
        results_socket.shutdown(socket.SHUT_RDWR)
        assert processed.result(10) == b""
        results.close()
        results_socket.close()
    assert control.simple_command(f"work status {unit_id}")["StateName"] == "Canceled"
    with control.get_work_results(unit_id, return_sockfile=True) as again:
        assert again.readlines() == [b"on\n"]
    assert control.simple_command(f"work release {unit_id}") == {"released": unit_id}


def test_over_tls(mesh: NodeProcess, certificates: Path, secured_port: int) -> None:
    control = ReceptorControl(f"tls://localhost:{secured_port}", rootcas=str(certificates / "ca.pem"))
    payload = os.urandom(300_000)
    unit_id = str(control.submit_work("cat", io.BytesIO(payload))["unitid"])
    with control.get_work_results(unit_id) as results:
        assert results.read(10) == payload[:10]
        assert results.read() == payload[10:]
    sock = control.get_work_results(unit_id, 299_999, return_socket=True, return_sockfile=False)
    assert sock.recv(10) == payload[-1:]
    sock.close()
    assert control.simple_command("status")["NodeID"] == "foo"
    control.close()


def test_the_settings_of_tls_from_a_configuration(certificates: Path, tmp_path: Path) -> None:
    config = tmp_path / "receptor.conf"
    config.write_text("- node: {id: foo}\n- tls-client: {name: mine, rootcas: ca.pem, insecureskipverify: true}\n")
    control = ReceptorControl("tls://localhost:1", config=str(config), tlsclient="mine")
    assert (control._rootcas, control._key, control._insecureskipverify) == ("ca.pem", None, True)
    other = ReceptorControl("tls://localhost:1", config=str(config), tlsclient="nosuch")
    assert other._rootcas is None
    with pytest.raises(RuntimeError, match="config needs tlsclient"):
        ReceptorControl("foo.sock", config=str(config))
    with pytest.raises(RuntimeError, match="can't be combined"):
        ReceptorControl("foo.sock", config=str(config), tlsclient="mine", rootcas="ca.pem")
    with pytest.raises(FileNotFoundError):
        ReceptorControl("foo.sock", config=str(tmp_path / "nosuch"), tlsclient="mine")


def test_a_service_of_the_mesh(control: ReceptorControl) -> None:
    control.connect_to_service("bar", "control", None)
    control.handshake()
    assert control._remote_node == "bar"
    assert control._sockfile is not None
    control.writestr("status\n")
    assert control.read_and_parse_json()["NodeID"] == "bar"
    control.close()
    with pytest.raises(RuntimeError, match="ERROR"):
        control.connect_to_service("bar", "nosuch", "")


def test_what_may_be_a_payload(control: ReceptorControl) -> None:
    for payload, expected in ((b"bytes", b"bytes"), ("text", b"text"), (io.BytesIO(b"file"), b"file"), ("", b"")):
        unit_id = str(control.submit_work("cat", payload)["unitid"])
        with control.get_work_results(unit_id) as results:
            assert results.read() == expected
    with pytest.raises(RuntimeError, match="Unknown payload type"):
        control.submit_work("cat", json.loads("5"))


def test_every_choice_of_a_submission(node: FakeNode, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")

    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Work unit created with ID a1. Send stdin data and EOF.")
        peer.rest()
        peer.say('{"unitid": "a1", "result": "Job Started"}')

    node.plays(session)
    params = {"params": "-r", "secret_word": f"@{tmp_path / 'secret'}", "at": "@@home", "none": ""}
    ReceptorControl(node.path).submit_work("sort", "", "bar", "mytls", "20s", True, params)
    assert node.commands == [
        {
            "command": "work",
            "subcommand": "submit",
            "node": "bar",
            "worktype": "sort",
            "tlsclient": "mytls",
            "ttl": "20s",
            "signwork": "true",
            "params": "-r",
            "secret_word": "hush",
            "at": "@@home",
            "none": "",
        }
    ]
    with pytest.raises(RuntimeError, match=r"Duplicate or illegal parameter.*'node'"):
        ReceptorControl(node.path).submit_work("sort", "", params={"node": "bar"})
    with pytest.raises(FileNotFoundError):
        ReceptorControl(node.path).submit_work("sort", "", params={"a": "@/nosuch"})


def test_refusals_leave_the_connection_usable(control: ReceptorControl) -> None:
    with pytest.raises(RuntimeError, match=r"^Failed to start work unit: unknown work type nosuch"):
        control.submit_work("nosuch", "")
    with pytest.raises(RuntimeError, match=r"^Failed to get results: unknown work unit nosuch12"):
        control.get_work_results("nosuch12")
    with pytest.raises(RuntimeError, match=r"^unknown work unit nosuch12$"):
        control.simple_command("work status nosuch12")
    assert control.simple_command("status")["NodeID"] == "foo"


def test_what_becomes_of_a_unit_that_can_not_be_started(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Work unit created with ID a1. Send stdin data and EOF.")
        peer.rest()
        peer.say("ERROR: no such program")

    node.plays(session)
    with pytest.raises(RuntimeError, match=r"^Remote error: ERROR: no such program"):
        ReceptorControl(node.path).submit_work("sort", "")


def test_no_node_at_that_address(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no socket"):
        ReceptorControl(str(tmp_path / "nosuch.sock")).simple_command("status")
    with pytest.raises(ValueError, match="nobody listens"):
        ReceptorControl(f"tcp://127.0.0.1:{free_port()}").connect()
    with pytest.raises(ValueError, match="is no address"):
        ReceptorControl("http://localhost").connect()
    with socket.socket(socket.AF_UNIX) as unused:
        unused.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(ConnectionRefusedError, match="nobody listens"):
        ReceptorControl(str(tmp_path / "dead.sock")).connect()


def test_something_else_at_that_address(node: FakeNode) -> None:
    node.plays(lambda peer: peer.say("220 mail.example.org"))
    with pytest.raises(RuntimeError, match=r"Failed to connect to Receptor socket: .*'220 mail"):
        ReceptorControl(node.path).connect()


def test_it_connects_again_after_close(node: FakeNode) -> None:
    node.plays(answering({"NodeID": "fake"}), answering({"NodeID": "fake"}))
    control = ReceptorControl(node.path)
    for _ in range(2):
        assert control.simple_command('{"command": "status"}') == {"NodeID": "fake"}
        control.close()
        control.close()
    with pytest.raises(ValueError, match="there is no connection"):
        control.readstr()


def test_a_node_that_hangs_up(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()

    node.plays(session)
    control = ReceptorControl(node.path)
    with pytest.raises(ValueError, match="closed the connection instead of answering"):
        control.simple_command('{"command": "status"}')
    control.close()
