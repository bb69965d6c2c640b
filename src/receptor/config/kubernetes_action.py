"""The action for work that runs in the pods of a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from receptor.config import kinds
from receptor.config.keys import About, Action, written
from receptor.config.kind import Kind, one_of

_AUTH_METHODS = ("incluster", "kubeconfig", "runtime")
_STREAM_METHODS = ("logger", "tcp")


def _one_of(choices: tuple[str, ...]) -> Kind:
    def read(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError
        return text.lower()

    return Kind(f"{', '.join(choices[:-1])} or {choices[-1]}", read, schema=one_of(choices))


@dataclass(frozen=True, slots=True)
class WorkKubernetes(Action):
    """A work type that runs in pods."""

    about = About(
        "work-kubernetes",
        "Defines a type of work that runs in pods of a Kubernetes cluster.",
        "- work-kubernetes:\n    worktype: pods\n    authmethod: incluster\n    namespace: work\n    image: busybox\n"
        "    command: sort",
    )

    work_type: str = field(
        metadata=written("worktype", kinds.WORK_TYPE, "The name under which work is submitted."),
    )
    auth_method: str = field(
        default="incluster",
        metadata=written("authmethod", _one_of(_AUTH_METHODS), "Who this node is to the cluster."),
    )
    kubeconfig: Path | None = field(
        default=None,
        metadata=written("kubeconfig", kinds.PATH, "The file for 'authmethod: kubeconfig'.", default="as for kubectl"),
    )
    namespace: str = field(
        default="",
        metadata=written("namespace", kinds.TEXT, "Where pods are made.", default="what the authentication names"),
    )
    image: str = field(
        default="",
        metadata=written("image", kinds.TEXT, "The image of the pod's container."),
    )
    command: str = field(
        default="",
        metadata=written(
            "command", kinds.TEXT, "What the container runs, split as a shell does.", default="what the image says"
        ),
    )
    params: str = field(
        default="",
        metadata=written("params", kinds.TEXT, "Arguments of that command, split as a shell does."),
    )
    pod: Path | None = field(
        default=None,
        metadata=written("pod", kinds.PATH, "YAML or JSON of a whole pod, instead of these three."),
    )
    allow_runtime_auth: bool = field(
        default=False,
        metadata=written("allowruntimeauth", kinds.BOOLEAN, "Whether submitters may name cluster and namespace."),
    )
    allow_runtime_command: bool = field(
        default=False,
        metadata=written("allowruntimecommand", kinds.BOOLEAN, "Whether submitters may name image and command."),
    )
    allow_runtime_params: bool = field(
        default=False,
        metadata=written("allowruntimeparams", kinds.BOOLEAN, "Whether they may add arguments, and limit the wait."),
    )
    allow_runtime_pod: bool = field(
        default=False,
        metadata=written("allowruntimepod", kinds.BOOLEAN, "Whether submitters may give a whole pod."),
    )
    delete_pod_on_restart: bool = field(
        default=True,
        metadata=written("deletepodonrestart", kinds.BOOLEAN, "Whether a restart gives up pods that don't run yet."),
    )
    stream_method: str = field(
        default="logger",
        metadata=written("streammethod", _one_of(_STREAM_METHODS), "How payload and output get to and from the pod."),
    )
    verify_signature: bool = field(
        default=False,
        metadata=written("verifysignature", kinds.BOOLEAN, "Whether work from other nodes or over TCP must be signed."),
    )

    def mistakes(self) -> Iterator[str]:
        """What is wrong with the keys taken together, and what this machine lacks for them."""
        if self.kubeconfig and self.auth_method != "kubeconfig":
            yield "work-kubernetes takes 'kubeconfig' only with 'authmethod: kubeconfig'"
        if self.auth_method == "runtime" and not self.allow_runtime_auth:
            yield "work-kubernetes with 'authmethod: runtime' needs 'allowruntimeauth: true'"
        if self.pod and (self.image or self.command or self.params):
            yield "work-kubernetes takes either 'pod' or 'image', 'command' and 'params'"
        if not (self.pod or self.image or self.allow_runtime_command or self.allow_runtime_pod):
            yield "work-kubernetes has nothing to run; add 'image' or 'pod', or let submitters name it"
        for file in (self.kubeconfig, self.pod):
            if file and not file.is_file():
                yield f"work-kubernetes names the file {file}, which is not there"
        if find_spec("aiohttp") is None:
            yield "work-kubernetes needs the package aiohttp; install it with: pip install 'pyreceptor[kubernetes]'"
