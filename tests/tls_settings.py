"""TLS settings of nodes in tests, made of files in a folder."""

from __future__ import annotations

from pathlib import Path

from certificates_bench import Authority

from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.tls.profiles import TlsProfiles

CA = Authority("test CA")


def profiles(folder: Path, node_id: str) -> TlsProfiles:
    """A tls-server ``own`` with the names of this machine and the node's id, and a tls-client ``own`` that shows it."""
    files = CA.issue(node_ids=[node_id], dns=["localhost"], ips=["127.0.0.1"]).write(folder, f"tls-{node_id}")
    ca = CA.write(folder)
    server = TlsServer(
        name="own", certificate=files.certificate, key=files.key, require_client_certificate=True, client_cas=ca
    )
    client = TlsClient(name="own", certificate=files.certificate, key=files.key, root_cas=ca)
    stranger = TlsClient(name="nobody", root_cas=ca)
    return TlsProfiles([server], [client, stranger], node_id)
