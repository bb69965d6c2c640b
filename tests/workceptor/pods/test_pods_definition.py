"""What is asked for, and the pod that comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from receptor.config.kubernetes_action import WorkKubernetes
from receptor.errors import CommandError, OperatingError
from receptor.workceptor.pods.definition import PodToMake, first_pod_status, pod_to_make
from receptor.workceptor.status import PodExtra, State, Status, answer, decode_status, encode_status

POD = '{"kind": "Pod", "spec": {"containers": [{"name": "worker", "image": "theirs"}]}}'
CLOSED = WorkKubernetes(work_type="Pods_1", image="busybox", command="sh -c", params="'echo a'", namespace="ours")
OPEN = WorkKubernetes(
    work_type="pods",
    image="busybox",
    allow_runtime_auth=True,
    allow_runtime_command=True,
    allow_runtime_params=True,
    allow_runtime_pod=True,
)
RUNTIME = WorkKubernetes(work_type="pods", auth_method="runtime", image="busybox", allow_runtime_auth=True)


def extra_of(status: Status) -> PodExtra:
    assert isinstance(status.extra, PodExtra)
    return status.extra


def made(action: WorkKubernetes, **parameters: str) -> PodToMake:
    extra = extra_of(first_pod_status(action.work_type, parameters, action))
    return pod_to_make(extra, action.work_type, has_payload=True)


def test_the_configured_container() -> None:
    status = first_pod_status("Pods_1", {}, CLOSED)
    assert (status.state, status.detail, status.work_type) == (State.PENDING, "Waiting for Input Data", "Pods_1")
    pod = json.loads(made(CLOSED).named("pods-1-x", "ours"))
    assert pod == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pods-1-x", "namespace": "ours"},
        "spec": {
            "containers": [
                {
                    "name": "worker",
                    "image": "busybox",
                    "command": ["sh", "-c"],
                    "args": ["echo a"],
                    "stdin": True,
                    "stdinOnce": True,
                    "tty": False,
                }
            ],
            "restartPolicy": "Never",
        },
    }
    assert made(CLOSED).prefix == "pods-1"


def test_what_submitters_may_change() -> None:
    parameters = {"kube_image": "i", "kube_command": "c", "kube_params": "p", "kube_namespace": "n"}
    extra = extra_of(first_pod_status("pods", {**parameters, "secret_kube_config": "k"}, OPEN))
    assert extra == PodExtra(image="i", command="c", params="p", kube_namespace="n", kube_config="k")


@pytest.mark.parametrize(
    "name",
    [
        "kube_image", "kube_command", "kube_params", "kube_namespace", "secret_kube_config", "secret_kube_pod",
        "pod_pending_timeout",
    ],
)  # fmt: skip
def test_nothing_of_that_without_leave(name: str) -> None:
    with pytest.raises(CommandError, match=f"{name} provided but not allowed") as caught:
        first_pod_status("Pods_1", {name: "hush"}, CLOSED)
    assert "hush" not in str(caught.value)
    assert first_pod_status("Pods_1", {name: ""}, CLOSED)


@pytest.mark.parametrize("action", [OPEN, CLOSED])
def test_no_environment(action: WorkKubernetes) -> None:
    with pytest.raises(CommandError, match=r"secret_env provided but not allowed: work type .* runs in pods") as caught:
        first_pod_status("Pods_1", {"secret_env": '{"A":"hush"}'}, action)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("action", "parameters", "problem"),
    [
        (OPEN, {"secret_kube_pod": POD, "kube_image": "i"}, "not compatible with secret_kube_pod"),
        (RUNTIME, {}, "secret_kube_config must be provided"),
        (OPEN, {"pod_pending_timeout": "soon"}, "pod_pending_timeout: 'soon' is not a duration"),
        (OPEN, {"pod_pending_timeout": "-1s"}, "must be more than 0"),
        (OPEN, {"kube_command": "'open"}, "can't be split into words"),
        (OPEN, {"secret_kube_pod": "hush: ["}, "neither YAML nor JSON"),
        (OPEN, {"secret_kube_pod": "- hush"}, "must be one Pod"),
        (OPEN, {"secret_kube_pod": "kind: Secret"}, "must be one Pod"),
        (OPEN, {"secret_kube_pod": "spec: {null: hush}"}, "that JSON does not know"),
        (OPEN, {"secret_kube_pod": "spec: {a: 9999999999999999999999}"}, "that JSON does not know|spec.containers"),
        (OPEN, {"secret_kube_pod": "kind: Pod"}, "spec.containers"),
        (OPEN, {"secret_kube_pod": "spec: {containers: {worker: 1}}"}, "spec.containers"),
        (OPEN, {"secret_kube_pod": "spec: {containers: [{name: other}, 5]}"}, "a container named worker"),
        (WorkKubernetes(work_type="x", allow_runtime_pod=True), {}, "no container image to run"),
    ],
)
def test_what_makes_no_pod_is_refused_at_once(action: WorkKubernetes, parameters: dict[str, str], problem: str) -> None:
    with pytest.raises(CommandError, match=problem) as caught:
        first_pod_status(action.work_type, parameters, action)
    assert "hush" not in str(caught.value)


def test_a_few_lines_of_yaml_that_stand_for_millions_of_values() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(CommandError, match="nested too deeply or has"):
        first_pod_status("pods", {"secret_kube_pod": "\n".join(lines)}, OPEN)
    with pytest.raises(CommandError):
        first_pod_status("pods", {"secret_kube_pod": "&a [*a]"}, OPEN)
    with pytest.raises(CommandError):
        first_pod_status("pods", {"secret_kube_pod": "spec: &a {a: *a}"}, OPEN)


def test_what_is_shared_by_an_anchor_is_there_twice() -> None:
    shared = "x: &e [{name: A, value: b}]\nspec: {containers: [{name: worker, env: *e}, {name: other, env: *e}]}"
    spec = json.loads(made(OPEN, secret_kube_pod=shared).named("p", "n"))["spec"]
    assert [one["env"] for one in spec["containers"]] == [[{"name": "A", "value": "b"}]] * 2


@pytest.mark.parametrize(
    ("metadata", "prefix"),
    [
        ("{name: automation-job-7}", "automation-job-7"),
        ("{generateName: mine-}", "mine"),
        ("{}", "pods"),
        ("{name: '-._'}", "worker"),
        ("{name: " + "x" * 300 + "}", "x" * 50),
    ],
)
def test_names_begin_as_their_author_wants(metadata: str, prefix: str) -> None:
    pod = made(OPEN, secret_kube_pod=f"metadata: {metadata}\nspec: {{containers: [{{name: worker}}]}}")
    assert pod.prefix == prefix
    assert "generateName" not in pod.metadata


def test_without_payload_there_is_no_stdin_and_variables_are_added() -> None:
    extra = PodExtra(kube_namespace="", kube_pod="spec: {containers: [{name: worker, stdin: true, env: [{name: A}]}]}")
    pod = pod_to_make(extra, "pods", has_payload=False, environment={"B": "1"})
    (worker,) = json.loads(pod.named("p", "n"))["spec"]["containers"]
    assert worker["stdin"] is worker["stdinOnce"] is False
    assert worker["env"] == [{"name": "A"}, {"name": "B", "value": "1"}]


def test_the_file_with_the_pod(tmp_path: Path) -> None:
    file = tmp_path / "pod.yml"
    action = WorkKubernetes(work_type="pods", pod=file)
    with pytest.raises(OperatingError, match=r"pod\.yml"):
        first_pod_status("pods", {}, action)
    file.write_text(POD)
    assert extra_of(first_pod_status("pods", {}, action)).kube_pod == POD


class TestTheStatus:
    EXTRA = PodExtra(kube_namespace="ours", kube_config="hush", kube_pod="hush", pod_name="p")
    STATUS = Status(state=State.RUNNING, detail="", stdout_size=0, work_type="pods", extra=EXTRA)

    def test_it_is_kept_whole_and_shown_without_secrets(self) -> None:
        assert decode_status(encode_status(self.STATUS)) == self.STATUS
        shown = answer(self.STATUS).extra
        assert shown == PodExtra(kube_namespace="ours", pod_name="p")

    def test_its_names_are_those_of_existing_nodes(self) -> None:
        extra = json.loads(encode_status(self.STATUS))["ExtraData"]
        expected = {"Image", "Command", "Params", "KubeNamespace", "KubeConfig", "KubePod", "PodName"}
        assert expected | {"PodPendingTimeout"} == set(extra)
