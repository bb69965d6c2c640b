"""The configuration of a new node says what was wanted."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from receptor.certificates.bundles import Bundle
from receptor.cli.new_node.text import configuration_text
from receptor.cli.new_node.wanted import Dial, Listen, OwnAuthority, Role, Wanted, Work, place_of
from receptor.config.files import load_file

PLACE = place_of(Path("/etc/receptor/receptor.conf"))
JOINED = Bundle(node="foo", authority="", certificate="", key="")
LISTEN = (Listen("tcp", "::1", 1), Listen("ws", "", 2))
DIAL = (Dial("tcp", "a:1"), Dial("ws", "wss://a/"))
WORK = (Work("count: #", "wc", "-l 'a b'"), Work("yes", "true", ""))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("security", [None, OwnAuthority(Path("/ca")), JOINED], ids=["open", "authority", "bundle"])
def test_it_loads(role: Role, security: OwnAuthority | Bundle | None, tmp_path: Path) -> None:
    work = WORK if role.runs_work else ()
    wanted = Wanted(node_id="yes", role=role, place=PLACE, work=work, listen=LISTEN, dial=DIAL, security=security)
    file = tmp_path / "receptor.conf"
    file.write_text(configuration_text(wanted))
    configuration = load_file(file)
    assert configuration.node.id == "yes"
    assert [one.port for one in configuration.listeners] == [1, 2]
    assert len(configuration.peers) == 2
    assert len(configuration.tls_servers) == len(configuration.tls_clients) == (0 if security is None else 1)
    assert [one.work_type for one in configuration.work_commands] == [one.name for one in work]
    assert len(configuration.access_rules) == (0 if role.runs_work else 1)
    assert configuration.control_services[0].permissions == 0o660


def actions(wanted: Wanted) -> dict[str, object]:
    return {
        name: keys
        for action in yaml.safe_load(configuration_text(wanted))
        for name, keys in (action.items() if isinstance(action, dict) else [(action, None)])
    }


def test_a_node_on_its_own_has_nobody_to_guard_against() -> None:
    assert list(actions(Wanted(node_id="foo", role=Role.CONTROL, place=PLACE))) == [
        *("node", "log-level", "local-only", "control-service"),
    ]


def test_signatures_are_made_and_demanded() -> None:
    wanted = Wanted(node_id="foo", role=Role.HYBRID, place=PLACE, work=WORK[1:], signs=True, verification_key="PEM")
    found = actions(wanted)
    assert found["work-signing"] == {"privatekey": "/etc/receptor/work-signing.pem"}
    assert found["work-verification"] == {"publickey": "/etc/receptor/work-verification.pem"}
    assert found["work-command"] == {"worktype": "yes", "command": "true", "verifysignature": True}
