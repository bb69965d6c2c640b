"""The actions that name TLS settings, for others to refer to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from receptor.config import kinds
from receptor.config.keys import About, Action, written


@dataclass(frozen=True, slots=True)
class TlsServer(Action):
    """Settings of a side that accepts. ``client_cas`` None: the authorities that the system trusts."""

    about = About(
        "tls-server",
        "Names a certificate for what this node serves, and says which clients are trusted.",
        "- tls-server:\n    name: mesh\n    cert: /etc/receptor/tls/foo.crt\n    key: /etc/receptor/tls/foo.key\n"
        "    requireclientcert: true\n    clientcas: /etc/receptor/tls/ca.crt",
    )

    name: str = field(metadata=written("name", kinds.NAME, "What other actions call it."))
    certificate: Path = field(
        metadata=written("cert", kinds.PATH, "The certificate, with those that vouch for it after it (PEM)."),
    )
    key: Path = field(metadata=written("key", kinds.PATH, "Its private key (PEM)."))
    require_client_certificate: bool = field(
        default=False,
        metadata=written("requireclientcert", kinds.BOOLEAN, "Whether clients must show a certificate."),
    )
    client_cas: Path | None = field(
        default=None,
        metadata=written(
            "clientcas", kinds.PATH, "Who vouches for clients (PEM).", default="those that the system trusts"
        ),
    )
    pinned_client_certificates: frozenset[bytes] = field(
        default_factory=frozenset,
        metadata=written("pinnedclientcert", kinds.FINGERPRINTS, "The only clients accepted.", default="any"),
    )
    skip_names_check: bool = field(
        default=False,
        metadata=written("skipreceptornamescheck", kinds.BOOLEAN, "Whether the certificate may lack this node's id."),
    )
    only_tls_13: bool = field(
        default=False,
        metadata=written("mintls13", kinds.BOOLEAN, "Whether to refuse TLS 1.2."),
    )


@dataclass(frozen=True, slots=True)
class TlsClient(Action):
    """Settings of a side that dials. ``certificate`` None: it has none to show."""

    about = About(
        "tls-client",
        "Names what this node trusts and shows when it connects to others.",
        "- tls-client:\n    name: mesh\n    rootcas: /etc/receptor/tls/ca.crt\n"
        "    cert: /etc/receptor/tls/foo.crt\n    key: /etc/receptor/tls/foo.key",
    )

    name: str = field(metadata=written("name", kinds.NAME, "What other actions and 'tlsclient' call it."))
    certificate: Path | None = field(
        default=None,
        metadata=written("cert", kinds.PATH, "The certificate to show when asked (PEM).", default="none"),
    )
    key: Path | None = field(
        default=None, metadata=written("key", kinds.PATH, "Its private key (PEM).", default="none")
    )
    root_cas: Path | None = field(
        default=None,
        metadata=written(
            "rootcas", kinds.PATH, "Who vouches for servers (PEM).", default="those that the system trusts"
        ),
    )
    skip_verification: bool = field(
        default=False,
        metadata=written("insecureskipverify", kinds.BOOLEAN, "Whether to trust any server; never do so in earnest."),
    )
    pinned_server_certificates: frozenset[bytes] = field(
        default_factory=frozenset,
        metadata=written("pinnedservercert", kinds.FINGERPRINTS, "The only servers accepted.", default="any"),
    )
    skip_names_check: bool = field(
        default=False,
        metadata=written("skipreceptornamescheck", kinds.BOOLEAN, "Whether the certificate may lack this node's id."),
    )
    only_tls_13: bool = field(
        default=False,
        metadata=written("mintls13", kinds.BOOLEAN, "Whether to refuse TLS 1.2."),
    )
