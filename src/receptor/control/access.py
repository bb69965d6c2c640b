"""Who may do what: the access rules of a node, applied to commands that came over the mesh or TCP.

Nothing here waits, reads or writes. Clients of the Unix socket may do everything: its file mode guards it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Protocol

from receptor.config.kinds import Network, Right
from receptor.config.protection import AccessRule
from receptor.control.commands import (
    Command,
    Connect,
    FollowEvents,
    Ping,
    Reload,
    ShowStatus,
    Traceroute,
    WorkCancel,
    WorkList,
    WorkRelease,
    WorkResults,
    WorkStatus,
    WorkSubmit,
    shown,
)
from receptor.errors import NotAllowed, UnknownUnit
from receptor.events import Event, UnitEvent
from receptor.identifiers import is_unmistakable, means_node
from receptor.node.byte_stream import Carrier, Origin
from receptor.workceptor.status import REMOTE_WORK_TYPE

_LONGEST_SHOWN = 100
_DEEDS = {
    Right.STATUS: "ask for the status of the mesh or ping",
    Right.CONNECT: "connect to services",
    Right.RELOAD: "reload the configuration",
    Right.LIST: "list units of work",
    Right.RESULTS: "read the output of units",
    Right.CANCEL: "cancel units",
    Right.RELEASE: "release units",
}
_RIGHTS_TO_FOLLOW = (Right.STATUS, Right.LIST)
"""Who has one of them may follow the events that it lets them see."""


class Submitted(Protocol):
    """The part of a unit that matters here."""

    @property
    def submitter(self) -> str:
        """Whose unit it is, as ``Origin.who`` tells it."""


class AccessPolicy:
    """The rules of a node. Without any, everybody may do everything; else only what some rule allows.

    ``units`` are those that the node has at any time.
    """

    def __init__(self, node_id: str, rules: Collection[AccessRule], units: Mapping[str, Submitted]) -> None:
        self._node_id = node_id
        self._rules = rules
        self._units = units

    def check(self, command: Command, origin: Origin) -> None:
        """Raise NotAllowed if the origin may not give the command.

        Whether a unit of somebody else exists is not revealed: the text is then that of UnknownUnit. A unit that
        nobody has passes, for the command's handler to say so.
        """
        if self._is_open_to(origin):
            return
        if isinstance(command, Connect) and means_node(command.node, self._node_id):
            raise NotAllowed(
                f"{origin.who} may not connect to services of node {self._node_id} through itself, where it would then"
                " pass for that node; give the commands in this session, or connect from another node"
            )
        if isinstance(command, WorkSubmit):
            self._check_submit(command, origin)
            return
        if isinstance(command, FollowEvents) and not any(self._has(right, origin) for right in _RIGHTS_TO_FOLLOW):
            raise NotAllowed(self._refusal(origin, "follow events"))
        for right in _rights_to(command):
            self._check_right(right, unit_of(command), origin)

    def _check_right(self, right: Right, unit_id: str | None, origin: Origin) -> None:
        rules = list(self._rules_that_allow(right, origin))
        if not rules:
            raise NotAllowed(self._refusal(origin, _DEEDS[right]))
        if unit_id is not None and unit_id in self._units and not _reach(rules, origin, self._units[unit_id]):
            raise NotAllowed(str(UnknownUnit(unit_id)))

    def seen_by(self, origin: Origin) -> Callable[[str], bool]:
        """Tells of a unit whether a list of all has it for the origin, who may list units."""
        if self._is_open_to(origin):
            return lambda _: True
        rules = list(self._rules_that_allow(Right.LIST, origin))
        return lambda unit_id: unit_id in self._units and _reach(rules, origin, self._units[unit_id])

    def told_to(self, origin: Origin) -> Callable[[Event], bool]:
        """Tells of an event whether the origin may hear of it: of units those that it may list, else as ``status``."""
        lists, sees, sees_mesh = self._has(Right.LIST, origin), self.seen_by(origin), self._has(Right.STATUS, origin)
        return lambda event: lists and sees(event.unit_id) if isinstance(event, UnitEvent) else sees_mesh

    def _has(self, right: Right, origin: Origin) -> bool:
        return self._is_open_to(origin) or any(self._rules_that_allow(right, origin))

    def _is_open_to(self, origin: Origin) -> bool:
        return origin.is_local or not self._rules

    def _rules_that_allow(self, right: Right, origin: Origin) -> Iterable[AccessRule]:
        return (rule for rule in self._rules if {right, Right.ALL} & rule.allow and _is_for(rule, origin))

    def _check_submit(self, command: WorkSubmit, origin: Origin) -> None:
        is_ours = means_node(command.node, self._node_id)
        work_type = command.work_type if is_ours else REMOTE_WORK_TYPE
        if not any(_covers(rule, work_type) for rule in self._rules_that_allow(Right.SUBMIT, origin)):
            deed = (
                f"submit work of type {shown(work_type, _LONGEST_SHOWN)}"
                if is_ours
                else f"send work on to {shown(command.node, _LONGEST_SHOWN)}"
            )
            raise NotAllowed(self._refusal(origin, deed))

    def _refusal(self, origin: Origin, deed: str) -> str:
        return f"{origin.who} may not {deed} on node {self._node_id}: no access-rule of that node allows it"


def unit_of(command: Command) -> str | None:
    """The unit that the command names, if it names one."""
    match command:
        case WorkList() | WorkStatus() | WorkResults() | WorkCancel() | WorkRelease():
            return command.unit_id
        case _:
            return None


def _rights_to(command: Command) -> tuple[Right, ...]:
    match command:
        case ShowStatus() | Ping() | Traceroute():
            return (Right.STATUS,)
        case FollowEvents():
            return ()  # one of two is enough
        case Connect():
            return (Right.CONNECT,)
        case Reload():
            return (Right.RELOAD,)
        case WorkSubmit():
            return (Right.SUBMIT,)
        case WorkStatus(start=int()):
            return Right.LIST, Right.RESULTS
        case WorkList() | WorkStatus():
            return (Right.LIST,)
        case WorkResults():
            return (Right.RESULTS,)
        case WorkCancel():
            return (Right.CANCEL,)
        case WorkRelease():
            return (Right.RELEASE,)


def _is_for(rule: AccessRule, origin: Origin) -> bool:
    match origin.carrier:
        case Carrier.MESH:
            # Else a node could be listed, and be taken, for another one.
            return is_unmistakable(origin.host) and any(fnmatchcase(origin.host, pattern) for pattern in rule.nodes)
        case Carrier.TCP:
            return _is_in(origin.host, rule.tcp_clients)
        case Carrier.UNIX:
            return True


def _is_in(host: str, networks: Iterable[Network]) -> bool:
    try:
        address = ip_address(host)
    except ValueError:  # The client was gone before it could be asked for its address.
        return False
    return any(address in network for network in networks)


def _covers(rule: AccessRule, work_type: str) -> bool:
    """Whether the rule is about the work type. Work for other nodes must be named: no pattern means it."""
    if work_type == REMOTE_WORK_TYPE:
        return rule.work_types is not None and REMOTE_WORK_TYPE in rule.work_types
    return rule.work_types is None or any(fnmatchcase(work_type, pattern) for pattern in rule.work_types)


def _reach(rules: Iterable[AccessRule], origin: Origin, unit: Submitted) -> bool:
    """Whether the origin, for whom the rules are, may come at that unit."""
    return unit.submitter == origin.who or any(rule.any_units for rule in rules)
