"""``receptor --sample``: the file that explains every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from receptor.config.actions import ACTIONS
from receptor.config.certificate_actions import CertificateAction
from receptor.config.command_line import MakeCertificates, RunNode, parse_command_line
from receptor.config.files import load_file
from receptor.config.keys import keys_of
from receptor.config.sample import sample_text

SAMPLE = sample_text()
COMMENTED = [name for name in ACTIONS if f"\n#- {name}:" in SAMPLE]
NAMED_BY_OTHERS = """
- tls-server: {name: mesh, cert: /c, key: /k}
- tls-client: {name: mesh}
- work-verification: /etc/receptor/signworkpublic.pem
"""
EXCLUDE_EACH_OTHER = {"inkey", "kubeconfig", "pod"}
"""Keys that can't be used with all others of their action."""


def block(action: str) -> str:
    """The lines of an action that is commented out."""
    found = re.search(rf"^#- {action}:\n(?:#    .*\n)+", SAMPLE, re.MULTILINE)
    assert found
    return found[0]


def used(lines: str) -> str:
    """An action's lines without the marks at their beginning."""
    return re.sub("^#", "", lines, flags=re.MULTILINE)


def with_all_keys(lines: str) -> str:
    """Without those before its keys as well."""
    return re.sub(
        r"^    #(\w+):", lambda key: key[0] if key[1] in EXCLUDE_EACH_OTHER else f"    {key[1]}:", lines, flags=re.M
    )


def load(lines: str, folder: Path, keys: Path) -> RunNode | MakeCertificates:
    file = folder / "receptor.conf"
    file.write_text(lines.replace("/etc/receptor/signwork", f"{keys}/signwork"))
    loaded = parse_command_line(["--config", str(file)])
    assert isinstance(loaded, RunNode | MakeCertificates)
    return loaded


def beside(action: str) -> str:
    """What there must be beside an action, so that a node has something to do and names lead somewhere."""
    if issubclass(ACTIONS[action], CertificateAction):
        return ""
    others = [line for line in NAMED_BY_OTHERS.splitlines() if line and not line.startswith(f"- {action}:")]
    return "\n".join(["- node: foo", "- local-only", *others, ""])


def test_it_loads_as_it_is_as_a_node_on_its_own(tmp_path: Path) -> None:
    file = tmp_path / "receptor.conf"
    file.write_text(SAMPLE)
    configuration = load_file(file)
    assert configuration.node.id == "foo"
    assert configuration.local_only
    (control,) = configuration.control_services
    assert control.permissions == 0o660


@pytest.mark.parametrize("action", ACTIONS)
def test_it_has_every_action_and_every_key(action: str) -> None:
    ((mark, lines),) = re.findall(rf"^(#?)- {action}:\n((?:#?    .*\n)+)", SAMPLE, re.MULTILINE)
    keys = re.findall(rf"^{mark}    #?(\w+): .", lines, re.MULTILINE)
    assert keys == [key.name for key in keys_of(ACTIONS[action])]


@pytest.mark.parametrize("action", COMMENTED)
def test_each_action_is_right_without_its_marks(action: str, tmp_path: Path, key_folder: Path) -> None:
    lines = used(block(action))
    load(beside(action) + lines, tmp_path, key_folder)
    everything = with_all_keys(lines)
    assert len(yaml.safe_load(everything)[0][action]) >= len(yaml.safe_load(lines)[0][action])
    load(beside(action) + everything, tmp_path, key_folder)


def test_what_is_used_as_it_is_is_right_with_all_its_keys(tmp_path: Path, key_folder: Path) -> None:
    load(with_all_keys(SAMPLE) + NAMED_BY_OTHERS, tmp_path, key_folder)


def test_its_lines_are_not_too_long() -> None:
    assert [line for line in SAMPLE.splitlines() if len(line) > 120] == []
