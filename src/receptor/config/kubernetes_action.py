"""The action for work that runs in the pods of a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

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


class WorkKubernetes(Action, frozen=True):
    """A work type that runs in pods."""

    about = About(
        "work-kubernetes",
        "Defines a type of work that runs in pods of a Kubernetes cluster.",
        "- work-kubernetes:\n    worktype: pods\n    authmethod: incluster\n    namespace: work\n    image: busybox\n"
        "    command: sort",
    )

    work_type: Annotated[str, written("worktype", kinds.WORK_TYPE, "The name under which work is submitted.")]
    auth_method: Annotated[str, written("authmethod", _one_of(_AUTH_METHODS), "Who this node is to the cluster.")] = (
        "incluster"
    )
    kubeconfig: Annotated[
        Path | None,
        written("kubeconfig", kinds.PATH, "The file for 'authmethod: kubeconfig'.", default="as for kubectl"),
    ] = None
    namespace: Annotated[
        str, written("namespace", kinds.TEXT, "Where pods are made.", default="what the authentication names")
    ] = ""
    image: Annotated[str, written("image", kinds.TEXT, "The image of the pod's container.")] = ""
    command: Annotated[
        str,
        written(
            "command", kinds.TEXT, "What the container runs, split as a shell does.", default="what the image says"
        ),
    ] = ""
    params: Annotated[str, written("params", kinds.TEXT, "Arguments of that command, split as a shell does.")] = ""
    pod: Annotated[Path | None, written("pod", kinds.PATH, "YAML or JSON of a whole pod, instead of these three.")] = (
        None
    )
    allow_runtime_auth: Annotated[
        bool, written("allowruntimeauth", kinds.BOOLEAN, "Whether submitters may name cluster and namespace.")
    ] = False
    allow_runtime_command: Annotated[
        bool, written("allowruntimecommand", kinds.BOOLEAN, "Whether submitters may name image and command.")
    ] = False
    allow_runtime_params: Annotated[
        bool, written("allowruntimeparams", kinds.BOOLEAN, "Whether they may add arguments, and limit the wait.")
    ] = False
    allow_runtime_pod: Annotated[
        bool, written("allowruntimepod", kinds.BOOLEAN, "Whether submitters may give a whole pod.")
    ] = False
    delete_pod_on_restart: Annotated[
        bool, written("deletepodonrestart", kinds.BOOLEAN, "Whether a restart gives up pods that don't run yet.")
    ] = True
    stream_method: Annotated[
        str, written("streammethod", _one_of(_STREAM_METHODS), "How payload and output get to and from the pod.")
    ] = "logger"
    verify_signature: Annotated[
        bool, written("verifysignature", kinds.BOOLEAN, "Whether work from other nodes or over TCP must be signed.")
    ] = False

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
