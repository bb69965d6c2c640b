"""The actions that name TLS settings, for others to refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from receptor.config import kinds
from receptor.config.keys import About, Action, written


class TlsServer(Action, frozen=True):
    """Settings of a side that accepts. ``client_cas`` None: the authorities that the system trusts."""

    about = About(
        "tls-server",
        "Names a certificate for what this node serves, and says which clients are trusted.",
        "- tls-server:\n    name: mesh\n    cert: /etc/receptor/tls/foo.crt\n    key: /etc/receptor/tls/foo.key\n"
        "    requireclientcert: true\n    clientcas: /etc/receptor/tls/ca.crt",
    )

    name: Annotated[str, written("name", kinds.NAME, "What other actions call it.")]
    certificate: Annotated[
        Path, written("cert", kinds.PATH, "The certificate, with those that vouch for it after it (PEM).")
    ]
    key: Annotated[Path, written("key", kinds.PATH, "Its private key (PEM).")]
    require_client_certificate: Annotated[
        bool, written("requireclientcert", kinds.BOOLEAN, "Whether clients must show a certificate.")
    ] = False
    client_cas: Annotated[
        Path | None,
        written("clientcas", kinds.PATH, "Who vouches for clients (PEM).", default="those that the system trusts"),
    ] = None
    pinned_client_certificates: Annotated[
        frozenset[bytes], written("pinnedclientcert", kinds.FINGERPRINTS, "The only clients accepted.", default="any")
    ] = frozenset()
    skip_names_check: Annotated[
        bool, written("skipreceptornamescheck", kinds.BOOLEAN, "Whether the certificate may lack this node's id.")
    ] = False
    only_tls_13: Annotated[bool, written("mintls13", kinds.BOOLEAN, "Whether to refuse TLS 1.2.")] = False


class TlsClient(Action, frozen=True):
    """Settings of a side that dials. ``certificate`` None: it has none to show."""

    about = About(
        "tls-client",
        "Names what this node trusts and shows when it connects to others.",
        "- tls-client:\n    name: mesh\n    rootcas: /etc/receptor/tls/ca.crt\n"
        "    cert: /etc/receptor/tls/foo.crt\n    key: /etc/receptor/tls/foo.key",
    )

    name: Annotated[str, written("name", kinds.NAME, "What other actions and 'tlsclient' call it.")]
    certificate: Annotated[
        Path | None, written("cert", kinds.PATH, "The certificate to show when asked (PEM).", default="none")
    ] = None
    key: Annotated[Path | None, written("key", kinds.PATH, "Its private key (PEM).", default="none")] = None
    root_cas: Annotated[
        Path | None,
        written("rootcas", kinds.PATH, "Who vouches for servers (PEM).", default="those that the system trusts"),
    ] = None
    skip_verification: Annotated[
        bool, written("insecureskipverify", kinds.BOOLEAN, "Whether to trust any server; never do so in earnest.")
    ] = False
    pinned_server_certificates: Annotated[
        frozenset[bytes], written("pinnedservercert", kinds.FINGERPRINTS, "The only servers accepted.", default="any")
    ] = frozenset()
    skip_names_check: Annotated[
        bool, written("skipreceptornamescheck", kinds.BOOLEAN, "Whether the certificate may lack this node's id.")
    ] = False
    only_tls_13: Annotated[bool, written("mintls13", kinds.BOOLEAN, "Whether to refuse TLS 1.2.")] = False
