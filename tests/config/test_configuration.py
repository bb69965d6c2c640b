from __future__ import annotations

from pathlib import Path

import pytest

from receptor.config.actions import Node, WorkCommand, WorkSigning, WorkVerification
from receptor.config.backend_actions import TcpListener, TcpPeer
from receptor.config.configuration import Configuration, configuration_of
from receptor.config.kinds import Address, Right
from receptor.config.protection import AccessRule, Audit, Limits
from receptor.config.written import WrittenAction, WrittenValue
from receptor.errors import ConfigurationError

LOCAL_ONLY: tuple[str, dict[str, str]] = ("local-only", {})


def configuration(*actions: tuple[str, dict[str, str]], host_name: str = "box") -> Configuration:
    """The configuration of these actions, written in the lines 1, 2, ... of c.yml."""
    written = []
    for line, (name, values) in enumerate(actions, start=1):
        place = f"c.yml:{line}"
        written.append(WrittenAction(name, place, tuple(WrittenValue(k, v, place) for k, v in values.items())))
    return configuration_of(written, "c.yml", host_name)


def problems_of(*actions: tuple[str, dict[str, str]], host_name: str = "box") -> list[str]:
    with pytest.raises(ConfigurationError) as told:
        configuration(*actions, host_name=host_name)
    return str(told.value).splitlines()


def test_actions_become_one_configuration() -> None:
    made = configuration(
        ("node", {"id": "foo", "datadir": "/var/lib/receptor", "maxidleconnectiontimeout": "1m"}),
        ("log-level", {"level": "Info"}),
        ("tcp-listener", {"port": "1"}),
        ("tcp-peer", {"address": "bar:2"}),
        ("tcp-listener", {"port": "3"}),
        ("work-command", {"worktype": "w", "command": "true"}),
    )
    assert made == Configuration(
        node=Node("foo", Path("/var/lib/receptor"), 60.0),
        log_level="info",
        local_only=False,
        trace=False,
        listeners=(TcpListener(port=1), TcpListener(port=3)),
        peers=(TcpPeer(address=Address("bar", 2)),),
        tls_servers=(),
        tls_clients=(),
        control_services=(),
        work_commands=(WorkCommand("w", "true"),),
        work_signing=None,
        work_verification=None,
        access_rules=(),
        audit=None,
        limits=Limits(),
        services=(),
    )


def test_what_is_left_out_has_its_default() -> None:
    made = configuration(LOCAL_ONLY)
    assert made.node == Node("box", Path("/tmp/receptor"), None)
    assert made.log_level == "error"
    assert made.local_only


def test_a_node_action_without_an_id_has_the_host_name() -> None:
    assert configuration(LOCAL_ONLY, ("node", {"datadir": "/data"})).node == Node("box", Path("/data"))


@pytest.mark.parametrize("host_name", ["localhost", "Localhost", "localhost.localdomain"])
def test_a_host_name_of_localhost_is_no_id(host_name: str) -> None:
    assert problems_of(LOCAL_ONLY, host_name=host_name) == [
        f"c.yml: the node has no id, and this machine's host name, {host_name!r}, can't be one; "
        "give it an id with the action 'node'"
    ]
    assert configuration(LOCAL_ONLY, ("node", {"id": "foo"}), host_name=host_name).node.id == "foo"


def test_a_node_without_a_backend_has_nothing_to_do() -> None:
    assert problems_of(("node", {"id": "foo"})) == [
        "c.yml: nothing to do: no backends are configured; add a listener or a peer such as 'tcp-peer', "
        "or 'local-only' for a node on its own"
    ]


def test_some_actions_are_given_once() -> None:
    assert problems_of(
        LOCAL_ONLY, ("node", {"id": "a"}), ("log-level", {}), ("node", {"id": "b"}), ("log-level", {})
    ) == [
        "c.yml:4: the action 'node' is given twice, first at c.yml:2",
        "c.yml:5: the action 'log-level' is given twice, first at c.yml:3",
    ]


def test_a_work_type_is_given_once() -> None:
    work = ("work-command", {"worktype": "w", "command": "true"})
    assert problems_of(LOCAL_ONLY, work, work) == ["c.yml:3: the work type 'w' is given twice, first at c.yml:2"]


def test_control_services_have_names_of_their_own() -> None:
    assert problems_of(LOCAL_ONLY, ("control-service", {}), ("control-service", {"filename": "/s"})) == [
        "c.yml:3: the service 'control' is given twice, first at c.yml:2"
    ]
    made = configuration(
        LOCAL_ONLY,
        ("control-service", {}),
        ("control-service", {"service": "", "filename": "/a"}),
        ("control-service", {"service": "", "tcplisten": "7777"}),
    )
    assert [service.tcp_listen for service in made.control_services] == [None, None, Address("0.0.0.0", 7777)]


def test_a_control_service_must_be_reachable() -> None:
    assert problems_of(LOCAL_ONLY, ("control-service", {"service": ""})) == [
        "c.yml:2: control-service needs at least one of the keys 'service', 'filename' and 'tcplisten'"
    ]


def test_signatures_need_a_key_to_verify_with() -> None:
    work = ("work-command", {"worktype": "w", "command": "true", "verifysignature": "true"})
    assert problems_of(LOCAL_ONLY, work) == [
        "c.yml:2: work type 'w' has 'verifysignature', but there is no key to verify with; "
        "add the action 'work-verification'"
    ]


def test_an_access_rule_is_for_somebody_and_about_what_it_allows() -> None:
    assert problems_of(
        LOCAL_ONLY,
        ("access-rule", {"allow": "all"}),
        ("access-rule", {"allow": "list", "nodes": "bar", "worktypes": "cat"}),
    ) == [
        "c.yml:2: access-rule must say whom it is for; name some in 'nodes' or 'tcpclients'",
        "c.yml:3: access-rule has 'worktypes', which say what may be submitted, but does not allow 'submit'",
    ]


def test_what_protects_a_node() -> None:
    made = configuration(
        LOCAL_ONLY,
        ("access-rule", {"allow": "all", "nodes": "bar", "worktypes": "cat"}),
        ("audit", {"file": "/a"}),
        ("access-rule", {"allow": "status", "nodes": "baz"}),
        ("limits", {"units": "5"}),
    )
    assert made.access_rules == (
        AccessRule(frozenset({Right.ALL}), frozenset({"bar"}), work_types=frozenset({"cat"})),
        AccessRule(frozenset({Right.STATUS}), frozenset({"baz"})),
    )
    assert made.audit == Audit(Path("/a"))
    assert made.limits == Limits(units=5)


def test_key_files_must_hold_the_right_keys(key_folder: Path) -> None:
    missing, public = problems_of(
        LOCAL_ONLY,
        ("work-signing", {"privatekey": "/nosuch.pem"}),
        ("work-verification", {"publickey": str(key_folder / "signworkprivate.pem")}),
    )
    assert missing.startswith("c.yml:2: /nosuch.pem: there is no such file")
    assert public.startswith(f"c.yml:3: {key_folder}/signworkprivate.pem: this is not a PEM public key")


def test_keys_are_named_by_their_files(key_folder: Path) -> None:
    private, public = key_folder / "signworkprivate.pem", key_folder / "signworkpublic.pem"
    made = configuration(
        LOCAL_ONLY,
        ("work-signing", {"privatekey": str(private), "tokenexpiration": "30m"}),
        ("work-verification", {"publickey": str(public)}),
    )
    assert made.work_signing == WorkSigning(private, 1800.0)
    assert made.work_verification == WorkVerification(public)


def test_problems_of_single_actions_come_first() -> None:
    assert problems_of(("tcp-listner", {}), ("tcp-listener", {"port": "many"})) == [
        "c.yml:1: there is no action 'tcp-listner'; did you mean 'tcp-listener'?",
        "c.yml:2: port must be a whole number from 0 to 65535, not 'many'",
    ]
