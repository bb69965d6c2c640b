from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from receptor.config.actions import ControlService, Node, WorkCommand
from receptor.config.backend_actions import TcpListener, TcpPeer, WsListener
from receptor.config.files import load_file
from receptor.config.kinds import Address
from receptor.errors import ConfigurationError
from receptor.netceptor.firewall import FirewallRule, Verdict

SEED_FOO = r"""---
- node:
    id: foo

- log-level:
    level: Debug

- tcp-listener:
    port: 2222

- control-service:
    service: control
    filename: /tmp/foo.sock

- work-command:
    workType: echoint
    command: bash
    params:  "-c \"for i in {1..5}; do echo $i; sleep 1; done\""
"""

SEED_BAR = r"""---
- node:
    id: bar

- log-level:
    level: Debug

- tcp-peer:
    address: localhost:2222

- control-service:
    service: control

- work-command:
    worktype: echoint
    command: bash
    params:  "-c \"for i in {1..10}; do echo $i; sleep 1; done\""

- work-command:
    workType: echopayload
    command: bash
    params: "-c \"while read -r line; do echo ${line^^}; sleep 3; done\""
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The relative path of a file in the test's own folder, so that messages are short."""
    monkeypatch.chdir(tmp_path)
    return Path("c.yml")


def problems_of(file: Path, content: str | bytes) -> list[str]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as told:
        load_file(file)
    return str(told.value).splitlines()


def test_the_seeds_listening_node(file: Path) -> None:
    file.write_text(SEED_FOO)
    made = load_file(file)
    assert made.node == Node("foo", Path("/tmp/receptor"))
    assert made.log_level == "debug"
    assert made.listeners == (TcpListener(port=2222),)
    assert made.control_services == (ControlService("control", Path("/tmp/foo.sock"), 0o600),)
    params = '-c "for i in {1..5}; do echo $i; sleep 1; done"'
    assert made.work_commands == (WorkCommand("echoint", "bash", params),)


def test_the_seeds_dialing_node(file: Path) -> None:
    file.write_text(SEED_BAR)
    made = load_file(file)
    assert made.node.id == "bar"
    assert made.peers == (TcpPeer(address=Address("localhost", 2222)),)
    assert made.control_services == (ControlService("control"),)
    assert [work.work_type for work in made.work_commands] == ["echoint", "echopayload"]
    assert made.work_commands[1].params == '-c "while read -r line; do echo ${line^^}; sleep 3; done"'


def test_short_forms_and_letter_case(file: Path) -> None:
    file.write_text("- NODE: foo\n- Local-Only:\n- log-level: INFO\n- tcp-listener: 2222\n- tcp-listener: '2223'\n")
    made = load_file(file)
    assert (made.node.id, made.local_only, made.log_level) == ("foo", True, "info")
    assert made.listeners == (TcpListener(port=2222), TcpListener(port=2223))


@pytest.mark.parametrize("text", ["123", "yes", "0x1F", "1.50", "2024-01-01", "'null'"])
def test_text_stays_as_written(file: Path, text: str) -> None:
    file.write_text(f"- node:\n    id: {text}\n- local-only\n")
    assert load_file(file).node.id == text.strip("'")


def test_lists_maps_and_words_for_values(file: Path) -> None:
    file.write_text(
        "- tcp-listener:\n    port: 1\n    allowedpeers: [bar, 7]\n    nodecost:\n      bar: 2.5\n      baz: 3\n"
        "- tcp-peer:\n    address: 'bar:2'\n    redial: no\n    allowedpeers: bar\n"
        "- control-service:\n    permissions: 0660\n    tcplisten: 7777\n"
    )
    made = load_file(file)
    assert made.listeners == (
        TcpListener(port=1, allowed_peers=frozenset({"bar", "7"}), node_cost={"bar": 2.5, "baz": 3.0}),
    )
    assert made.peers == (TcpPeer(address=Address("bar", 2), redial=False, allowed_peers=frozenset({"bar"})),)
    assert made.control_services[0].permissions == 0o660


def test_anchors_and_a_byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf- node: &name foo\n- tcp-peer: {address: 'bar:1', allowedpeers: [*name]}\n")
    assert load_file(file).peers[0].allowed_peers == frozenset({"foo"})


def test_an_error_names_file_and_line(file: Path) -> None:
    content = "---\n- node:\n    id: x\n- local-only\n- work-command:\n    worktype: w\n    comand: bash\n"
    assert problems_of(file, content) == ["c.yml:7: work-command has no key 'comand'; did you mean 'command'?"]


def test_all_errors_are_told_at_once(file: Path) -> None:
    content = "- node: localhost\n- tcp-listener:\n    port: many\n    path: x\n- work-kubernets: 3\n- work-command:\n"
    assert problems_of(file, content) == [
        "c.yml:1: id must be a name other than 'localhost', without '/' and white space, not 'localhost'",
        "c.yml:3: port must be a whole number from 0 to 65535, not 'many'",
        "c.yml:4: tcp-listener has no key 'path'; its keys: port, bindaddr, cost, nodecost, allowedpeers, tls",
        "c.yml:5: there is no action 'work-kubernets'; did you mean 'work-kubernetes'?",
        "c.yml:6: work-command needs 'worktype' and 'command'",
    ]


FORM = "a configuration is a list of actions, such as '- node: foo'"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", f"c.yml: the file is empty; {FORM}"),
        ("---\n# nothing\n", f"c.yml: the file is empty; {FORM}"),
        ("null\n", f"c.yml: the file is empty; {FORM}"),
        ("just words\n", f"c.yml:1: this is no list; {FORM}"),
        ("---\nnode: foo\n", f"c.yml:2: this is no list, and a map must have the key 'version: 2'; {FORM}"),
        ("- 7\n", "c.yml:1: there is no action '7'; 'receptor --help' lists the actions"),
        ("- [node]\n", f"c.yml:1: this is no action; {FORM}"),
        ("- node: x\n-\n", f"c.yml:2: this is no action; {FORM}"),
        ("- {}\n", f"c.yml:1: this is no action; {FORM}"),
        (
            "- node:\n  id: foo\n",
            "c.yml:2: 'node' and 'id' are at one level; begin each action with '- ', "
            "and indent its keys further than its name",
        ),
        (
            "- node:\n    id:\n",
            "c.yml:2: id must be a name other than 'localhost', without '/' and white space, not nothing",
        ),
        ("- node:\n  - foo\n", "c.yml:2: node takes a value or keys with values, not a list"),
        ("- ? [a]\n  : b\n", "c.yml:1: there must be a single value here, such as a name or a number"),
        (
            "- tcp-listener:\n    port: 1\n    allowedpeers: [[a]]\n",
            "c.yml:3: allowedpeers must be a list of node ids, not a list with nested or empty entries",
        ),
        ("- tcp-listener:\n    port: 1\n    nodecost: {a: 1, a: 2}\n", "c.yml:3: 'a' is there twice"),
        (
            "- node: a\n  node: b\n",
            "c.yml:2: 'node' and 'node' are at one level; begin each action with '- ', "
            "and indent its keys further than its name",
        ),
        ('- node:\n    datadir: "a\\0b"\n', "c.yml:2: no value can hold a NUL character"),
        ("- &a [*a]\n", f"c.yml:1: this is no action; {FORM}"),
        (
            "- node: &a {id: *a}\n",
            "c.yml:1: id must be a name other than 'localhost', without '/' and white space, not a map",
        ),
        ("[" * 100_000, "c.yml: the file's lists and maps are nested too deeply"),
        (b"- node: x\n- \xff\n", "c.yml:2: the file must be UTF-8 text, and this line is not"),
        ("- node: \u00e9\n- \x01\n", "c.yml:2: not valid YAML: control characters are not allowed"),
        ("- node: *x\n", "c.yml:1: not valid YAML: found undefined alias"),
        (
            "- node:\n\tid: foo\n",
            "c.yml:2: not valid YAML: found character that cannot start any token (while scanning for the next token "
            "since line 2); the line begins with a tab: indent it with spaces",
        ),
    ],
)
def test_what_is_no_configuration_is_told(file: Path, content: str | bytes, problem: str) -> None:
    assert problems_of(file, content) == [problem]


@pytest.mark.parametrize("content", ["- node: [unclosed\n", "- node: x\n z: y\n", "- 'abc\n", "- a\n---\n- b\n"])
def test_broken_yaml_is_told_with_its_line(file: Path, content: str) -> None:
    (problem,) = problems_of(file, content)
    assert problem.startswith("c.yml:2: not valid YAML: ")


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^/nosuch/c\.yml: .*: No such file or directory; correct"):
        load_file(Path("/nosuch/c.yml"))
    with pytest.raises(ConfigurationError, match=r"Is a directory; name another file$"):
        load_file(tmp_path)
    with pytest.raises(ConfigurationError, match=r"null byte; name another file$"):
        load_file(Path("a\0b"))


AWX = """---
- node:
    id: awx-1
    firewallrules:
      - action: "reject"
        tonode: awx-1
        toservice: "control"
- log-level: info
- local-only: null
- tls-server:
    name: tlsserver
    cert: /etc/receptor/tls/receptor.crt
    key: /etc/receptor/tls/receptor.key
    clientcas: /etc/receptor/tls/ca/mesh-CA.crt
    requireclientcert: True
    mintls13: False
- tls-client:
    name: tlsclient
    cert: /etc/receptor/tls/receptor.crt
    key: /etc/receptor/tls/receptor.key
    rootcas: /etc/receptor/tls/ca/mesh-CA.crt
    insecureskipverify: false
    mintls13: False
- ws-listener:
    port: 27199
    tls: tlsserver
- tcp-peer:
    address: hop-1:27199
    redial: true
    tls: tlsclient
- control-service:
    service: control
    filename: /var/run/receptor/receptor.sock
    permissions: '0660'
    tls: tlsserver
- work-command:
    worktype: local
    command: ansible-runner
    params: worker
    allowruntimeparams: true
    verifysignature: false
"""


def test_what_installers_write(file: Path) -> None:
    file.write_text(AWX)
    made = load_file(file)
    assert made.node.firewall_rules == (FirewallRule(Verdict.REJECT, to_node="awx-1", to_service="control"),)
    assert made.local_only
    assert made.listeners == (WsListener(port=27199, tls="tlsserver"),)
    assert made.peers == (TcpPeer(address=Address("hop-1", 27199), tls="tlsclient"),)
    assert made.control_services[0].permissions == 0o660
    assert made.tls_servers[0].require_client_certificate
    assert made.tls_clients[0].root_cas == Path("/etc/receptor/tls/ca/mesh-CA.crt")


def modules_after(program: str) -> set[str]:
    program = f"import sys\n{program}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_what_reading_imports_stays_small(file: Path) -> None:
    """A configuration must be read quickly: no event loop, no cryptography, no regular expressions of others."""
    slow = {"asyncio", "cryptography", "qh3", "click", "re2"}
    assert not (slow | {"yaml"}) & modules_after("import receptor.config.command_line, receptor.config.help")
    file.write_text(AWX)
    read = f"from receptor.config.command_line import *; parse_command_line(['--config', {str(file)!r}])"
    assert not slow & modules_after(read)
    assert "receptor.config.actions" not in modules_after("import receptor.config.command_line")
