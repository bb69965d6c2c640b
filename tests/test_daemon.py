from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from commands import eventually
from receptor_process import Action, NodeProcess, free_port, node, started_node

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

LOCAL_ONLY: Action = {"local-only": {}}
CAT: Action = {"work-command": {"worktype": "cat", "command": "cat"}}
NAP: Action = {"work-command": {"worktype": "nap", "command": "bash", "params": "-c 'echo on; exec sleep 600'"}}
WAIT: Action = {"work-command": {"worktype": "wait", "command": "bash", "params": "-c 'echo on; read <go; cat'"}}


def listener(port: int) -> Action:
    return {"tcp-listener": {"port": port, "bindaddr": "127.0.0.1"}}


def peer(port: int) -> Action:
    return {"tcp-peer": {"address": f"127.0.0.1:{port}"}}


def assert_quiet(running: NodeProcess) -> None:
    """Nothing in the log is an accident."""
    log = running.log.read_text()
    assert "Traceback" not in log
    assert " ERROR " not in log
    assert "never retrieved" not in log


def test_whoever_is_greeted_finds_everything_there(short_folder: Path) -> None:
    port = free_port()
    with node(short_folder, "foo", listener(port), CAT) as foo:
        with socket.create_connection(("127.0.0.1", port)):
            pass
        advertisements = foo.ask("status")["Advertisements"]
        assert isinstance(advertisements, list)
        (control,) = advertisements
        assert (control["NodeID"], control["Service"]) == ("foo", "control")
        assert control["Tags"] == {"type": "Control Service", "multiplex": "true"}
        assert control["WorkCommands"] == [{"WorkType": "cat", "Secure": False}]
        assert foo.results(foo.submit("cat", b"hello")) == b"hello"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_node_in_order_whatever_its_clients_do(short_folder: Path, number: signal.Signals) -> None:
    with node(short_folder, "foo", LOCAL_ONLY, NAP) as foo, ExitStack() as clients:
        unit_id = foo.submit("nap")
        idle, follower, submitter, bridged = (clients.enter_context(foo.client()) for _ in range(4))
        follower.send(f"work results {unit_id}")
        assert follower.line().startswith("Streaming results")
        assert follower.line() == "on"
        submitter.send("work submit localhost nap")
        assert submitter.line().startswith("Work unit created")
        bridged.send("connect localhost control")
        assert bridged.line() == "Connecting"
        assert bridged.line() == "Receptor Control, node foo"
        assert foo.end(number) == 0
        for client in (idle, follower, submitter, bridged):
            try:
                assert client.rest() == b""
            except ConnectionError:
                pass
        assert not foo.socket.exists()
        assert_quiet(foo)
        foo.start_again()
        assert foo.ask(f"work release {unit_id}") == {"released": unit_id}, "or its command would go on for minutes"


def ending(started: NodeProcess) -> str:
    """What a node that can't start said; it was an error and no accident."""
    assert started.process.wait(20) == 1
    log = started.log.read_text()
    assert "Traceback" not in log
    return "\n".join(line for line in log.splitlines() if line.startswith("receptor: "))


def test_a_port_in_use_is_named_and_nobody_is_greeted(short_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with started_node(short_folder, "foo", listener(port)) as foo:
            assert f"receptor: tcp-listener can't listen on 127.0.0.1:{port}" in ending(foo)
            assert not foo.socket.exists()


def test_what_was_started_before_the_failure_is_stopped(short_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        tcp: Action = {"control-service": {"service": "", "tcplisten": f"127.0.0.1:{port}"}}
        with started_node(short_folder, "foo", LOCAL_ONLY, tcp) as foo:
            assert f"the control service can't listen on 127.0.0.1:{port}" in ending(foo)
            assert f"control service on {foo.socket}" in foo.log.read_text()
            assert not foo.socket.exists()


def test_a_second_node_on_the_same_socket_ends_and_the_first_goes_on(short_folder: Path) -> None:
    with node(short_folder, "foo", LOCAL_ONLY) as foo:
        same: Action = {"control-service": {"service": "", "filename": str(foo.socket)}}
        with started_node(short_folder, "bar", LOCAL_ONLY, same) as bar:
            assert f"another node serves the control socket {foo.socket}" in ending(bar)
        assert foo.ask("status")["NodeID"] == "foo"


def test_a_data_folder_that_can_not_be_used_is_named(short_folder: Path) -> None:
    (short_folder / "data").write_text("a file")
    with started_node(short_folder, "foo", LOCAL_ONLY) as foo:
        assert f"{short_folder}/data/foo can't be used" in ending(foo)


def test_a_peer_that_is_not_there_is_waited_for(short_folder: Path) -> None:
    with node(short_folder, "foo", peer(free_port())) as foo:
        assert foo.ask("status")["Connections"] == []
        assert foo.end() == 0
        assert_quiet(foo)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_commands_go_on_without_the_node_and_are_found_again(short_folder: Path, number: signal.Signals) -> None:
    os.mkfifo(short_folder / "go")
    with node(short_folder, "foo", LOCAL_ONLY, WAIT) as foo:
        unit_id = foo.submit("wait", b"payload")
        foo.end(number)
        assert foo.socket.exists() == (number is signal.SIGKILL)
        foo.start_again()
        status = foo.ask(f"work status {unit_id}")
        assert status["StateName"] == "Running"
        (short_folder / "go").write_text("now\n")
        assert foo.results(unit_id) == b"on\npayload"
        status = foo.ask(f"work status {unit_id}")
        assert (status["StateName"], status["Detail"]) == ("Succeeded", "exit status 0")
        assert_quiet(foo)


@contextmanager
def pair(folder: Path, *works: Action) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """A node foo and a node bar that does the work."""
    port = free_port()
    with node(folder, "foo", listener(port)) as foo, node(folder, "bar", peer(port), *works) as bar:
        foo.wait_for_route_to("bar")
        yield foo, bar


def test_work_for_another_node(short_folder: Path) -> None:
    with pair(short_folder, CAT, NAP) as (foo, bar):
        payload = bytes(range(256)) * 4000
        unit_id = foo.submit("cat", payload, node="bar")
        assert foo.results(unit_id) == payload
        status = foo.ask(f"work status {unit_id}")
        assert (status["StateName"], status["StdoutSize"]) == ("Succeeded", len(payload))
        extra = status["ExtraData"]
        assert isinstance(extra, dict)
        assert extra["RemoteNode"] == "bar"
        assert extra["RemoteUnitID"] in bar.ask("work list")
        assert foo.ask(f"work release {unit_id}") == {"released": unit_id}
        assert bar.ask("work list") == {}
        nap = foo.submit("nap", node="bar")
        assert foo.ask(f"work cancel {nap}") == {"cancelled": nap}
        eventually(lambda: foo.ask(f"work status {nap}")["StateName"] == "Canceled")
        assert foo.ask(f"work release {nap}") == {"released": nap}
        for running in (foo, bar):
            assert running.end() == 0
            assert_quiet(running)


def test_connect_leads_to_the_control_service_of_another_node(short_folder: Path) -> None:
    with pair(short_folder) as (foo, _), foo.client() as client:
        client.send("connect bar control")
        assert client.line() == "Connecting"
        assert client.line() == "Receptor Control, node bar"
        assert client.ask("status")["NodeID"] == "bar"


def test_a_newcomer_with_an_id_in_use_ends_and_says_why(short_folder: Path) -> None:
    ports = [free_port() for _ in range(3)]
    (short_folder / "new").mkdir()
    with (
        node(short_folder, "foo", listener(ports[0])) as foo,
        node(short_folder, "bar", peer(ports[0]), listener(ports[1])),
        node(short_folder, "baz", peer(ports[1]), listener(ports[2])) as baz,
    ):
        baz.wait_for_route_to("foo")
        with started_node(short_folder / "new", "foo", peer(ports[2])) as newcomer:
            assert "another node, started earlier, has the id foo; give each node an id of its own" in ending(newcomer)
        assert foo.ask("ping bar")["Success"] is True


def test_secrets_are_in_no_log(short_folder: Path) -> None:
    env: Action = {"work-command": {"worktype": "env", "command": "env", "allowruntimeenv": True}}
    audit: Action = {"audit": {"file": str(short_folder / "audit.log")}}
    trace: Action = {"trace": {}}
    with node(short_folder, "foo", LOCAL_ONLY, CAT, env, audit, trace) as foo, foo.client() as client:
        submit = {"command": "work", "subcommand": "submit", "worktype": "cat", "secret_key": "hush-parameter"}
        client.send(submit | {"node": "elsewhere"})
        assert "secrets" in client.line()
        client.send(submit | {"node": "localhost", "signature": "hush-token"})
        assert "signature" in client.line()
        foo.submit("cat", b"hush-payload")
        secret = {"node": "localhost", "secret_env": '{"TOKEN": "hush-variable"}'}
        client.send(submit | secret)
        assert "not allowed: work type cat takes none" in client.line()
        client.send(submit | secret | {"secret_env": '{"TOKEN": ["hush-variable"]}', "worktype": "env"})
        assert "whose values are all texts" in client.line()
        client.send(submit | secret | {"worktype": "env"})
        assert client.line().startswith("Work unit created with ID ")
        client.end(b"")
        unit_id = str(client.answer()["unitid"])
        assert b"TOKEN=hush-variable" in foo.results(unit_id).splitlines()
        assert "hush" not in str(foo.ask("work list"))
        assert "target=elsewhere" in (short_folder / "audit.log").read_text()
        assert "hush" not in (short_folder / "audit.log").read_text()
        assert "hush" not in foo.log.read_text()
