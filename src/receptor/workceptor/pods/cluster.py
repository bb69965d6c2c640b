"""Which cluster, and who this node is to it: from a kubeconfig, or as a pod of that cluster.

Reads files: for worker threads. A kubeconfig that a submitter gave may neither name files of this machine, whose
contents would be sent to a server of the submitter's, nor commands to run here; one of the operator's may.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import yaml

from receptor.errors import OperatingError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEFAULT_NAMESPACE = "default"
COMMAND_TIME = 30.0
"""Seconds that a command has that makes a token."""

_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class _Cluster(msgspec.Struct, frozen=True, rename="kebab"):
    server: str
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class _Variable(msgspec.Struct, frozen=True):
    name: str
    value: str


class _Exec(msgspec.Struct, frozen=True, rename="camel"):
    command: str
    api_version: str
    args: list[str] | None = None
    env: list[_Variable] | None = None


class _User(msgspec.Struct, frozen=True, rename="kebab"):
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    username: str = ""
    password: str = ""
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec: _Exec | None = None
    auth_provider: msgspec.Raw | None = None


class _Context(msgspec.Struct, frozen=True):
    cluster: str
    user: str = ""
    namespace: str = ""


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: _User


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: _Context


class _KubeConfig(msgspec.Struct, frozen=True, rename="kebab"):
    clusters: list[_NamedCluster]
    contexts: list[_NamedContext]
    current_context: str
    users: list[_NamedUser] | None = None


class _ExecStatus(msgspec.Struct, frozen=True):
    token: str = ""


class _ExecCredential(msgspec.Struct, frozen=True):
    status: _ExecStatus


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the API server is and how to be let in. ``server_name`` is empty if its certificate has its address."""

    server: str
    namespace: str
    tls: ssl.SSLContext | None = field(repr=False)
    server_name: str = ""
    proxy: str = field(default="", repr=False)
    basic: str = field(default="", repr=False)
    _token: str = field(default="", repr=False)
    _token_file: Path | None = None
    _token_command: _Exec | None = field(default=None, repr=False)

    def authorization(self) -> str:
        """The header that says who asks, empty if there is none; read anew, as tokens are replaced in their files.

        Raises OperatingError if the file can't be read, or the command makes none.
        """
        if self._token_file is not None:
            return f"Bearer {_read(self._token_file).decode().strip()}"
        if self._token_command is not None:
            return f"Bearer {_token_of(self._token_command)}"
        return f"Bearer {self._token}" if self._token else self.basic


def in_cluster(folder: Path = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that this node is itself a pod of. Raises OperatingError if it is none."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise OperatingError(
            "this node is no pod of a cluster (KUBERNETES_SERVICE_HOST is not set); set another 'authmethod'"
        )
    context = ssl.create_default_context(cadata=_read(folder / "ca.crt").decode())
    namespace = _read(folder / "namespace").decode().strip()
    host = f"[{host}]" if ":" in host else host
    return Cluster(f"https://{host}:{port}", namespace, context, _token_file=folder / "token")


def of_file(path: Path | None) -> Cluster:
    """The cluster of the operator's kubeconfig, by default that of kubectl. Raises OperatingError."""
    if path is None:
        path = Path(os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or "~/.kube/config").expanduser()
    return of_kubeconfig(_read(path).decode(errors="replace"), str(path), path.parent)


def of_kubeconfig(text: str, what: str = "secret_kube_config", folder: Path | None = None) -> Cluster:
    """The cluster of the current context. Without a ``folder`` for the files that it names, it may name none.

    Raises OperatingError, which begins with ``what`` and shows nothing secret.
    """
    try:
        config = msgspec.convert(yaml.safe_load(text), _KubeConfig)
        context = next(one.context for one in config.contexts if one.name == config.current_context)
        cluster = next(one.cluster for one in config.clusters if one.name == context.cluster)
        user = next((one.user for one in config.users or () if one.name == context.user), _User())
    except msgspec.ValidationError as error:
        raise OperatingError(f"{what} is no kubeconfig: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise OperatingError(f"{what} is no kubeconfig: it is not YAML") from None
    except StopIteration:
        raise OperatingError(f"{what}: there is no current-context, or its cluster is not there") from None
    files = (cluster.certificate_authority, user.token_file, user.client_certificate, user.client_key)
    if folder is None and (any(files) or user.exec):
        raise OperatingError(f"{what} names files or commands, which a submitter may not; give their contents")
    if user.auth_provider is not None:
        raise OperatingError(f"{what} uses an auth-provider, which is not supported; give a token or 'exec'")
    if urlsplit(cluster.server).scheme not in ("http", "https"):
        raise OperatingError(f"{what}: 'server' must be a URL that begins with https://")
    folder = folder or Path()
    return Cluster(
        server=cluster.server.rstrip("/"),
        namespace=context.namespace or DEFAULT_NAMESPACE,
        tls=_context(cluster, user, folder, what),
        server_name=cluster.tls_server_name,
        proxy=cluster.proxy_url,
        basic=_basic(user),
        _token=user.token,
        _token_file=folder / user.token_file if user.token_file else None,
        _token_command=user.exec,
    )


def _context(cluster: _Cluster, user: _User, folder: Path, what: str) -> ssl.SSLContext | None:
    if not cluster.server.startswith("https"):
        return None
    try:
        authority = _content(cluster.certificate_authority_data, cluster.certificate_authority, folder)
        context = ssl.create_default_context(cadata=authority.decode() or None)
        if cluster.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate = _content(user.client_certificate_data, user.client_certificate, folder)
        if certificate:
            with tempfile.NamedTemporaryFile() as file:  # OpenSSL takes only files; nobody else may read this one.
                file.write(certificate + b"\n" + _content(user.client_key_data, user.client_key, folder))
                file.flush()
                context.load_cert_chain(file.name)
    except (ssl.SSLError, binascii.Error, UnicodeDecodeError):
        raise OperatingError(f"{what}: its certificates or their key can't be read; they must be PEM") from None
    return context


def _content(data: str, name: str, folder: Path) -> bytes:
    if data or not name:
        return base64.b64decode(data, validate=True)
    return _read(folder / name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatingError(f"{path} can't be read, and is needed for the cluster: {error.strerror}") from None


def _basic(user: _User) -> str:
    return f"Basic {base64.b64encode(f'{user.username}:{user.password}'.encode()).decode()}" if user.username else ""


def _token_of(command: _Exec) -> str:
    """What a credential plugin answers (client.authentication.k8s.io)."""
    if command.api_version not in _EXEC_VERSIONS:
        raise OperatingError(f"{command.command}: apiVersion must be one of {', '.join(_EXEC_VERSIONS)}")
    info = {"apiVersion": command.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {**os.environ, **{one.name: one.value for one in command.env or ()}}
    environment["KUBERNETES_EXEC_INFO"] = msgspec.json.encode(info).decode()
    try:
        done = subprocess.run(
            [command.command, *(command.args or ())], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=COMMAND_TIME, check=True,
        )  # fmt: skip
        token = msgspec.json.decode(done.stdout, type=_ExecCredential).status.token
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        # Not its words: they may be the token.
        raise OperatingError(f"{command.command} made no token for the cluster ({type(error).__name__})") from None
    if not token:
        raise OperatingError(f"{command.command} made no token for the cluster; others than tokens are not supported")
    return token
