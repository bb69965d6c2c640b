"""Node ids in certificates: subjectAltNames of type otherName (RFC 5280, section 4.2.1.6) with Receptor's own OID."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509

NODE_ID = x509.ObjectIdentifier("1.3.6.1.4.1.2312.19.1")
"""The type of an otherName whose value is a node id."""

_UTF8_STRING = 0x0C
_ENCODINGS = {_UTF8_STRING: "utf-8", 0x13: "ascii", 0x16: "ascii"}
"""How to read a value by its ASN.1 tag: UTF8String as Receptor writes it, PrintableString, IA5String."""

_LONG_LENGTH = 0x80


def node_ids(named: x509.Certificate | x509.CertificateSigningRequest) -> tuple[str, ...]:
    """The node ids in a certificate or a request, in its order; none if it has no subject alternative names.

    Other kinds of names, and otherNames of other types, are left out. Raises ValueError if an extension or a node
    id is malformed: who must know the certificate's owner trusts none of it then.
    """
    found = (node_id_of(name) for name in alternative_names(named))
    return tuple(node_id for node_id in found if node_id is not None)


def node_id_of(name: x509.GeneralName) -> str | None:
    """The node id that this name is, None if it is another kind of name; raises ValueError if it is malformed."""
    if isinstance(name, x509.OtherName) and name.type_id == NODE_ID:
        return _decode(name.value)
    return None


def alternative_names(named: x509.Certificate | x509.CertificateSigningRequest) -> tuple[x509.GeneralName, ...]:
    """All subject alternative names, in their order; raises ValueError if an extension is malformed."""
    try:
        return tuple(extensions_of(named).get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


def extensions_of(named: x509.Certificate | x509.CertificateSigningRequest) -> x509.Extensions:
    """The extensions of a certificate or a request; raises ValueError if one is malformed."""
    try:
        return named.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError("its names and other extensions are malformed") from error


def node_name(node_id: str) -> x509.OtherName:
    """The subject alternative name that stands for that node id."""
    text = node_id.encode()
    return x509.OtherName(NODE_ID, bytes([_UTF8_STRING]) + _length(len(text)) + text)


def alternative_names_of(
    node_ids: Iterable[str], dns_names: Iterable[str], ip_addresses: Iterable[IPv4Address | IPv6Address]
) -> tuple[x509.GeneralName, ...]:
    """The subject alternative names for these, each kind sorted."""
    return (
        *(x509.DNSName(name) for name in sorted(dns_names)),
        *(x509.IPAddress(address) for address in sorted(ip_addresses, key=str)),
        *(node_name(node_id) for node_id in sorted(node_ids)),
    )


def _length(size: int) -> bytes:
    """The length of a value in DER (X.690, section 8.1.3)."""
    if size < _LONG_LENGTH:
        return bytes([size])
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([_LONG_LENGTH | len(digits)]) + digits


def _decode(value: bytes) -> str:
    encoding = _ENCODINGS.get(value[0]) if value else None
    text = value[_header_size(value) :]
    if encoding is None or value[1 : -len(text) or None] != _length(len(text)):
        raise ValueError("a node id in it is not a UTF8String")
    try:
        return text.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError("a node id in it is not UTF-8 text") from error


def _header_size(value: bytes) -> int:
    long = len(value) > 1 and value[1] & _LONG_LENGTH
    return 2 + (value[1] & ~_LONG_LENGTH if long else 0)
