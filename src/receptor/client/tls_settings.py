"""How to trust a control service that listens with TLS, and how to show it who we are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receptor.client.configuration_file import read_actions
from receptor.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True)
class TlsSettings:
    """File names and choices of a ``tls-client``; an empty name means none.

    ``rootcas`` replaces the authorities that the system trusts. ``pinnedservercert`` holds SHA-256 or SHA-512
    fingerprints as hex digits, with or without colons; the server's certificate must match one of them.
    """

    rootcas: str = ""
    cert: str = ""
    key: str = ""
    insecureskipverify: bool = False
    mintls13: bool = False
    pinnedservercert: tuple[str, ...] = ()

    def context(self) -> ssl.SSLContext:
        """The TLS context for these settings; raises ConfigurationError if a file can't be used."""
        import ssl

        if self.key and not self.cert:
            raise ConfigurationError(f"there is a TLS key ({self.key}) but no certificate; give both")
        self._check_files()
        try:
            context = ssl.create_default_context(cafile=self.rootcas or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except ssl.SSLError as error:
            names = ", ".join(name for name in (self.rootcas, self.cert, self.key) if name)
            raise ConfigurationError(
                f"TLS can't use the files {names}: {error.reason or error}; they must be PEM, and the key must "
                "belong to the certificate"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_3 if self.mintls13 else ssl.TLSVersion.TLSv1_2
        if self.insecureskipverify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def accepts(self, certificate: bytes) -> bool:
        """Whether the server's certificate (DER) matches a pinned fingerprint, or none is asked for."""
        import hashlib

        seen = {hashlib.sha256(certificate).hexdigest(), hashlib.sha512(certificate).hexdigest()}
        wanted = {pin.replace(":", "").lower() for pin in self.pinnedservercert}
        return not wanted or bool(seen & wanted)

    def _check_files(self) -> None:
        for option, name in (("rootcas", self.rootcas), ("cert", self.cert), ("key", self.key)):
            if name:
                try:
                    open(name, "rb").close()
                except OSError as error:
                    raise ConfigurationError(
                        f"can't read the TLS file {name} ({option}): {error.strerror}; correct its name or permissions"
                    ) from error


def read_tls_client(file: str, name: str) -> TlsSettings:
    """The ``tls-client`` of that name in a node's configuration file, of either shape (list or map).

    Raises ConfigurationError if the file can't be read or has no such client.
    """
    try:
        clients = read_actions(file, "tls-client")
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; correct --config") from error
    for client in clients:
        if client.get("name") == name:
            return _settings(client, f"{file}: tls-client {name}")
    known = ", ".join(str(client.get("name")) for client in clients) or "there is none"
    raise ConfigurationError(f"{file}: no tls-client is named {name} ({known}); correct --tls-client")


def _settings(client: Mapping[str, object], where: str) -> TlsSettings:
    return TlsSettings(
        rootcas=_text(client, "rootcas", where),
        cert=_text(client, "cert", where),
        key=_text(client, "key", where),
        insecureskipverify=_flag(client, "insecureskipverify", where),
        mintls13=_flag(client, "mintls13", where),
        pinnedservercert=_texts(client, "pinnedservercert", where),
    )


def _text(client: Mapping[str, object], key: str, where: str) -> str:
    value = client.get(key)
    if value is None or isinstance(value, str):
        return value or ""
    raise ConfigurationError(f"{where}: {key} must be a file name")


def _flag(client: Mapping[str, object], key: str, where: str) -> bool:
    value = client.get(key)
    if value is None or isinstance(value, bool):
        return value or False
    raise ConfigurationError(f"{where}: {key} must be true or false")


def _texts(client: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = client.get(key) or []
    values = value if isinstance(value, list) else [value]
    if all(isinstance(item, str) for item in values):
        return tuple(str(item) for item in values)
    raise ConfigurationError(f"{where}: {key} must be a list of fingerprints in quotes")
