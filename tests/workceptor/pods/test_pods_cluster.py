"""Which cluster a kubeconfig means, and who this node is to it."""

from __future__ import annotations

import asyncio
import base64
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from certificates_bench import CLIENT, LOCAL_DNS, LOCAL_IPS, SERVER, Authority

from receptor.errors import OperatingError, UnreachableError
from receptor.workceptor.pods.api import Api
from receptor.workceptor.pods.cluster import in_cluster, of_file, of_kubeconfig
from receptor.workceptor.pods.problems import Refused


def kubeconfig(
    user: Mapping[str, object],
    cluster: Mapping[str, object] | None = None,
    server: str = "http://s",
    more: Mapping[str, object] | None = None,
) -> str:
    return yaml.safe_dump(
        {
            "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
            "users": [{"name": "u", "user": dict(user)}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
            **(more or {}),
        }
    )


def test_tokens_and_passwords() -> None:
    assert of_kubeconfig(kubeconfig({"token": "hush"})).authorization() == "Bearer hush"
    basic = of_kubeconfig(kubeconfig({"username": "me", "password": "hush"})).authorization()
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"me:hush"
    assert of_kubeconfig(kubeconfig({})).authorization() == ""


def test_nothing_secret_is_shown() -> None:
    user = {"token": "hush", "username": "hush", "password": "hush"}
    assert "hush" not in repr(of_kubeconfig(kubeconfig(user, {"proxy-url": "http://me:hush@p"})))


@pytest.mark.parametrize("namespace", ["", "theirs"])
def test_the_namespace_of_the_context(namespace: str) -> None:
    contexts = [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}]
    assert of_kubeconfig(kubeconfig({}, more={"contexts": contexts})).namespace == (namespace or "default")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no kubeconfig"),
        ("hush: [", "it is not YAML"),
        ("clusters: [hush]", "is no kubeconfig"),
        (kubeconfig({"token": {"hush": 1}}), "is no kubeconfig"),
        (kubeconfig({}, more={"current-context": "hush"}), "there is no current-context"),
        (kubeconfig({}, more={"clusters": []}), "its cluster is not there"),
        (kubeconfig({"auth-provider": {"name": "hush"}}), "auth-provider"),
        (kubeconfig({}, server="hush"), "must be a URL"),
        (kubeconfig({}, {"certificate-authority-data": "hush!"}, "https://s"), "can't be read"),
        (kubeconfig({}, {"certificate-authority-data": "aHVzaA=="}, "https://s"), "can't be read"),
    ],
)
def test_what_can_not_be_understood_is_told_without_being_shown(text: str, problem: str) -> None:
    with pytest.raises(OperatingError, match=problem) as caught:
        of_kubeconfig(text)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"tokenFile": "/etc/shadow"}, {}),
        ({"client-certificate": "/etc/x", "client-key": "/etc/y"}, {}),
        ({"exec": {"command": "touch", "args": ["x"], "apiVersion": "client.authentication.k8s.io/v1"}}, {}),
        ({}, {"certificate-authority": "/etc/x"}),
    ],
)
def test_submitters_may_name_neither_files_nor_commands(user: dict[str, object], cluster: dict[str, object]) -> None:
    with pytest.raises(OperatingError, match="names files or commands"):
        of_kubeconfig(kubeconfig(user, cluster))


class TestTheOperatorsFile:
    def test_a_token_file_beside_it_is_read_anew(self, tmp_path: Path) -> None:
        (tmp_path / "config").write_text(kubeconfig({"tokenFile": "token"}))
        cluster = of_file(tmp_path / "config")
        with pytest.raises(OperatingError, match="token"):
            cluster.authorization()
        for token in ("one", "two"):
            (tmp_path / "token").write_text(f"{token}\n")
            assert cluster.authorization() == f"Bearer {token}"

    def test_it_is_where_kubectl_looks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "config"
        monkeypatch.setenv("KUBECONFIG", f"{file}:/other")
        with pytest.raises(OperatingError, match="config"):
            of_file(None)
        file.write_text(kubeconfig({"token": "t"}))
        assert of_file(None).authorization() == "Bearer t"

    @pytest.mark.parametrize(
        ("answer", "outcome"),
        [
            ('{"status": {"token": "made"}}', "Bearer made"),
            ('{"status": {}}', "others than tokens"),
            ("hush", "made no token"),
        ],
    )
    def test_commands_that_make_tokens(self, tmp_path: Path, answer: str, outcome: str) -> None:
        script = f"import os; assert os.environ['KUBERNETES_EXEC_INFO'] and os.environ['A'] == 'b'; print({answer!r})"
        command = {
            "apiVersion": "client.authentication.k8s.io/v1beta1", "command": sys.executable, "args": ["-c", script],
            "env": [{"name": "A", "value": "b"}],
        }  # fmt: skip
        (tmp_path / "config").write_text(kubeconfig({"exec": command}))
        cluster = of_file(tmp_path / "config")
        if outcome.startswith("Bearer"):
            assert cluster.authorization() == outcome
        else:
            with pytest.raises(OperatingError, match=outcome) as caught:
                cluster.authorization()
            assert "hush" not in str(caught.value)

    def test_commands_that_speak_another_version_or_are_not_there(self, tmp_path: Path) -> None:
        for version, problem in (("client.authentication.k8s.io/v1", "made no token"), ("v7", "apiVersion")):
            command = {"apiVersion": version, "command": str(tmp_path / "missing")}
            (tmp_path / "config").write_text(kubeconfig({"exec": command}))
            with pytest.raises(OperatingError, match=problem):
                of_file(tmp_path / "config").authorization()


class TestInTheCluster:
    def test_the_service_account(self, tmp_path: Path) -> None:
        for name, text in {"token": "t1", "namespace": "ours\n"}.items():
            (tmp_path / name).write_text(text)
        Authority().write(tmp_path)
        environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
        cluster = in_cluster(tmp_path, environment)
        assert (cluster.server, cluster.namespace) == ("https://[fd00::1]:6443", "ours")
        assert cluster.authorization() == "Bearer t1"

    def test_elsewhere(self, tmp_path: Path) -> None:
        with pytest.raises(OperatingError, match="no pod of a cluster"):
            in_cluster(tmp_path, {})
        with pytest.raises(OperatingError, match=r"ca\.crt"):
            in_cluster(tmp_path, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


@asynccontextmanager
async def secure_server(context: ssl.SSLContext) -> AsyncIterator[str]:
    async def get(request: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": request.headers.get("Authorization", "nobody")}})

    application = web.Application()
    application.router.add_get("/api/v1/namespaces/ours/pods/p", get)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class TestTls:
    def test_a_client_certificate_and_an_authority_within_the_kubeconfig(self, tmp_path: Path) -> None:
        authority = Authority()
        server = authority.issue(dns=LOCAL_DNS, ips=LOCAL_IPS, usages=[SERVER])
        client = authority.issue(usages=[CLIENT])
        written = server.write(tmp_path, "server")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(written.certificate, written.key)

        async def main() -> None:
            async with secure_server(context) as url:
                trusting = {"certificate-authority-data": encoded(authority.pem)}
                user = {"client-certificate-data": encoded(client.pem), "client-key-data": encoded(client.key_pem)}
                assert await name_told_by(kubeconfig({**user, "token": "t"}, trusting, url)) == "Bearer t"
                with pytest.raises(UnreachableError):
                    await name_told_by(kubeconfig({}, trusting, url))
                with pytest.raises(Refused, match="certificate"):
                    await name_told_by(kubeconfig(user, {}, url))
                careless = {"insecure-skip-tls-verify": True}
                assert await name_told_by(kubeconfig(user, careless, url)) == "nobody"

        asyncio.run(main())

    def test_another_name_in_the_servers_certificate(self, tmp_path: Path) -> None:
        authority = Authority()
        written = authority.issue(dns=["kube.example"], usages=[SERVER]).write(tmp_path, "server")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(written.certificate, written.key)

        async def main() -> None:
            async with secure_server(context) as url:
                trusting = {"certificate-authority-data": encoded(authority.pem)}
                with pytest.raises(Refused):
                    await name_told_by(kubeconfig({}, trusting, url))
                assert await name_told_by(kubeconfig({}, {**trusting, "tls-server-name": "kube.example"}, url))

        asyncio.run(main())


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def name_told_by(config: str) -> str:
    api = Api(of_kubeconfig(config))
    try:
        pod = await api.get("ours", "p")
        assert pod is not None
        return pod.metadata.name
    finally:
        await api.close()


@pytest.mark.parametrize("namespace", ["", "..", "a/b", "A", "a?b", "-a", "a" * 64])
def test_a_namespace_leads_nowhere_else(namespace: str) -> None:
    async def main() -> None:
        api = Api(of_kubeconfig(kubeconfig({})))
        try:
            with pytest.raises(Refused, match="no name"):
                await api.get(namespace, "p")
        finally:
            await api.close()

    asyncio.run(main())
