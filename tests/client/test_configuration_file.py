from __future__ import annotations

from pathlib import Path

import pytest

from receptor.client.configuration_file import read_actions
from receptor.errors import ConfigurationError

LIST = """
- node: {id: foo}
- Control-Service:
    Filename: /tmp/foo.sock
    permissions: 0660
- control-service: {service: other, filename: /tmp/other.sock}
- local-only
"""
MAP = """
version: 2
node: {id: foo}
control-services:
  - filename: /tmp/foo.sock
  - {filename: /tmp/other.sock}
"""


@pytest.mark.parametrize("text", [LIST, MAP])
def test_actions_of_both_shapes(text: str, tmp_path: Path) -> None:
    file = tmp_path / "receptor.conf"
    file.write_text(text)
    sockets = [action["filename"] for action in read_actions(str(file), "control-service")]
    assert sockets == ["/tmp/foo.sock", "/tmp/other.sock"]


def test_a_map_may_have_one_action_without_a_list(tmp_path: Path) -> None:
    file = tmp_path / "receptor.conf"
    file.write_text("version: 2\ncontrol-services: {filename: /tmp/foo.sock}")
    assert read_actions(str(file), "control-service") == [{"filename": "/tmp/foo.sock"}]


@pytest.mark.parametrize("text", ["", "- node: foo\n- control-service: bare\n", "just text", "[1, null]", "version: 2"])
def test_files_without_such_an_action(text: str, tmp_path: Path) -> None:
    file = tmp_path / "receptor.conf"
    file.write_text(text)
    assert read_actions(str(file), "control-service") == []


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nosuch: can't be read: No such file"):
        read_actions(str(tmp_path / "nosuch"), "node")
    file = tmp_path / "receptor.conf"
    file.write_text("{")
    with pytest.raises(ConfigurationError, match=r"this is not YAML: .* line"):
        read_actions(str(file), "node")
