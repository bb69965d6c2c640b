from __future__ import annotations

from pathlib import Path

import pytest

from receptor.config.actions import Node, WorkCommand, WorkSigning, WorkVerification
from receptor.config.backend_actions import TcpListener, TcpPeer, UdpListener, UdpPeer, WsListener, WsPeer
from receptor.config.certificate_actions import CertInit
from receptor.config.configuration import (
    Configuration,
    certificate_actions_of,
    configuration_of,
    makes_certificates,
)
from receptor.config.kinds import Address, Right
from receptor.config.protection import AccessRule, Audit, Limits
from receptor.config.service_actions import CommandService, UdpServer, UnixSocketServer
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.config.written import WrittenAction, WrittenValue
from receptor.errors import ConfigurationError

LOCAL_ONLY: tuple[str, dict[str, str]] = ("local-only", {})


def written(*actions: tuple[str, dict[str, str]]) -> list[WrittenAction]:
    made = []
    for line, (name, values) in enumerate(actions, start=1):
        place = f"c.yml:{line}"
        made.append(WrittenAction(name, place, tuple(WrittenValue(k, v, place) for k, v in values.items())))
    return made


def configuration(*actions: tuple[str, dict[str, str]], host_name: str = "box") -> Configuration:
    """The configuration of these actions, written in the lines 1, 2, ... of c.yml."""
    return configuration_of(written(*actions), "c.yml", host_name)


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
    assert made.log_level == "info"
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


@pytest.mark.parametrize("action", ["tcp-client", "udp-client"])
def test_services_have_names_of_their_own(action: str) -> None:
    web = {"service": "web", "address": "localhost:80"}
    assert problems_of(LOCAL_ONLY, ("command-service", {"service": "web", "command": "sh"}), (action, web)) == [
        "c.yml:3: the service 'web' is given twice, first at c.yml:2"
    ]
    assert problems_of(LOCAL_ONLY, ("unix-socket-client", {"service": "web", "filename": "/s"}), (action, web)) == [
        "c.yml:3: the service 'web' is given twice, first at c.yml:2"
    ]
    network = ("ip-router", {"networkname": "web", "localnet": "10.9.0.0/30"})
    assert problems_of(LOCAL_ONLY, network, (action, web)) == [
        "c.yml:3: the service 'web' is given twice, first at c.yml:2"
    ]
    service = ("control-service", {"service": "web"})
    assert problems_of(LOCAL_ONLY, (action, web), service) == [
        "c.yml:3: the service 'web' is given twice, first at c.yml:2"
    ]


REMOTE = {"remotenode": "bar", "remoteservice": "web"}


def test_backends_and_services_of_all_sorts() -> None:
    made = configuration(
        ("udp-listener", {"port": "1"}),
        ("ws-peer", {"address": "wss://bar/mesh"}),
        ("ws-listener", {"port": "1", "path": "/mesh"}),
        ("udp-peer", {"address": "bar:1"}),
        ("udp-server", {"port": "2", **REMOTE}),
        ("command-service", {"service": "sh", "command": "bash -i"}),
        ("unix-socket-server", {"filename": "/s", **REMOTE}),
    )
    assert made.listeners == (UdpListener(port=1), WsListener(port=1, path="/mesh"))
    assert made.peers == (WsPeer(address="wss://bar/mesh"), UdpPeer(address=Address("bar", 1)))
    assert made.services == (
        UdpServer(2, "bar", "web"),
        CommandService("sh", "bash -i"),
        UnixSocketServer(Path("/s"), "bar", "web"),
    )


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (("tcp-listener", {"port": "1"}), ("ws-listener", {"port": "1"}), "TCP address '0.0.0.0:1'"),
        (("tcp-listener", {"port": "1"}), ("control-service", {"tcplisten": "1"}), "TCP address '0.0.0.0:1'"),
        (
            ("tcp-listener", {"port": "1", "bindaddr": "::1"}),
            ("tcp-server", {"port": "1", "bindaddr": "[::1]", **REMOTE}),
            "TCP address '[::1]:1'",
        ),
        (("udp-listener", {"port": "1"}), ("udp-server", {"port": "1", **REMOTE}), "UDP address '0.0.0.0:1'"),
        (
            ("control-service", {"filename": "/s"}),
            ("unix-socket-server", {"filename": "/s", **REMOTE}),
            "Unix socket '/s'",
        ),
    ],
)
def test_nothing_is_listened_on_twice(
    one: tuple[str, dict[str, str]], other: tuple[str, dict[str, str]], what: str
) -> None:
    assert problems_of(LOCAL_ONLY, one, other) == [f"c.yml:3: the {what} is given twice, first at c.yml:2"]


def test_the_same_port_on_other_sockets_and_any_free_port_are_no_conflict() -> None:
    made = configuration(
        ("tcp-listener", {"port": "1"}),
        ("udp-listener", {"port": "1"}),
        ("ws-listener", {"port": "1", "bindaddr": "127.0.0.1"}),
        ("tcp-listener", {"port": "0"}),
        ("ws-listener", {"port": "0"}),
        ("control-service", {"tcplisten": "0"}),
    )
    assert len(made.listeners) == 5


SERVER = ("tls-server", {"name": "serving", "cert": "/c", "key": "/k"})
CLIENT = ("tls-client", {"name": "dialling"})


@pytest.mark.parametrize(
    ("action", "keys", "key", "kind"),
    [
        ("tcp-listener", {"port": "1"}, "tls", "tls-server"),
        ("ws-listener", {"port": "1"}, "tls", "tls-server"),
        ("tcp-peer", {"address": "bar:1"}, "tls", "tls-client"),
        ("ws-peer", {"address": "wss://bar"}, "tls", "tls-client"),
        ("control-service", {}, "tls", "tls-server"),
        ("control-service", {}, "tcptls", "tls-server"),
        ("tcp-server", {"port": "1", **REMOTE}, "tlsserver", "tls-server"),
        ("tcp-server", {"port": "1", **REMOTE}, "tlsclient", "tls-client"),
        ("tcp-client", {"service": "a", "address": "bar:1"}, "tlsserver", "tls-server"),
        ("tcp-client", {"service": "a", "address": "bar:1"}, "tlsclient", "tls-client"),
        ("unix-socket-server", {"filename": "/s", **REMOTE}, "tls", "tls-client"),
        ("unix-socket-client", {"service": "a", "filename": "/s"}, "tls", "tls-server"),
        ("command-service", {"service": "a", "command": "sh"}, "tls", "tls-server"),
    ],
)
def test_tls_settings_that_are_named_must_be_there(action: str, keys: dict[str, str], key: str, kind: str) -> None:
    right, wrong = ("serving", "dialling") if kind == "tls-server" else ("dialling", "serving")
    configuration(LOCAL_ONLY, SERVER, CLIENT, (action, {**keys, key: right}))
    assert problems_of(LOCAL_ONLY, SERVER, CLIENT, (action, {**keys, key: wrong})) == [
        f"c.yml:4: {action} needs the {kind} '{wrong}', which is not there; "
        f"that is a {'tls-client' if kind == 'tls-server' else 'tls-server'}; add the action '{kind}' with that name"
    ]
    assert problems_of(LOCAL_ONLY, SERVER, CLIENT, (action, {**keys, key: f"{right}s"})) == [
        f"c.yml:4: {action} needs the {kind} '{right}s', which is not there; did you mean '{right}'?"
    ]
    assert problems_of(LOCAL_ONLY, (action, {**keys, key: "x"})) == [
        f"c.yml:2: {action} needs the {kind} 'x', which is not there; add the action '{kind}' with that name"
    ]


def test_every_node_has_a_tls_client_that_trusts_the_system() -> None:
    (peer,) = configuration(("tcp-peer", {"address": "bar:1", "tls": "default"})).peers
    assert isinstance(peer, TcpPeer)
    assert peer.tls == "default"


def test_tls_settings_have_names_of_their_own() -> None:
    assert problems_of(LOCAL_ONLY, SERVER, SERVER, CLIENT, CLIENT) == [
        "c.yml:3: the tls-server 'serving' is given twice, first at c.yml:2",
        "c.yml:5: the tls-client 'dialling' is given twice, first at c.yml:4",
    ]
    made = configuration(LOCAL_ONLY, SERVER, ("tls-client", {"name": "serving"}))
    assert made.tls_servers == (TlsServer("serving", Path("/c"), Path("/k")),)
    assert made.tls_clients == (TlsClient("serving"),)


def test_to_run_alone_and_to_trace_can_be_switched_off() -> None:
    made = configuration(LOCAL_ONLY, ("trace", {}))
    assert (made.local_only, made.trace) == (True, True)
    made = configuration(("tcp-listener", {"port": "1"}), ("local-only", {"local": "no"}), ("trace", {"enabled": "no"}))
    assert (made.local_only, made.trace) == (False, False)
    assert problems_of(("local-only", {"local": "false"}))[0].startswith("c.yml: nothing to do")


CERT_INIT = ("cert-init", {"commonname": "us", "bits": "2048", "outcert": "ca.crt", "outkey": "ca.key"})


def test_a_node_makes_no_certificates() -> None:
    assert problems_of(LOCAL_ONLY, CERT_INIT) == [
        "c.yml:2: cert-init makes certificates, and no node runs then; "
        "give it in a file or on a command line without other actions"
    ]


def test_certificates_are_made_where_nothing_else_is_wanted() -> None:
    assert makes_certificates(written(("Cert-Init", {}), ("cert-signreq", {})))
    assert not makes_certificates(written(("cert-init", {}), ("node", {})))
    assert not makes_certificates(written(("nonsense", {})))
    assert not makes_certificates([])
    (action,) = certificate_actions_of(written(CERT_INIT))
    assert action == CertInit("us", 2048, Path("ca.crt"), Path("ca.key"))


def test_mistakes_in_making_certificates_are_told_with_their_places() -> None:
    one_file = {**CERT_INIT[1], "outkey": "ca.crt"}
    with pytest.raises(ConfigurationError) as told:
        certificate_actions_of(written(CERT_INIT, ("cert-init", one_file)))
    assert str(told.value).splitlines() == [
        "c.yml:2: the action 'cert-init' is given twice, first at c.yml:1",
        "c.yml:2: cert-init needs two files: 'outcert' and 'outkey' are the same",
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
