"""The kinds of values that keys take."""

from __future__ import annotations

import math
import re
import shlex
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from receptor.config.kind import ANY_SCALAR, Kind, Schema, any_case, named, one_of
from receptor.durations import format_duration, parse_duration
from receptor.identifiers import LONGEST_SERVICE, is_localhost, is_service_name, is_unmistakable
from receptor.netceptor.firewall import FirewallRule, Verdict

LOG_LEVELS = ("error", "warning", "info", "debug")
DURABILITIES = ("process", "power")
"""The values of workceptor's Durability."""

SHORTEST_IDLE_TIMEOUT = 21.0
"""Seconds without a sign of life after which a link is closed; a configuration may only raise it."""

_RESERVED_SERVICES = ("ping", "unreach")
_BUILT_IN_WORK_TYPE = "remote"
_ALL_ADDRESSES = "0.0.0.0"
_LONGEST_FILE_NAME = 255
_LONGEST_DURATION = 2**63 / 1e9  # seconds: 292 years, all that Go's 64-bit nanoseconds hold
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]*")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<ipv6>[^\[\]\s]+)\]|(?P<host>[^\[\]:\s]*)):(?P<port>[0-9]+)")
_OCTAL = re.compile(r"0o?([0-7]+)")
_SIZE = re.compile(r"([1-9][0-9]{0,18}) ?([kmgt]i)?b?", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = ("connection", "upgrade")
_FIREWALL_KEYS = {
    "fromnode": "from_node",
    "tonode": "to_node",
    "fromservice": "from_service",
    "toservice": "to_service",
}
_SIZE_UNITS = {"": 1, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_LARGEST_NUMBER = 2**63 - 1
_LONGEST_INTERFACE_NAME = 15  # bytes, of Linux
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
    return _dialled(_name(text.removeprefix("[").removesuffix("]")))


def _dialled(host: str) -> str:
    """A host that can be looked up: no empty part, none of more than 63 bytes. UnicodeError is a ValueError."""
    _require(is_unmistakable(host))
    host.encode("idna")
    return host


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
    return _dialled(parts["ipv6"] or parts["host"]), _port(parts["port"])


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


def _network_of_four(text: str) -> IPv4Network:
    network = IPv4Network(text, strict=False)
    _require(network.prefixlen == 30)
    return network


def _listed_networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def _interface(text: str) -> str:
    _require(len(text.encode()) <= _LONGEST_INTERFACE_NAME and "/" not in text and not re.search(r"\s", text))
    _require(text not in (".", ".."))
    return text


def _service_name(text: str) -> str:
    return _service(_name(text))


def _url_path(text: str) -> str:
    _require(text.startswith("/") and text.isascii() and is_unmistakable(text) and not {"?", "#"} & set(text))
    return text


def _ws_url(text: str) -> str:
    parts = urlsplit(text)
    _require(parts.scheme in ("ws", "wss") and not parts.fragment and is_unmistakable(text))
    _require(parts.port is None or parts.port > 0)
    _dialled(_name(parts.hostname or ""))
    _require((parts.username is None) == (parts.password is None))
    for secret in (parts.username, parts.password):
        unquote(secret or "", errors="strict")
    return parts.scheme + text[len(parts.scheme) :]


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    _require(bool(colon) and _HEADER_NAME.fullmatch(name) is not None and value.isprintable() and value.isascii())
    _require(name.lower() not in _OWN_HEADERS and not name.lower().startswith("sec-websocket-"))
    return name, value.strip()


def _fingerprint(text: str) -> bytes:
    fingerprint = bytes.fromhex(text.replace(":", ""))
    _require(len(fingerprint) in (32, 64))
    return fingerprint


def _firewall_rule(texts: dict[str, str]) -> FirewallRule:
    rule = {key.lower(): text for key, text in texts.items()}
    unknown = rule.keys() - _FIREWALL_KEYS.keys() - {"action"}
    if unknown or len(rule) != len(texts):
        *keys, last = ("action", *_FIREWALL_KEYS)
        raise ValueError(f"it has the keys {', '.join(keys)} and {last}, each once at most")
    if "action" not in rule:
        raise ValueError("it needs an action")
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


def _command(text: str) -> str:
    _require(bool(shlex.split(text)) and "\0" not in text)
    return text


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    _require(0 < seconds <= _LONGEST_DURATION)
    return seconds


def _idle_timeout(text: str) -> float:
    seconds = _duration(text)
    _require(seconds >= SHORTEST_IDLE_TIMEOUT)
    return seconds


def _text(pattern: str) -> Schema:
    return {**ANY_SCALAR, "pattern": pattern}


def _number(least: int, most: int = _LARGEST_NUMBER, pattern: str = "^[0-9]+$") -> Schema:
    return {"type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": pattern}


_SOME_TEXT = _text(".")
_NO_RESERVED_SERVICE: Schema = {"maxLength": LONGEST_SERVICE, "not": {"enum": list(_RESERVED_SERVICES)}}
_DURATION_SCHEMA: Schema = {
    "type": "string",
    "pattern": r"^\s*\+?(?:[0-9]*\.?[0-9]*(?:ns|us|µs|μs|ms|s|m|h))+\s*$",
}
_COST_SCHEMA: Schema = {"type": ["number", "string"], "exclusiveMinimum": 0}

TEXT = Kind("text", str)
NAME = Kind("text that isn't empty", _name, schema=_SOME_TEXT)
PATH = Kind("a path", _path, schema=_SOME_TEXT)
BOOLEAN = Kind(
    "true or false",
    _boolean,
    lambda value: str(value).lower(),
    schema={"anyOf": [{"type": "boolean"}, {"enum": [0, 1]}, {"type": "string", "pattern": any_case(_TRUE + _FALSE)}]},
)
COUNT = Kind("a whole number above 0", _count, schema=_number(1))
SIZE = Kind(
    "a number of bytes such as 65536, 64MiB or 2GiB",
    _size,
    _write_size,
    schema=_number(1, pattern=r"^[0-9]{1,19} ?(?:[kKmMgGtT][iI])?[bB]?$"),
)
DURATION = Kind("a duration such as 90s, 30m or 1h30m", _duration, format_duration, schema=_DURATION_SCHEMA)
IDLE_TIMEOUT = Kind(
    f"a duration of at least {SHORTEST_IDLE_TIMEOUT:.0f}s, such as 30s or 1m",
    _idle_timeout,
    format_duration,
    schema=_DURATION_SCHEMA,
)
COMMAND = Kind("a program and its arguments, with each quote closed", _command, schema=_SOME_TEXT)
PERMISSIONS = Kind(
    "an octal mode with a leading 0, from 0000 to 0777",
    _permissions,
    "{:04o}".format,
    schema=_number(0, 777, "^(?:0o)?[0-9]+$"),
)
LOG_LEVEL = Kind("error, warning, info or debug", _log_level, schema=one_of(LOG_LEVELS))
DURABILITY = Kind("process or power", _durability, schema=one_of(DURABILITIES))

NODE_ID = Kind("a name other than 'localhost', without '/' and white space", _node_id, schema=_text(r"^[^/\s]+$"))
NODE_IDS = Kind("a list of node ids", _name, many="list", schema=_SOME_TEXT)
NODE_PATTERNS = Kind("a list of node ids or patterns such as 'edge-*'", _name, many="list", schema=_SOME_TEXT)
NODE_COSTS = Kind("a map of node ids to numbers above 0", _cost, many="map", schema=_COST_SCHEMA)
COST = Kind("a number above 0", _cost, schema=_COST_SCHEMA)
SERVICE = Kind(
    "a name of at most 8 bytes other than 'ping' and 'unreach', or '' for none",
    _service,
    schema={**ANY_SCALAR, **_NO_RESERVED_SERVICE},
)
SERVICE_NAME = Kind(
    "a name of at most 8 bytes other than 'ping' and 'unreach'",
    _service_name,
    schema={**_SOME_TEXT, **_NO_RESERVED_SERVICE},
)
WORK_TYPE = Kind("a name other than 'remote', which is built in", _work_type, schema=_SOME_TEXT)
WORK_TYPE_PATTERNS = Kind("a list of work types or patterns such as 'backup-*'", _name, many="list", schema=_SOME_TEXT)
RIGHTS = Kind(f"a list of {', '.join(list(Right)[:-1])}, or all", _right, many="list", schema=one_of(Right))
FIREWALL_RULES = Kind(
    "a list of rules, each with an action (accept, reject or drop) and patterns for fromnode, tonode, fromservice and "
    "toservice",
    _firewall_rule,
    many="maps",
    schema=named(
        {"action": one_of(verdict.value for verdict in Verdict), **dict.fromkeys(_FIREWALL_KEYS, ANY_SCALAR)},
        ["action"],
    ),
)

PORT = Kind("a whole number from 0 to 65535", _port, schema=_number(0, 65535))
HOST = Kind("a host name or an IP address", _host, schema=_SOME_TEXT)
ADDRESS = Kind("host:port", _address, schema=_text(r"^\S+:[0-9]+$"))
LISTEN_ADDRESS = Kind("host:port, or a port alone", _listen_address, schema=_text(r"^(?:\S*:)?[0-9]+$"))
NETWORKS = Kind("a list of IP addresses or networks such as 192.0.2.0/24", _network, many="list")
NETWORK_OF_FOUR = Kind(
    "a network of four addresses such as 10.99.0.0/30", _network_of_four, schema=_text(r"^[0-9.]+/[0-9.]+$")
)
LISTED_NETWORKS = Kind(
    "networks with commas between them, such as 192.0.2.0/24,2001:db8::/48",
    _listed_networks,
    lambda networks: ",".join(map(str, networks)),
)
INTERFACE = Kind("the name of an interface, of at most 15 bytes", _interface)
URL_PATH = Kind("the path of a URL, such as /mesh", _url_path, schema=_text(r"^/[^?#\s]*$"))
WS_URL = Kind("a URL such as ws://host:port/path or wss://host/path", _ws_url, schema=_text(r"^[wW][sS][sS]?://\S+$"))
HEADER = Kind(
    "a header such as 'Name: value', but none that a WebSocket itself needs",
    _header,
    ": ".join,
    schema=_text("^[^:]+:"),
)
FINGERPRINTS = Kind(
    "a list of SHA-256 or SHA-512 fingerprints of certificates, in hexadecimal digits",
    _fingerprint,
    bytes.hex,
    "list",
    schema=_text(r"^[0-9A-Fa-f:\s]+$"),
)
