from __future__ import annotations

import asyncio
import re
import signal
import socket
import ssl
import time
from pathlib import Path
from typing import cast

import pytest
from certificates_bench import Authority, Written
from commands import eventually
from event_loops import EventLoop
from receptor_process import Action, NodeProcess, free_port, node, started_node

from receptor.config.files import load_file
from receptor.errors import ConfigurationError, OperatingError
from receptor.linking import Linking
from receptor.reloading import Reloading
from receptor.tls.profiles import TlsProfiles

CAT: Action = {"work-command": {"worktype": "cat", "command": "cat"}}
LOCAL_ONLY: Action = {"local-only": {}}


def listener(port: int, **more: object) -> Action:
    return {"tcp-listener": {"port": port, "bindaddr": "127.0.0.1", **more}}


def peer(port: int, **more: object) -> Action:
    return {"tcp-peer": {"address": f"127.0.0.1:{port}", **more}}


def reload(running: NodeProcess) -> str:
    """Reload; the error, if there is one."""
    answer = running.ask("reload")
    assert answer.keys() == ({"Success"} if answer["Success"] else {"Success", "Error"})
    return str(answer.get("Error", ""))


def neighbours(running: NodeProcess) -> dict[str, float]:
    links = running.ask("status")["Connections"]
    assert isinstance(links, list)
    return {link["NodeID"]: link["Cost"] for link in links}


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_only_what_has_changed_is_touched(short_folder: Path) -> None:
    kept, left, new = free_port(), free_port(), free_port()
    with (
        node(short_folder, "hub", listener(kept), listener(left), CAT) as hub,
        node(short_folder, "near", peer(kept)) as near,
        node(short_folder, "far", peer(left)),
    ):
        near.wait_for_route_to("far")
        with near.client() as client:
            client.send("connect hub control")
            assert client.line() == "Connecting"
            assert client.line() == "Receptor Control, node hub"
            hub.configure(listener(kept), listener(new), CAT)
            assert reload(hub) == ""
            assert neighbours(hub) == {"near": 1.0}
            assert not accepts(left)
            assert accepts(new)
            # The stream over the link that was kept has seen nothing of it.
            assert client.ask("status")["NodeID"] == "hub"


def test_peers_come_and_go(short_folder: Path) -> None:
    one, other = free_port(), free_port()
    with (
        node(short_folder, "one", listener(one)) as first,
        node(short_folder, "other", listener(other)),
        node(short_folder, "hub", peer(one)) as hub,
    ):
        hub.wait_for_route_to("one")
        hub.configure(peer(other))
        assert reload(hub) == ""
        hub.wait_for_route_to("other")
        assert neighbours(hub) == {"other": 1.0}
        eventually(lambda: neighbours(first) == {}, 10)


def test_a_listener_whose_terms_have_changed_makes_its_links_anew(short_folder: Path) -> None:
    port = free_port()
    with node(short_folder, "hub", listener(port)) as hub, node(short_folder, "near", peer(port)) as near:
        near.wait_for_route_to("hub")
        hub.configure(listener(port, cost=3.0))
        near.configure(peer(port, cost=3.0))
        assert reload(hub) == ""
        assert reload(near) == ""
        eventually(lambda: neighbours(hub) == {"near": 3.0}, 20)


def test_the_last_backend_may_go_where_the_node_may_be_alone(short_folder: Path) -> None:
    port = free_port()
    with node(short_folder, "hub", listener(port)) as hub:
        hub.configure(LOCAL_ONLY)
        assert reload(hub) == ""
        assert not accepts(port)


REFUSED = {
    "not yaml": ("- node: [unclosed\n", "hub.yml:2: not valid YAML", 4),
    "no such action": ("- tcp-listner: 1\n", "hub.yml:1: there is no action 'tcp-listner'", 4),
    "no backend": ("- node: hub\n", "nothing to do", 4),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_broken_changes_nothing(short_folder: Path, what: str) -> None:
    text, reason, code = REFUSED[what]
    port = free_port()
    with node(short_folder, "hub", listener(port), CAT) as hub:
        hub.write(text)
        error = reload(hub)
        assert reason in error
        assert error.endswith(f" ERRORCODE {code}")
        assert accepts(port)
        hub.configure(listener(port), CAT)
        assert reload(hub) == ""


def test_other_changes_are_refused_as_a_whole_and_named(short_folder: Path) -> None:
    port, other = free_port(), free_port()
    with node(short_folder, "hub", listener(port), CAT) as hub:
        nap: Action = {"work-command": {"worktype": "nap", "command": "sleep"}}
        hub.configure(listener(port), listener(other), CAT, nap, firewallrules=[{"action": "drop", "fromnode": "x"}])
        assert reload(hub) == (
            "only a restart can take over what was changed of node, work-command; nothing was changed ERRORCODE 3"
        )
        assert not accepts(other)
        hub.configure(listener(port))
        assert reload(hub) == (
            "only a restart can take over what was changed of work-command; nothing was changed ERRORCODE 3"
        )


def test_a_listener_that_can_t_be_had_leaves_all_as_it_was(short_folder: Path) -> None:
    port, new = free_port(), free_port()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        node(short_folder, "hub", listener(port)) as hub,
        node(short_folder, "near", peer(port)) as near,
    ):
        near.wait_for_route_to("hub")
        hub.configure(listener(port, cost=2.0), listener(new), listener(taken.getsockname()[1]))
        error = reload(hub)
        assert f"tcp-listener can't listen on 127.0.0.1:{taken.getsockname()[1]}" in error
        assert error.endswith(" ERRORCODE 4")
        assert neighbours(hub) == {"near": 1.0}
        assert not accepts(new)
        assert accepts(port)


def own_tls(files: Written, ca: Path) -> list[Action]:
    pair: dict[str, object] = {"name": "own", "cert": str(files.certificate), "key": str(files.key)}
    return [{"tls-server": {**pair, "clientcas": str(ca)}}, {"tls-client": {**pair, "rootcas": str(ca)}}]


def shown_at(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


def test_renewed_files_serve_new_backends_from_their_first_connection(short_folder: Path) -> None:
    """One that was refused would be dialled again only after five seconds."""
    authority, port = Authority("mesh CA"), free_port()
    ca = authority.write(short_folder)
    hub_files = authority.issue(node_ids=["hub"], ips=["127.0.0.1"]).write(short_folder, "tls-hub")
    near_files = Authority("mesh CA").issue(node_ids=["near"]).write(short_folder, "tls-near")
    with (
        node(short_folder, "hub", *own_tls(hub_files, ca), listener(port, tls="own")) as hub,
        node(short_folder, "near", *own_tls(near_files, ca), LOCAL_ONLY) as near,
    ):
        authority.issue(node_ids=["near"]).write(short_folder, "tls-near")
        near.configure(*own_tls(near_files, ca), peer(port, tls="own"))
        assert reload(near) == ""
        eventually(lambda: neighbours(hub) == {"near": 1.0}, 4)


def test_a_reload_that_fails_leaves_tls_as_it_was(short_folder: Path) -> None:
    authority, port = Authority("mesh CA"), free_port()
    ca = authority.write(short_folder)
    files = authority.issue(node_ids=["hub"], ips=["127.0.0.1"]).write(short_folder, "tls-hub")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        node(short_folder, "hub", *own_tls(files, ca), listener(port, tls="own")) as hub,
    ):
        before = shown_at(port)
        authority.issue(node_ids=["hub"], ips=["127.0.0.1"]).write(short_folder, "tls-hub")
        backends = [listener(port, tls="own"), listener(taken.getsockname()[1])]
        hub.configure(*own_tls(files, ca), *backends)
        assert "can't listen" in reload(hub)
        assert shown_at(port) == before
        hub.configure(*own_tls(files, ca), *backends[:1])
        assert reload(hub) == ""
        assert shown_at(port) != before


def test_a_hang_up_signal_reloads_too(short_folder: Path) -> None:
    port, other = free_port(), free_port()
    with node(short_folder, "hub", listener(port)) as hub:
        hub.configure(listener(other))
        hub.process.send_signal(signal.SIGHUP)
        eventually(lambda: accepts(other) and not accepts(port), 10)
        hub.write("- 7\n")
        hub.process.send_signal(signal.SIGHUP)
        eventually(lambda: "the configuration was not reloaded: " in hub.log.read_text(), 10)
        assert accepts(other)


def test_many_reloads_at_once_end_in_what_the_file_says(short_folder: Path) -> None:
    port, other = free_port(), free_port()
    with node(short_folder, "hub", listener(port)) as hub:
        clients = [hub.client() for _ in range(10)]
        hub.configure(listener(other))
        begun = time.monotonic()
        for client in clients:
            client.send("reload")
        for client in clients:
            with client:
                assert client.answer() == {"Success": True}
        assert time.monotonic() - begun < 10
        assert accepts(other)
        assert not accepts(port)


def test_a_hang_up_signal_while_the_node_starts_does_not_end_it(short_folder: Path) -> None:
    with started_node(short_folder, "hub", listener(free_port())) as hub:
        eventually(lambda: handles(hub.process.pid, signal.SIGHUP), 10)
        while not hub.socket.exists():
            assert hub.process.poll() is None
            hub.process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        hub.wait_until_ready()


def handles(pid: int, number: signal.Signals) -> bool:
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert caught is not None
    return bool(int(caught[1], 16) >> (number - 1) & 1)


def test_a_node_that_is_told_to_reload_while_it_ends_ends_in_order(short_folder: Path) -> None:
    port, other = free_port(), free_port()
    with node(short_folder, "hub", listener(port)) as hub:
        hub.configure(listener(other))
        hub.process.send_signal(signal.SIGTERM)
        hub.process.send_signal(signal.SIGHUP)
        assert hub.process.wait(10) == 0
        assert "Traceback" not in hub.log.read_text()


# In one process


class Changes:
    """Stands for the backends, as far as a reload uses them."""

    def __init__(self, problem: BaseException | None = None) -> None:
        self.problem = problem
        self.may_go_on = asyncio.Event()
        self.times = 0

    async def change(self, _wanted: object) -> None:
        await self.may_go_on.wait()
        self.times += 1
        if self.problem is not None:
            raise self.problem


def reloading_of(changes: Changes, folder: Path) -> tuple[Reloading, TlsProfiles]:
    file = folder / "hub.yml"
    file.write_text("- node: hub\n- local-only\n")
    running = load_file(file)
    tls = TlsProfiles()
    return Reloading(running, lambda: running, cast("Linking", changes), tls), tls


@pytest.mark.parametrize("problem", [ConfigurationError("no"), OperatingError("no"), ValueError("no")])
def test_whatever_goes_wrong_the_old_tls_files_are_back(run: EventLoop, tmp_path: Path, problem: Exception) -> None:
    async def main() -> None:
        changes = Changes(problem)
        changes.may_go_on.set()
        reloading, tls = reloading_of(changes, tmp_path)
        before = tls.client("default").context()
        answer = await reloading.reload()
        assert not answer.success
        assert answer.error.endswith("; nothing was changed ERRORCODE 4")
        assert tls.client("default").context() is before

    run(main())


def test_a_reload_goes_on_when_who_asked_for_it_has_left_and_a_stop_waits_for_it(
    run: EventLoop, tmp_path: Path
) -> None:
    async def main() -> None:
        changes = Changes()
        reloading, _ = reloading_of(changes, tmp_path)
        asking = asyncio.create_task(reloading.reload())
        await asyncio.sleep(0)
        asking.cancel()
        stopping = asyncio.create_task(reloading.stop())
        changes.may_go_on.set()
        await stopping
        assert changes.times == 1
        assert "the node is ending" in (await reloading.reload()).error
        assert changes.times == 1

    run(main())
