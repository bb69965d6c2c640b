"""Control lines as typed commands: words or a JSON object in, one frozen record out (control protocol).

Nothing past this module sees what the client wrote. Errors are CommandErrors whose text the client gets.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from receptor.errors import CommandError
from receptor.identifiers import is_unit_id
from receptor.workceptor.status import State

LONGEST_KEY = 128
"""Characters of the longest idempotency key."""

LONGEST_NAME = 128
"""Characters of the longest name of a unit."""

_SHOWN = 60
_LONGEST_REASON = 200


class ShowStatus(msgspec.Struct, frozen=True):
    """``status``: the state of the node, or of the fields asked for."""

    fields: tuple[str, ...] | None = None


class Ping(msgspec.Struct, frozen=True):
    """``ping``: measure the way to a node."""

    target: str


class Traceroute(msgspec.Struct, frozen=True):
    """``traceroute``: name the nodes on the way to a node."""

    target: str


class Connect(msgspec.Struct, frozen=True):
    """``connect``: bridge this connection to a service."""

    node: str
    service: str
    tls_client: str = ""


class Reload(msgspec.Struct, frozen=True):
    """``reload``: read the configuration again."""


class FollowEvents(msgspec.Struct, frozen=True):
    """``events``: what happens on the node, as it happens, until the client leaves."""


class Multiplex(msgspec.Struct, frozen=True):
    """``multiplex``: from now on the commands of this session are numbered, and carried out at once."""


class _Secretive(msgspec.Struct, frozen=True):
    """Shows itself without what may give away a secret."""

    def __repr__(self) -> str:
        shown = (name for name in self.__struct_fields__ if name not in ("signature", "parameters"))
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


class WorkSubmit(_Secretive, frozen=True, kw_only=True):
    """``work submit``: make a unit of work. The payload follows the answer to this line."""

    node: str
    work_type: str
    tls_client: str = ""
    ttl: str = ""
    sign_work: bool = False
    signature: str = ""
    idempotency_key: str = ""
    name: str = ""
    parameters: Mapping[str, str] = msgspec.field(default_factory=dict)


class WorkList(msgspec.Struct, frozen=True):
    """``work list``: the status of all units, of one, or of the one that the client has submitted under a key."""

    unit_id: str | None = None
    idempotency_key: str = ""


class WorkStatus(msgspec.Struct, frozen=True):
    """``work status``: the status of a unit; as long as it is in a state that the client knows, not at once.

    With ``start`` also its output from that byte on, which is news like another state: in numbered commands only.
    With ``known_size`` it is news too that there is more output than that, of which nothing is told but the size.
    """

    unit_id: str
    known_state: State | None = None
    start: int | None = None
    known_size: int | None = None


class WorkCancel(_Secretive, frozen=True):
    """``work cancel``: stop a unit."""

    unit_id: str
    signature: str = ""


class WorkRelease(_Secretive, frozen=True):
    """``work release`` and ``work force-release``: stop a unit and delete its files."""

    unit_id: str
    signature: str = ""
    force: bool = False


class WorkResults(_Secretive, frozen=True):
    """``work results``: the output of a unit from a byte offset on."""

    unit_id: str
    start: int = 0
    signature: str = ""


Command = (
    ShowStatus
    | Ping
    | Traceroute
    | Connect
    | Reload
    | FollowEvents
    | WorkSubmit
    | WorkList
    | WorkStatus
    | WorkCancel
    | WorkRelease
    | WorkResults
)
"""What is carried out for a client; ``Multiplex`` changes the session itself."""


def acts(command: Command) -> bool:
    """Whether the command changes something or acts for somebody; others only look."""
    return isinstance(command, WorkSubmit | WorkCancel | WorkRelease | Connect | Reload)


_Value = str | int | float | bool | None | list[object] | dict[str, object]
_Fields = dict[str, _Value]
_decoder = msgspec.json.Decoder(_Fields)
_SUBMIT_KEYS = frozenset(
    {
        *("command", "subcommand", "node", "worktype", "tlsclient", "ttl"),
        *("signwork", "signature", "idempotencykey", "unitname"),
    }
)  # every other key is a parameter of the work


def parse(line: bytes) -> Command | Multiplex:
    """The command of one control line, without its line end. Raises CommandError if it is none."""
    if line.startswith(b"{"):
        return _from_json(line)
    try:
        words = line.decode().split(" ")
    except UnicodeDecodeError:
        raise CommandError("Unknown command: the line is not UTF-8 text") from None
    return _from_words(words[0].lower(), [word for word in words[1:] if word])


def _from_words(name: str, words: list[str]) -> Command | Multiplex:
    match name, words:
        case "status", []:
            return ShowStatus()
        case "status", _:
            raise CommandError("status takes no parameters")
        case "ping", [target]:
            return Ping(target)
        case "traceroute", [target]:
            return Traceroute(target)
        case (("ping" | "traceroute"), _):
            raise CommandError(f"{name} takes one node id: {name} <node>")
        case "connect", [node, service]:
            return Connect(node, service)
        case "connect", [node, service, tls_client]:
            return Connect(node, service, tls_client)
        case "connect", _:
            raise CommandError("connect takes a node and a service: connect <node> <service> [tls client]")
        case "reload", _:
            return Reload()
        case "events", []:
            return FollowEvents()
        case "events", _:
            raise CommandError("events takes no parameters")
        case "multiplex", []:
            return Multiplex()
        case "work", []:
            raise CommandError("work takes a subcommand: submit, list, status, results, cancel, release, force-release")
        case "work", _:
            return _work_from_words(words[0].lower(), words[1:])
        case _:
            raise CommandError(f"Unknown command {shown(name)}")


def _work_from_words(name: str, words: list[str]) -> Command:
    match name, words:
        case "submit", [node, work_type, *rest]:
            parameters = {"params": " ".join(rest)} if rest else {}
            return WorkSubmit(node=node, work_type=work_type, parameters=parameters)
        case "submit", _:
            raise CommandError("work submit takes a node and a work type: work submit <node> <type> [params]")
        case "list", []:
            return WorkList()
        case "results", [unit_id, start]:
            return WorkResults(_unit_id(unit_id), _position(start))
        case (("list" | "status" | "results" | "cancel" | "release" | "force-release"), [unit_id]):
            return _work_on_unit(name, _unit_id(unit_id))
        case (("list" | "status" | "results" | "cancel" | "release" | "force-release"), _):
            raise CommandError(f"work {name} takes one unit id: work {name} <unit>")
        case _:
            raise CommandError(f"Unknown command work {shown(name)}")


def _work_on_unit(name: str, unit_id: str, start: int = 0, signature: str = "") -> Command:
    match name:
        case "list":
            return WorkList(unit_id)
        case "status":
            return WorkStatus(unit_id)
        case "results":
            return WorkResults(unit_id, start, signature)
        case "cancel":
            return WorkCancel(unit_id, signature)
        case _:
            return WorkRelease(unit_id, signature, force=name == "force-release")


def _from_json(line: bytes) -> Command | Multiplex:
    try:
        fields = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f"the command is no JSON object: {str(error)[:_LONGEST_REASON]}") from None
    match name := _text(fields, "command").lower():
        case "status":
            return ShowStatus(_requested_fields(fields))
        case "ping":
            return Ping(_text(fields, "target"))
        case "traceroute":
            return Traceroute(_text(fields, "target"))
        case "connect":
            return Connect(_text(fields, "node"), _text(fields, "service"), _text(fields, "tls", ""))
        case "reload":
            return Reload()
        case "events":
            return FollowEvents()
        case "multiplex":
            return Multiplex()
        case "work":
            return _work_from_json(_text(fields, "subcommand").lower(), fields)
        case _:
            raise CommandError(f"Unknown command {shown(name)}")


def _work_from_json(name: str, fields: _Fields) -> Command:
    match name:
        case "submit":
            return _submit_from_json(fields)
        case "list" if "unitid" not in fields:
            return WorkList(idempotency_key=_idempotency_key(fields))
        case "list" | "status" | "results" | "cancel" | "release" | "force-release":
            if name == "status":
                return _status_from_json(fields)
            start = _position(fields.get("startpos", 0))
            return _work_on_unit(name, _unit_id(_text(fields, "unitid")), start, _text(fields, "signature", ""))
        case _:
            raise CommandError(f"Unknown command work {shown(name)}")


def _status_from_json(fields: _Fields) -> WorkStatus:
    start, known_size = fields.get("startpos"), fields.get("knownsize")
    return WorkStatus(
        _unit_id(_text(fields, "unitid")),
        _known_state(fields),
        None if start is None else _position(start),
        None if known_size is None else _position(known_size, "knownsize"),
    )


def _submit_from_json(fields: _Fields) -> WorkSubmit:
    for key, value in fields.items():
        if not isinstance(value, str):
            raise CommandError(f"the parameters of work submit must all be strings, and {shown(key)} is not")
    sign_work = _text(fields, "signwork", "false").lower()
    if sign_work not in ("true", "false"):
        raise CommandError('signwork must be "true" or "false"')
    return WorkSubmit(
        node=_text(fields, "node"),
        work_type=_text(fields, "worktype"),
        tls_client=_text(fields, "tlsclient", ""),
        ttl=_text(fields, "ttl", ""),
        sign_work=sign_work == "true",
        signature=_text(fields, "signature", ""),
        idempotency_key=_idempotency_key(fields),
        name=_unit_name(fields),
        parameters={key: _text(fields, key) for key in fields if key not in _SUBMIT_KEYS},
    )


def _idempotency_key(fields: _Fields) -> str:
    key = _text(fields, "idempotencykey", "")
    if len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise CommandError(f"idempotencykey must be at most {LONGEST_KEY} printable ASCII characters")
    return key


def _unit_name(fields: _Fields) -> str:
    name = _text(fields, "unitname", "")
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise CommandError(f"unitname must be at most {LONGEST_NAME} printable characters")
    return name


def _known_state(fields: _Fields) -> State | None:
    state = fields.get("knownstate")
    try:
        return None if state is None else msgspec.convert(state, State)
    except msgspec.ValidationError:
        raise CommandError("knownstate must be the number of a state, 0 to 4") from None


def _requested_fields(fields: _Fields) -> tuple[str, ...] | None:
    wanted = fields.get("requested_fields")
    if wanted is None:
        return None
    names = [name for name in wanted if isinstance(name, str)] if isinstance(wanted, list) else None
    if names is None or len(names) != len(wanted if isinstance(wanted, list) else ()):
        raise CommandError("requested_fields must be a list of strings")
    return tuple(names)


def _text(fields: _Fields, key: str, default: str | None = None) -> str:
    value = fields.get(key, default)
    if value is None:
        raise CommandError(f"the command lacks {key!r}")
    if not isinstance(value, str):
        raise CommandError(f"{key!r} must be a string")
    return value


def _unit_id(text: str) -> str:
    if not is_unit_id(text):
        raise CommandError(f"unknown work unit {shown(text)}: that can't be a unit id")
    return text


def _position(value: _Value, name: str = "the start position") -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise CommandError(f"{name} must be a number of bytes, 0 or more")
    return value


def shown(text: str, longest: int = _SHOWN) -> str:
    """The client's own text, fit for one line of an answer or a log; no more than so many characters of it."""
    return repr(text if len(text) <= longest else f"{text[:longest]}...")
