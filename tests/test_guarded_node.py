"""Whole nodes with access rules, an audit and limits: the examples of docs/configuration.md, and what they promise."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
import yaml
from receptor_process import PATIENCE, Action, Answering, free_port, node, started_node

from receptor.testing import MeshFactory

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

PAGE = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
LOCAL_ONLY: Action = {"local-only": {}}
CAT: Action = {"work-command": {"worktype": "cat", "command": "cat"}}


def worker_of_the_page() -> list[Action]:
    """The actions of the tightened example, without those that every node of a mesh has anyway."""
    (example,) = (text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "- node: worker" in text)
    given = {"node", "control-service", "tcp-listener"}
    return [one for one in yaml.safe_load(example) if not given & one.keys()]


def answer_of_worker(client_node: Answering, command: str) -> str:
    """What the worker answers to a command that comes from that node."""
    with client_node.client() as client:
        client.send("connect worker control")
        assert client.line() == "Connecting"
        assert client.line() == "Receptor Control, node worker"
        client.send(command)
        return client.line()


def refusal_of_work(client_node: Answering, work_type: str) -> str:
    """Why the worker does not take the work."""
    with client_node.client() as client:
        client.send(f"work submit worker {work_type}")
        unit_id = client.line().split()[5].rstrip(".")
        client.end(b"payload")
        assert client.line().startswith("ERROR: ")
    status = client_node.ask(f"work status {unit_id}")
    assert status["StateName"] == "Failed"
    return str(status["Detail"])


def test_the_tightened_node_of_the_page_works_for_its_controllers(receptor_mesh: MeshFactory) -> None:
    mesh = receptor_mesh({"worker": worker_of_the_page(), "controller1": {}})
    worker, mine = (Answering(node.socket) for node in mesh.values())
    unit_id = mine.submit("upper", b"shout", node="worker")
    assert mine.results(unit_id) == b"SHOUT"
    assert mine.results(mine.submit("count", node="worker")) == b"1\n2\n3\n4\n5\n"
    assert len(worker.ask("work list")) == 2
    assert mine.ask(f"work cancel {unit_id}") == {"cancelled": unit_id}
    assert mine.ask(f"work release {unit_id}") == {"released": unit_id}
    assert len(worker.ask("work list")) == 1
    assert "node controller1 may not submit work of type 'backup' on node worker" in refusal_of_work(mine, "backup")


def test_the_tightened_node_of_the_page_does_nothing_for_others(receptor_mesh: MeshFactory) -> None:
    mesh = receptor_mesh({"worker": worker_of_the_page(), "stranger": {}, "controller2": {}})
    worker, stranger, other = (Answering(node.socket) for node in mesh.values())
    unit_id = worker.submit("upper", b"of the operator")
    assert "node stranger may not submit work of type 'upper'" in refusal_of_work(stranger, "upper")
    for command in (
        *("status", "ping stranger", "traceroute stranger", "connect stranger control", "reload", "work list"),
        *(f"work {what} {unit_id}" for what in ("list", "status", "results", "cancel", "release", "force-release")),
        "work submit stranger upper",
    ):
        assert answer_of_worker(stranger, command).startswith("ERROR: node stranger may not "), command
    # A controller may not touch what it has not submitted, nor learn that it is there.
    for what in ("list", "status", "results", "cancel", "release", "force-release"):
        assert answer_of_worker(other, f"work {what} {unit_id}") == f"ERROR: unknown work unit {unit_id}"
    assert answer_of_worker(other, "work list") == "{}"
    assert answer_of_worker(other, "connect stranger control").startswith("ERROR: node controller2 may not connect")
    assert answer_of_worker(other, "work submit stranger upper").startswith("ERROR: node controller2 may not send")
    assert worker.results(unit_id) == b"OF THE OPERATOR"


def ask_over_tcp(port: int, *commands: str) -> list[str]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall("".join(f"{command}\n" for command in commands).encode())
        client.shutdown(socket.SHUT_WR)
        return client.makefile().read().splitlines()[1:]


def test_who_did_what_is_in_the_audit_s_file_whatever_the_log_level(short_folder: Path) -> None:
    port = free_port()
    actions: list[Action] = [
        LOCAL_ONLY,
        CAT,
        {"control-service": {"service": "", "tcplisten": f"127.0.0.1:{port}"}},
        {"access-rule": {"tcpclients": "127.0.0.0/8", "allow": "status"}},
        {"audit": {"file": "audit.log"}},
    ]
    with node(short_folder, "foo", *actions) as foo:
        unit_id = foo.submit("cat", b"hush")
        status, refusal = ask_over_tcp(port, "status", f"work cancel {unit_id}")
        assert status.startswith("{")
        assert refusal.startswith("ERROR: tcp 127.0.0.1 may not cancel units on node foo")
        file = short_folder / "audit.log"
        submitted, refused = file.read_text().splitlines()
        assert f"INFO node=foo unit={unit_id} receptor.audit: allowed command=submit who=local" in submitted
        assert submitted.endswith("worktype=cat target=localhost")
        assert f'WARNING node=foo unit={unit_id} receptor.audit: refused command=cancel who="tcp 127.0.0.1"' in refused
        assert 'reason="tcp 127.0.0.1 may not cancel' in refused
        assert file.stat().st_mode & 0o777 == 0o600
        assert "receptor.audit: refused" in foo.log.read_text()


def test_who_may_only_connect_does_not_become_the_node(short_folder: Path) -> None:
    port = free_port()
    actions: list[Action] = [
        LOCAL_ONLY,
        CAT,
        {"control-service": {"service": "", "tcplisten": f"127.0.0.1:{port}"}},
        {"access-rule": {"nodes": "*", "allow": "all"}},
        {"access-rule": {"tcpclients": "127.0.0.1", "allow": "connect"}},
    ]
    with node(short_folder, "foo", *actions) as foo:
        for target in ("localhost", "foo"):
            refusals = ask_over_tcp(port, f"connect {target} control", "work submit localhost cat")
            assert [line.split(" on ")[0].split(" of ")[0] for line in refusals] == [
                "ERROR: tcp 127.0.0.1 may not connect to services",
                "ERROR: tcp 127.0.0.1 may not submit work",
            ]
        assert foo.ask("work list") == {}


def test_a_node_without_its_audit_does_not_start(short_folder: Path) -> None:
    with started_node(short_folder, "foo", LOCAL_ONLY, {"audit": {"file": "/nosuch/audit.log"}}) as foo:
        assert foo.process.wait(PATIENCE) == 1
        assert "receptor: the audit file /nosuch/audit.log can't be written: No such file" in foo.log.read_text()


def test_limits_hold(receptor_mesh: MeshFactory) -> None:
    limits: Action = {"limits": {"units": 1, "payload": "10B", "controlline": "1KiB", "clients": 2}}
    foo = Answering(receptor_mesh({"foo": [CAT, limits]})["foo"].socket)
    with foo.client() as client:
        client.send("work submit localhost cat")
        assert client.line().startswith("Work unit created")
        client.end(b"more than ten bytes")
        assert "more than the 10 that the limits of this node allow" in client.line()
    with foo.client() as client, foo.client():
        client.send("work submit localhost cat")
        assert client.line().startswith("ERROR: ")
        with foo.client() as third:
            assert third.greeting.startswith("ERROR: this node has as many control sessions as its limits allow")
        client.send("ping " + "x" * 1024)
        assert client.line() == "ERROR: a line is longer than 1024 bytes"
