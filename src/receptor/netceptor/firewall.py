"""Which data packets a node lets pass (mesh protocol, section 6, firewall rules)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol, cast

import msgspec

from receptor.identifiers import is_localhost, is_service_name

LONGEST_PATTERN = 1000
REMEMBERED_VERDICTS = 4096


class Expression(Protocol):
    """A compiled regular expression."""

    def fullmatch(self, text: str) -> object | None:
        """Something if it matches the whole text."""


Flow = tuple[str, str, str, str]
"""From node, to node, from service, to service."""


class Verdict(Enum):
    """What becomes of a packet."""

    ACCEPT = "accept"
    REJECT = "reject"
    """Dropped, and its sender is told."""
    DROP = "drop"


class FirewallRule(msgspec.Struct, frozen=True):
    """What becomes of packets that match in all that is named.

    Each pattern is a name, or a regular expression between slashes that matches a name as a whole; empty matches any.
    """

    verdict: Verdict
    from_node: str = ""
    to_node: str = ""
    from_service: str = ""
    to_service: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError if a regular expression can't be read, or a name is one that no packet has."""
        for pattern in self.patterns:
            _matcher(pattern)
        if is_localhost(self.from_node) or is_localhost(self.to_node):
            raise ValueError("a rule for 'localhost' would match nothing; give the node's id")
        for service in (self.from_service, self.to_service):
            if service and not service.startswith("/") and not is_service_name(service):
                raise ValueError(
                    f"a rule for the service {service!r} would match nothing: such names have 1 to 8 bytes"
                )

    @property
    def patterns(self) -> Flow:
        """The pattern for each part of a flow."""
        return self.from_node, self.to_node, self.from_service, self.to_service


class Firewall:
    """The rules of a node; without any, every packet passes."""

    def __init__(self, rules: Sequence[FirewallRule] = ()) -> None:
        self._rules = [(rule.verdict, [_matcher(pattern) for pattern in rule.patterns]) for rule in rules]
        # Packets come many to a flow. Strangers can invent any number of flows.
        self._known: OrderedDict[Flow, Verdict] = OrderedDict()

    @property
    def is_open(self) -> bool:
        """Whether it has no rules, and need not be asked."""
        return not self._rules

    def verdict(self, from_node: str, to_node: str, from_service: str, to_service: str) -> Verdict:
        """What the first rule that matches says; ACCEPT if none does."""
        flow = (from_node, to_node, from_service, to_service)
        verdict = self._known.get(flow)
        if verdict is None:
            verdict = self._known[flow] = self._judge(flow)
            if len(self._known) > REMEMBERED_VERDICTS:
                self._known.popitem(last=False)
        return verdict

    def _judge(self, flow: Flow) -> Verdict:
        for verdict, matchers in self._rules:
            if all(matcher is None or matcher(name) for matcher, name in zip(matchers, flow, strict=True)):
                return verdict
        return Verdict.ACCEPT


OPEN = Firewall()
"""Lets every packet pass."""


def _matcher(pattern: str) -> Callable[[str], object] | None:
    """Whether a name fits the pattern; None if every name does. Raises ValueError."""
    if not pattern:
        return None
    if not pattern.startswith("/"):
        return pattern.__eq__
    if len(pattern) < 2 or not pattern.endswith("/"):
        raise ValueError(f"a regular expression must be between slashes: {pattern}")
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"a regular expression has more than {LONGEST_PATTERN} characters")
    return _compiled(pattern[1:-1]).fullmatch


def _compiled(expression: str) -> Expression:
    """RE2 takes time in proportion to the name, whatever the expression; Python's own may take years.

    It is what existing nodes use too, so that expressions mean the same. Only who has one pays for its import.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return cast("Expression", re2.compile(expression, options))
    except re2.error as error:
        raise ValueError(f"not a regular expression: {expression}") from error
