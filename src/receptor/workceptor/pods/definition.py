"""From what is asked for to the pod: the first status of a unit, and what the cluster is told to make."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

import msgspec
import yaml

from receptor.config.kubernetes_action import WorkKubernetes
from receptor.durations import parse_duration
from receptor.errors import CommandError, OperatingError
from receptor.workceptor.environment import SECRET_ENV
from receptor.workceptor.pods.pod import WORKER
from receptor.workceptor.receiving import WAITING_FOR_PAYLOAD
from receptor.workceptor.status import PodExtra, State, Status

Definition = dict[str, object]
"""A pod as its author wrote it. Most of it is for the cluster to understand."""

_LARGEST_DEFINITION = 100_000
"""Values in it; a few lines of YAML can stand for any number."""
_LONGEST_PREFIX = 50
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def first_pod_status(work_type: str, parameters: Mapping[str, str], action: WorkKubernetes) -> Status:
    """The status of a new unit in a pod. Reads the file that 'pod' names, so it is for a worker thread.

    Raises CommandError if the action doesn't allow the parameters or they make no pod, OperatingError for the file.
    """
    given = _allowed(parameters, action)
    definition = given.get("secret_kube_pod", "")
    _check(definition, given, action)
    if not definition and action.pod:
        try:
            definition = action.pod.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise OperatingError(f"{action.pod}, the pod of this work type, can't be read: {error}") from None
    extra = PodExtra(
        image="" if definition else given.get("kube_image", action.image),
        command="" if definition else given.get("kube_command", action.command),
        params="" if definition else f"{action.params} {given.get('kube_params', '')}".strip(),
        kube_namespace=given.get("kube_namespace", action.namespace),
        kube_config=given.get("secret_kube_config", ""),
        kube_pod=definition,
        pod_pending_timeout=given.get("pod_pending_timeout", ""),
    )
    pod_to_make(extra, work_type, has_payload=True)
    return Status(state=State.PENDING, detail=WAITING_FOR_PAYLOAD, stdout_size=0, work_type=work_type, extra=extra)


def _allowed(parameters: Mapping[str, str], action: WorkKubernetes) -> dict[str, str]:
    allowed = {
        "kube_command": action.allow_runtime_command,
        "kube_image": action.allow_runtime_command,
        "kube_params": action.allow_runtime_params,
        "kube_namespace": action.allow_runtime_auth,
        "secret_kube_config": action.allow_runtime_auth,
        "secret_kube_pod": action.allow_runtime_pod,
        "pod_pending_timeout": action.allow_runtime_params,
    }
    if parameters.get(SECRET_ENV):
        raise CommandError(
            f"{SECRET_ENV} provided but not allowed: work type {action.work_type} runs in pods, whose variables are no"
            " secret; name a secret of the cluster in secret_kube_pod"
        )
    given = {name: parameters[name] for name in allowed if parameters.get(name)}
    for name in given:
        if not allowed[name]:
            raise CommandError(f"{name} provided but not allowed: work type {action.work_type} does not take it")
    return given


def _check(definition: str, given: Mapping[str, str], action: WorkKubernetes) -> None:
    if action.auth_method == "runtime" and "secret_kube_config" not in given:
        raise CommandError(f"param secret_kube_config must be provided: work type {action.work_type} has no other")
    if definition and not given.keys().isdisjoint({"kube_command", "kube_image", "kube_params"}):
        raise CommandError(
            "params kube_command, kube_image, kube_params not compatible with secret_kube_pod; give either"
        )
    try:
        seconds = parse_duration(given.get("pod_pending_timeout", "1s"))
    except ValueError as error:
        raise CommandError(f"pod_pending_timeout: {error}") from None
    if seconds <= 0:
        raise CommandError("pod_pending_timeout must be more than 0")


class PodToMake(msgspec.Struct, frozen=True):
    """A pod but for its name, which is to begin with ``prefix``; ``namespace`` is empty if its author names none."""

    prefix: str
    namespace: str
    metadata: Definition
    spec: Definition

    def named(self, name: str, namespace: str) -> bytes:
        """What to send to the cluster."""
        metadata = {**self.metadata, "name": name, "namespace": namespace}
        return msgspec.json.encode({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.spec})


def pod_to_make(
    extra: PodExtra, work_type: str, *, has_payload: bool, environment: Mapping[str, str] | None = None
) -> PodToMake:
    """The pod of a unit; its worker gets ``environment`` too. Raises CommandError if it can't be one.

    Without payload the worker gets no stdin, so that it finds its end at once.
    """
    pod = _parsed(extra.kube_pod) if extra.kube_pod else _simple_pod(extra)
    spec, metadata = pod.get("spec"), pod.get("metadata") or {}
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(containers, list) or not isinstance(metadata, dict):
        raise CommandError("the pod definition must have spec.containers, a list")
    ours = next((one for one in containers if isinstance(one, dict) and one.get("name") == WORKER), None)
    if ours is None:
        raise CommandError(f"the pod definition must have a container named {WORKER}")
    worker = {**ours, "stdin": has_payload, "stdinOnce": has_payload, "tty": False}
    if environment:
        variables = [{"name": name, "value": value} for name, value in environment.items()]
        worker["env"] = [*(worker.get("env") or ()), *variables]
    containers = [worker if one is ours else one for one in containers]
    return PodToMake(
        prefix=_prefix(str(metadata.get("name") or metadata.get("generateName") or work_type)),
        namespace=str(metadata.get("namespace") or ""),
        metadata={key: value for key, value in metadata.items() if key != "generateName"},
        spec={**spec, "containers": containers, "restartPolicy": "Never"},
    )


def _prefix(text: str) -> str:
    """The beginning of a name as the cluster takes it."""
    return _NOT_IN_NAMES.sub("-", text.lower()).strip("-")[:_LONGEST_PREFIX].rstrip("-") or WORKER


def _simple_pod(extra: PodExtra) -> Definition:
    if not extra.image:
        raise CommandError("there is no container image to run; give kube_image or secret_kube_pod")
    try:
        command, arguments = shlex.split(extra.command), shlex.split(extra.params)
    except ValueError as error:
        raise CommandError(f"the command or its parameters can't be split into words: {error}") from None
    container: dict[str, object] = {"name": WORKER, "image": extra.image}
    if command:
        container["command"] = command
    if arguments:
        container["args"] = arguments
    return {"spec": {"containers": [container]}}


def _parsed(text: str) -> Definition:
    try:
        parsed = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        # Not its words: they may show a part of what is secret.
        raise CommandError("the pod definition is neither YAML nor JSON") from None
    if not isinstance(parsed, dict) or parsed.get("kind", "Pod") != "Pod":
        raise CommandError("the pod definition must be one Pod, in YAML or JSON")
    try:
        size = _count(parsed, 0)
    except RecursionError:
        size = _LARGEST_DEFINITION
    if size >= _LARGEST_DEFINITION:
        raise CommandError(f"the pod definition is nested too deeply or has {_LARGEST_DEFINITION} values or more")
    try:
        msgspec.json.encode(parsed)
    except (TypeError, ValueError, OverflowError) as error:
        raise CommandError(f"the pod definition has values that JSON does not know ({type(error).__name__})") from None
    return parsed


def _count(value: object, before: int) -> int:
    """How many values there are, those before included; not counted any further once there are too many."""
    before += 1
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        if before >= _LARGEST_DEFINITION:
            break
        before = _count(part, before)
    return before
