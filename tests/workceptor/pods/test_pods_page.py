"""docs/kubernetes.md says what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from receptor.config.files import load_file
from receptor.config.kubernetes_action import WorkKubernetes
from receptor.errors import CommandError
from receptor.workceptor.pods import logic
from receptor.workceptor.pods.definition import first_pod_status

PAGE = (Path(__file__).parents[3] / "docs" / "kubernetes.md").read_text()
PARAMETERS = [
    (name, permission)
    for names, permission in re.findall(r"^\| (`.*?) \|.*\| `(allow\w+)` \|$", PAGE, re.MULTILINE)
    for name in re.findall("`(.*?)`", names)
]

CLOSED = WorkKubernetes(work_type="pods", image="busybox")
OPENED = {
    "allowruntimeauth": replace(CLOSED, allow_runtime_auth=True),
    "allowruntimecommand": replace(CLOSED, allow_runtime_command=True),
    "allowruntimeparams": replace(CLOSED, allow_runtime_params=True),
    "allowruntimepod": replace(CLOSED, allow_runtime_pod=True),
}


def test_the_example_is_right(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "receptor.conf"
    file.write_text(example)
    assert [action.work_type for action in load_file(file).work_commands] == ["sort", "anything"]


@pytest.mark.parametrize(("name", "permission"), PARAMETERS)
def test_each_parameter_needs_its_permission(name: str, permission: str) -> None:
    with pytest.raises(CommandError, match=f"{name} provided but not allowed"):
        first_pod_status("pods", {name: "1h"}, CLOSED)
    opened = OPENED[permission]
    given = "spec: {containers: [{name: worker}]}" if name == "secret_kube_pod" else "1h"
    assert first_pod_status("pods", {name: given}, opened)


def test_all_parameters_are_there() -> None:
    assert len(PARAMETERS) == 7


@pytest.mark.parametrize("detail", [logic.CONNECTING, logic.SENDING, logic.RUNNING, logic.FINISHED, logic.CANCELED])
def test_the_details_are_those(detail: str) -> None:
    assert f"`{detail}`" in PAGE


def test_the_numbers_are_those() -> None:
    assert f"within {logic.GRACE:.0f} seconds" in PAGE
    assert logic.FAILED_PULLS == 4
    assert "for the fourth time" in PAGE
    assert logic.ATTEMPTS == 10
    assert "refused ten times" in PAGE
