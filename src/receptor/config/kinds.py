"""The kinds of values that keys take: how text as written becomes a value, and how a value is shown.

Everything is read from its text, so that ``0600``, ``yes`` or ``123`` mean what the key says they mean and not
what YAML takes them for; nor does the command line need rules of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from receptor.durations import format_duration, parse_duration
from receptor.identifiers import is_localhost, is_service_name, is_unmistakable
from receptor.netceptor.firewall import FirewallRule, Verdict

WrittenMap: TypeAlias = dict[str, str | None]
Written: TypeAlias = str | list[str | WrittenMap | None] | WrittenMap | None
"""A value as written: a scalar's text, a map of them, a list of both, or nothing. None stands for what is deeper."""

LOG_LEVELS = ("error", "warning", "info", "debug")
DURABILITIES = ("process", "power")
"""The values of workceptor's Durability."""

SHORTEST_IDLE_TIMEOUT = 21.0
"""Seconds without a sign of life after which a link is closed; a configuration may only raise it."""

_RESERVED_SERVICES = ("ping", "unreach")
_BUILT_IN_WORK_TYPE = "remote"
_ALL_ADDRESSES = "0.0.0.0"
_LONGEST_FILE_NAME = 255
_LONGEST_SHOWN = 60
_LONGEST_DURATION = 2**63 / 1e9  # seconds: 292 years, all that Go's 64-bit nanoseconds hold
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]*")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<ipv6>[^\[\]\s]+)\]|(?P<host>[^\[\]:\s]*)):(?P<port>[0-9]+)")
_OCTAL = re.compile(r"0o?([0-7]+)")
_SIZE = re.compile(r"([1-9][0-9]{0,18}) ?([kmgt]i)?b?", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FIREWALL_KEYS = {
    "fromnode": "from_node",
    "tonode": "to_node",
    "fromservice": "from_service",
    "toservice": "to_service",
}
_SIZE_UNITS = {"": 1, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_LARGEST_NUMBER = 2**63 - 1
_TRUE = ("true", "yes", "on", "y", "t", "1")
_FALSE = ("false", "no", "off", "n", "f", "0")


class Address(NamedTuple):
    """A TCP address; the host is a name or an IP address, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


Network: TypeAlias = IPv4Network | IPv6Network


class Right(StrEnum):
    """What an access rule may allow."""

    STATUS = "status"
    """``status``, ``ping`` and ``traceroute``."""
    CONNECT = "connect"
    RELOAD = "reload"
    SUBMIT = "submit"
    LIST = "list"
    """``work list`` and ``work status``."""
    RESULTS = "results"
    CANCEL = "cancel"
    RELEASE = "release"
    """``work release`` and ``work force-release``."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value.

    ``expects`` ends the sentence "the value must be ...". ``read`` makes the value of one text and raises
    ValueError if it is not of this kind; ``write`` is its opposite, for help. With ``many``, a key takes a list
    or a map of such values; with ``maps`` it takes a list of maps, and ``read`` gets each of them.
    """

    expects: str
    read: Callable[..., object]
    write: Callable[..., str] = str
    many: Literal["", "list", "map", "maps"] = ""

    def value(self, written: Written) -> object:
        """The value; for ``many`` a frozenset of values or a read-only mapping to them; a tuple for ``maps``.

        A single scalar is a list of one; lists and maps may also be the text of JSON, for the command line.
        Raises ValueError, whose text shows what is not of this kind.
        """
        if self.many and isinstance(written, str) and written.startswith(("[", "{")):
            written = _from_json(written)
        match self.many, written:
            case "", str():
                return self._one(written, written)
            case "list", str():
                return frozenset({self._one(written, written)})
            case "list", list():
                return frozenset(self._one(text, text) for text in _texts(written, written))
            case "map", dict():
                texts = zip(written, _texts(written, written.values()), strict=True)
                return MappingProxyType({key: self._one(text, f"{key}: {text}") for key, text in texts})
            case "maps", list():
                return tuple(self._map(entry) for entry in written)
        raise ValueError(_shown(written))

    def _one(self, text: str, shown: str) -> object:
        try:
            return self.read(text)
        except ValueError:
            raise ValueError(_shown(shown)) from None

    def _map(self, entry: str | WrittenMap | None) -> object:
        if not isinstance(entry, dict):
            raise ValueError(_shown(entry))
        texts = dict(zip(entry, _texts(entry, entry.values()), strict=True))
        try:
            return self.read(texts)
        except ValueError as error:
            raise ValueError(_shown(", ".join(f"{key}: {text}" for key, text in texts.items()), str(error))) from None


def _from_json(text: str) -> Written:
    """The list or map of texts in JSON; its numbers stay as written."""
    from json import loads  # few configurations pay for its import

    try:
        decoded = loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise ValueError(_shown(text)) from None
    if isinstance(decoded, dict):
        return _map_of_texts(decoded)
    return [_map_of_texts(entry) if isinstance(entry, dict) else _text_or_none(entry) for entry in decoded]


def _map_of_texts(decoded: dict[str, object]) -> WrittenMap:
    return {key: _text_or_none(entry) for key, entry in decoded.items()}


def _text_or_none(entry: object) -> str | None:
    return entry if isinstance(entry, str) else None


def _texts(written: Written, entries: Collection[str | WrittenMap | None]) -> list[str]:
    texts = [entry for entry in entries if isinstance(entry, str)]
    if len(texts) != len(entries):
        raise ValueError(f"{_shown(written)} with nested or empty entries")
    return texts


def _shown(written: Written, problem: str = "") -> str:
    match written:
        case str():
            shown = repr(written if len(written) <= _LONGEST_SHOWN else f"{written[:_LONGEST_SHOWN]}...")
            return f"{shown}: {problem}" if problem else shown
        case None:
            return "nothing"
    return "a list" if isinstance(written, list) else "a map"


def _require(fits: bool) -> None:
    if not fits:
        raise ValueError


def _name(text: str) -> str:
    _require(bool(text))
    return text


def _node_id(text: str) -> str:
    # It is also the name of the folder that holds the node's units.
    _require(0 < len(text.encode()) <= _LONGEST_FILE_NAME and text not in (".", "..") and "/" not in text)
    _require(not is_localhost(text) and is_unmistakable(text))
    return text


def _service(text: str) -> str:
    _require(not text or (is_service_name(text) and text not in _RESERVED_SERVICES))
    return text


def _work_type(text: str) -> str:
    _require(text != _BUILT_IN_WORK_TYPE)
    return _name(text)


def _log_level(text: str) -> str:
    _require(text.lower() in LOG_LEVELS)
    return text.lower()


def _durability(text: str) -> str:
    _require(text.lower() in DURABILITIES)
    return text.lower()


def _path(text: str) -> Path:
    return Path(_name(text))


def _boolean(text: str) -> bool:
    _require(text.lower() in _TRUE + _FALSE)
    return text.lower() in _TRUE


def _port(text: str) -> int:
    _require(_WHOLE_NUMBER.fullmatch(text) is not None and len(text) <= 5 and int(text) <= 65535)
    return int(text)


def _host(text: str) -> str:
    return _name(text.removeprefix("[").removesuffix("]"))


def _address(text: str) -> Address:
    host, port = _host_and_port(text)
    _require(port > 0)
    return Address(_name(host), port)


def _listen_address(text: str) -> Address:
    host, port = _host_and_port(text if ":" in text else f":{text}")
    return Address(host or _ALL_ADDRESSES, port)


def _host_and_port(text: str) -> tuple[str, int]:
    parts = _HOST_AND_PORT.fullmatch(text)
    if parts is None:
        raise ValueError
    return parts["ipv6"] or parts["host"], _port(parts["port"])


def _cost(text: str) -> float:
    cost = float(text)
    _require(cost > 0 and math.isfinite(cost))
    return cost


def _count(text: str) -> int:
    _require(_WHOLE_NUMBER.fullmatch(text) is not None and len(text) <= 19 and 0 < int(text) <= _LARGEST_NUMBER)
    return int(text)


def _size(text: str) -> int:
    parts = _SIZE.fullmatch(text)
    if parts is None:
        raise ValueError
    size = int(parts[1]) * _SIZE_UNITS[(parts[2] or "").lower()]
    _require(size <= _LARGEST_NUMBER)
    return size


def _write_size(size: int) -> str:
    """The size with the largest unit of which it is a multiple."""
    unit = max((name for name in _SIZE_UNITS if size % _SIZE_UNITS[name] == 0), key=_SIZE_UNITS.__getitem__)
    return f"{size // _SIZE_UNITS[unit]}{unit.capitalize()}B" if unit else str(size)


def _right(text: str) -> Right:
    return Right(text.lower())


def _network(text: str) -> Network:
    return ip_network(text)


def _service_name(text: str) -> str:
    return _service(_name(text))


def _url_path(text: str) -> str:
    _require(text.startswith("/") and text.isascii() and is_unmistakable(text) and not {"?", "#"} & set(text))
    return text


def _ws_url(text: str) -> str:
    parts = urlsplit(text)
    _require(parts.scheme in ("ws", "wss") and bool(parts.hostname) and not parts.fragment and is_unmistakable(text))
    _require(parts.port is None or parts.port > 0)
    return text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    _require(bool(colon) and _HEADER_NAME.fullmatch(name) is not None and value.isprintable() and value.isascii())
    return name, value.strip()


def _fingerprint(text: str) -> bytes:
    fingerprint = bytes.fromhex(text.replace(":", ""))
    _require(len(fingerprint) in (32, 64))
    return fingerprint


def _firewall_rule(texts: dict[str, str]) -> FirewallRule:
    rule = {key.lower(): text for key, text in texts.items()}
    unknown = rule.keys() - _FIREWALL_KEYS.keys() - {"action"}
    if unknown or len(rule) != len(texts):
        raise ValueError(f"a rule has the keys action, {', '.join(_FIREWALL_KEYS)}, each once at most")
    if "action" not in rule:
        raise ValueError("a rule needs an action")
    try:
        verdict = Verdict(rule.pop("action").lower())
    except ValueError:
        raise ValueError("its action must be accept, reject or drop") from None
    return FirewallRule(verdict, **{_FIREWALL_KEYS[key]: text for key, text in rule.items()})


def _permissions(text: str) -> int:
    octal = _OCTAL.fullmatch(text)
    _require(octal is not None or _WHOLE_NUMBER.fullmatch(text) is not None)
    mode = int(octal[1], 8) if octal else int(text)
    _require(mode <= 0o777)
    return mode


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    _require(0 < seconds <= _LONGEST_DURATION)
    return seconds


def _idle_timeout(text: str) -> float:
    seconds = _duration(text)
    _require(seconds >= SHORTEST_IDLE_TIMEOUT)
    return seconds


TEXT = Kind("text", str)
NAME = Kind("text that isn't empty", _name)
NODE_ID = Kind("a name other than 'localhost', without '/' and white space", _node_id)
NODE_IDS = Kind("a list of node ids", _name, many="list")
SERVICE = Kind("a name of at most 8 bytes other than 'ping' and 'unreach', or '' for none", _service)
SERVICE_NAME = Kind("a name of at most 8 bytes other than 'ping' and 'unreach'", _service_name)
URL_PATH = Kind("the path of a URL, such as /mesh", _url_path)
WS_URL = Kind("a URL such as ws://host:port/path or wss://host/path", _ws_url)
HEADER = Kind("a header such as 'Name: value'", _header, ": ".join)
FINGERPRINTS = Kind(
    "a list of SHA-256 or SHA-512 fingerprints of certificates, in hexadecimal digits", _fingerprint, bytes.hex, "list"
)
FIREWALL_RULES = Kind(
    "a list of rules, each with an action (accept, reject or drop) and patterns for fromnode, tonode, fromservice and "
    "toservice",
    _firewall_rule,
    many="maps",
)
WORK_TYPE = Kind("a name other than 'remote', which is built in", _work_type)
LOG_LEVEL = Kind("error, warning, info or debug", _log_level)
DURABILITY = Kind("process or power", _durability)
PATH = Kind("a path", _path)
BOOLEAN = Kind("true or false", _boolean, lambda value: str(value).lower())
PORT = Kind("a whole number from 0 to 65535", _port)
HOST = Kind("a host name or an IP address", _host)
ADDRESS = Kind("host:port", _address)
LISTEN_ADDRESS = Kind("host:port, or a port alone", _listen_address)
COST = Kind("a number above 0", _cost)
NODE_COSTS = Kind("a map of node ids to numbers above 0", _cost, many="map")
PERMISSIONS = Kind("an octal mode with a leading 0, from 0000 to 0777", _permissions, "{:04o}".format)
COUNT = Kind("a whole number above 0", _count)
SIZE = Kind("a number of bytes such as 65536, 64MiB or 2GiB", _size, _write_size)
NODE_PATTERNS = Kind("a list of node ids or patterns such as 'edge-*'", _name, many="list")
WORK_TYPE_PATTERNS = Kind("a list of work types or patterns such as 'backup-*'", _name, many="list")
NETWORKS = Kind("a list of IP addresses or networks such as 192.0.2.0/24", _network, many="list")
RIGHTS = Kind(f"a list of {', '.join(list(Right)[:-1])}, or all", _right, many="list")
DURATION = Kind("a duration such as 90s, 30m or 1h30m", _duration, format_duration)
IDLE_TIMEOUT = Kind(
    f"a duration of at least {SHORTEST_IDLE_TIMEOUT:.0f}s, such as 30s or 1m", _idle_timeout, format_duration
)
