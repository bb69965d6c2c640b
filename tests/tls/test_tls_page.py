"""docs/tls.md says what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from certificates_bench import Authority

from receptor.config.actions import ACTIONS
from receptor.config.configuration import Configuration
from receptor.config.files import load_file
from receptor.config.keys import keys_of
from receptor.tls.profiles import TlsProfiles

PAGE = (Path(__file__).parents[2] / "docs" / "tls.md").read_text()
CA = Authority()


def example(number: int, folder: Path) -> Configuration:
    """What the example configures, with certificates in its files."""
    (folder / "tls").mkdir()
    CA.write(folder / "tls")
    CA.issue(node_ids=["foo"]).write(folder / "tls", "foo")
    file = folder / "receptor.conf"
    text = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[number]
    file.write_text(text.replace("/etc/receptor", str(folder)))
    return load_file(file)


def test_the_whole_node_can_be_started(tmp_path: Path) -> None:
    node = example(0, tmp_path)
    profiles = TlsProfiles(node.tls_servers, node.tls_clients, node.node.id)
    check = profiles.server("mesh-server").stream_security().check
    assert check
    check(CA.issue(node_ids=["bar"]).der, "bar")
    profiles.client("mesh-client").stream_security().check(CA.issue(node_ids=["bar"]).der, "bar")


def test_the_example_of_a_pin_can_be_read(tmp_path: Path) -> None:
    node = example(1, tmp_path)
    TlsProfiles(node.tls_servers, node.tls_clients, node.node.id).client("appliance").context()


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_the_page_tells_who_uses_tls(action: type) -> None:
    keys = {key.name for key in keys_of(action) if key.name in {"tls", "tcptls", "tlsserver", "tlsclient"}}
    name = next(name for name, found in ACTIONS.items() if found is action)
    rows = "".join(re.findall(rf"^\| .*`{name}`.*$", PAGE, re.MULTILINE))
    assert {key for key in keys if f"`{key}`" not in rows} == set()
